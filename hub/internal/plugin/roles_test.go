package plugin

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	contract "github.com/kubilitics/kubilitics/shared/plugin"
)

// The tests run this very program as the plugin: ROLE, which only a test sets, says how it behaves.
func TestMain(m *testing.M) {
	if role := os.Getenv("ROLE"); role != "" {
		play(role)
		return
	}
	goleak.VerifyTestMain(m)
}

func play(role string) {
	switch role {
	case "exit":
		os.Exit(3)
	case "garbage":
		fmt.Println("hello, I am no plugin")
		select {}
	case "silent":
		select {}
	case "host": // a hub, to be killed
		r := newRunner(New(Config{}), Spec{Name: "costs", As: contract.Enricher, Path: os.Args[0], SHA256: os.Getenv("SUM"), Env: []string{"ROLE=honest"}})
		s, err := r.start(context.Background())
		if err != nil {
			panic(err)
		}
		fmt.Println(s.proc.Load().pid())
		select {}
	case "elsewhere": // would have the hub call somebody else
		fmt.Println("1|1|tcp|127.0.0.1:9|grpc")
		select {}
	case "tomorrow":
		goplugin.Serve(&goplugin.ServeConfig{
			HandshakeConfig:  contract.Handshake,
			VersionedPlugins: map[int]goplugin.PluginSet{99: {contract.Enricher: mute{}}},
			GRPCServer:       goplugin.DefaultGRPCServer,
		})
	case "notifier":
		contract.ServeNotifier(pager{})
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("sleep", "1000")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr // holds the hub's pipes open
		_ = child.Start()
		fmt.Fprintf(os.Stderr, "child %d\n", child.Process.Pid)
		_ = os.WriteFile(os.Getenv("CHILD"), fmt.Append(nil, child.Process.Pid), 0o600)
		contract.ServeEnricher(&actor{})
		select {} // the socket is closed, and the process stays
	default:
		contract.ServeEnricher(&actor{role: role})
	}
}

// actor is an enricher whose nodes tell it by their names how to misbehave.
type actor struct {
	pluginv1.UnimplementedEnricherServer
	role string
}

func (a *actor) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.EnricherDescription, error) {
	kinds := []*pluginv1.GroupKind{{Kind: "Pod"}, {Group: "apps", Kind: "Deployment"}}
	if a.role == "greedy" {
		kinds = slices.Repeat(kinds, 50)
	}
	return &pluginv1.EnricherDescription{Name: "actor", Version: "v1.2.3", Kinds: kinds, Adds: []string{"a cost\ncenter"}}, nil
}

func (a *actor) Enrich(ctx context.Context, r *pluginv1.EnrichRequest) (*pluginv1.EnrichReply, error) {
	reply := &pluginv1.EnrichReply{}
	for _, n := range r.GetNodes() {
		switch name := n.GetRef().GetName(); {
		case name == "crash":
			os.Exit(7)
		case name == "hang":
			time.Sleep(time.Hour)
		case name == "fail":
			return nil, status.Error(codes.Internal, "I can't do "+name)
		case name == "flood":
			reply.Nodes = append(reply.Nodes, &pluginv1.Enrichment{Ref: n.GetRef(), Attributes: map[string]string{"a": strings.Repeat("x", contract.MaxMessage)}})
		}
		reply.Nodes = append(reply.Nodes, a.enrich(r, n)...)
	}
	if a.role == "noisy" {
		for i := range 20_000 {
			fmt.Fprintf(os.Stderr, "[WARN] line %d of very many %s\n", i, strings.Repeat("y", 100))
		}
	}
	return reply, nil
}

func (a *actor) enrich(r *pluginv1.EnrichRequest, n *pluginv1.Node) []*pluginv1.Enrichment {
	honest := &pluginv1.Enrichment{Ref: n.GetRef(), Attributes: map[string]string{
		"center": n.GetLabels()["team"] + "@" + r.GetTenant() + "/" + r.GetClusterName(), "edges": fmt.Sprint(len(n.GetEdges())),
	}}
	if a.role == "environment" {
		honest.Attributes = map[string]string{"environment": strings.Join(names(os.Environ()), " ")}
	}
	if n.GetLabels()["team"] == "" {
		honest.Findings = []*pluginv1.Finding{{Code: "nobodys", Severity: pluginv1.Severity_SEVERITY_WARNING, Sentence: "nobody pays for it", Confidence: 0.9}}
	}
	if a.role != "liar" {
		return []*pluginv1.Enrichment{honest}
	}
	ref, pod := n.GetRef(), &pluginv1.Ref{Kind: "Pod", Namespace: "shop", Name: "x"}
	lies := &pluginv1.Enrichment{Ref: ref,
		Attributes: map[string]string{"true": "1", "other/key": "2", "nul": "a\x00b", "long": strings.Repeat("x", maxValue+1)},
		Edges: []*pluginv1.AddedEdge{{Other: pod, Type: "references", Reason: "it says so"}, {Other: pod, Type: "loves"}, {Other: ref, Type: "owns"},
			{Other: pod, Type: "owns", Cluster: "c000"}, {Other: &pluginv1.Ref{Kind: "Pod"}, Type: "owns"}, {Type: "owns"}},
		Findings: []*pluginv1.Finding{{Code: "a", Severity: 1, Sentence: "s", Confidence: math.NaN()}, {Code: "b", Severity: 9, Sentence: "s"}, {Code: "c", Severity: 1},
			{Code: "d e", Severity: 1, Sentence: "s"}, {Code: "f", Severity: 1, Sentence: "\x1b[2J"}, {Code: "g", Severity: 1, Sentence: "true"}, {Code: "g", Severity: 1, Sentence: "twice"}},
	}
	return []*pluginv1.Enrichment{lies, honest, {Ref: pod}, {Ref: &pluginv1.Ref{}}, {}}
}

func names(environ []string) (keys []string) {
	for _, e := range environ {
		k, _, _ := strings.Cut(e, "=")
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// mute serves nothing.
type mute struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (mute) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return nil }

func (mute) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// pager is a notifier that goes by the rule's name.
type pager struct {
	pluginv1.UnimplementedNotifierServer
}

func (pager) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.NotifierDescription, error) {
	return &pluginv1.NotifierDescription{Name: "pager", Version: "v1"}, nil
}

func (pager) Notify(ctx context.Context, n *pluginv1.Notification) (*pluginv1.NotifyReply, error) {
	switch n.GetRule() {
	case "later":
		return nil, status.Error(codes.Unavailable, "the pager is away")
	case "never":
		return nil, status.Error(codes.InvalidArgument, "no such channel")
	case "hang":
		<-ctx.Done()
		time.Sleep(time.Hour)
	}
	return &pluginv1.NotifyReply{}, nil
}
