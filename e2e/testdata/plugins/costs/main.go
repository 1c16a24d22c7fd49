// Command costs is an example of an enricher: it tells who pays for what runs. A Pod or Deployment gets the attribute "center" from its label cost-center,
// an edge to the ConfigMap that describes the center, named cost-center-CENTER in its namespace, and a finding when it has no label.
package main

import (
	"context"

	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/plugin"
)

const label = "cost-center"

type costs struct {
	pluginv1.UnimplementedEnricherServer
}

// Describe implements pluginv1.EnricherServer.
func (costs) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.EnricherDescription, error) {
	return &pluginv1.EnricherDescription{
		Name: "costs", Version: "1.0.0",
		Kinds: []*pluginv1.GroupKind{{Kind: "Pod"}, {Group: "apps", Kind: "Deployment"}},
		Adds:  []string{"the cost center that pays for it, and a finding when there is none"},
	}, nil
}

// Enrich implements pluginv1.EnricherServer.
func (costs) Enrich(_ context.Context, r *pluginv1.EnrichRequest) (*pluginv1.EnrichReply, error) {
	reply := &pluginv1.EnrichReply{}
	for _, n := range r.GetNodes() {
		reply.Nodes = append(reply.Nodes, enrich(n))
	}
	return reply, nil
}

func enrich(n *pluginv1.Node) *pluginv1.Enrichment {
	center, known := n.GetLabels()[label]
	if !known {
		return &pluginv1.Enrichment{Ref: n.GetRef(), Findings: []*pluginv1.Finding{{
			Code: "no-cost-center", Severity: pluginv1.Severity_SEVERITY_WARNING,
			Sentence: "It has no label " + label + ": nobody is charged for it.", Confidence: 1,
		}}}
	}
	return &pluginv1.Enrichment{
		Ref:        n.GetRef(),
		Attributes: map[string]string{"center": center},
		Edges: []*pluginv1.AddedEdge{{
			Other: &pluginv1.Ref{Kind: "ConfigMap", Namespace: n.GetRef().GetNamespace(), Name: "cost-center-" + center},
			Type:  "references", Reason: "described there",
		}},
	}
}

func main() { plugin.ServeEnricher(costs{}) }
