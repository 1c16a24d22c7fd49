// Command tester is a plugin, as its first argument says an enricher or a notifier, that tells the file of its second what it was given. It finds fault with every
// Deployment (a warning) and every Service (an information). With HANG set it answers no call but the first.
package main

import (
	"context"
	"os"
	"strings"

	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/plugin"
)

func tell(line string) {
	f, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	_, _ = f.WriteString(line + "\n")
	_ = f.Close()
}

func hang(ctx context.Context) {
	if os.Getenv("HANG") != "" {
		<-ctx.Done()
	}
}

type enricher struct {
	pluginv1.UnimplementedEnricherServer
}

func (enricher) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.EnricherDescription, error) {
	tell("described " + strings.Join(os.Args[1:], " ") + " " + strings.Join(os.Environ(), " "))
	return &pluginv1.EnricherDescription{Name: "tester", Version: "1.0.0", Kinds: []*pluginv1.GroupKind{{Kind: "Service"}, {Group: "apps", Kind: "Deployment"}}}, nil
}

func (enricher) Enrich(ctx context.Context, r *pluginv1.EnrichRequest) (*pluginv1.EnrichReply, error) {
	hang(ctx)
	reply := &pluginv1.EnrichReply{}
	for _, n := range r.GetNodes() {
		severity := pluginv1.Severity_SEVERITY_INFO
		if n.GetRef().GetKind() == "Deployment" {
			severity = pluginv1.Severity_SEVERITY_WARNING
		}
		reply.Nodes = append(reply.Nodes, &pluginv1.Enrichment{Ref: n.GetRef(), Findings: []*pluginv1.Finding{{Code: "tested", Severity: severity, Sentence: "It was tested.", Confidence: 1}}})
	}
	return reply, nil
}

type notifier struct {
	pluginv1.UnimplementedNotifierServer
}

func (notifier) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.NotifierDescription, error) {
	return &pluginv1.NotifierDescription{Name: "tester", Version: "1.0.0"}, nil
}

func (notifier) Notify(ctx context.Context, n *pluginv1.Notification) (*pluginv1.NotifyReply, error) {
	hang(ctx)
	tell("notified " + n.GetRule())
	return &pluginv1.NotifyReply{}, nil
}

func main() {
	if os.Args[1] == plugin.Notifier {
		plugin.ServeNotifier(notifier{})
		return
	}
	plugin.ServeEnricher(enricher{})
}
