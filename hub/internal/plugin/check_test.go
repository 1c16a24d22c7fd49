package plugin

import (
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Whatever a plugin answers, what is kept of it obeys the rules and is about what it was asked.
func FuzzAnswers(f *testing.F) {
	ref := topo.Ref{Kind: "Pod", Namespace: "shop", Name: "a"}
	liar := &actor{role: "liar"}
	for _, reply := range []*pluginv1.EnrichReply{
		{},
		{Nodes: liar.enrich(&pluginv1.EnrichRequest{}, &pluginv1.Node{Ref: refMessage(ref)})},
		{Nodes: []*pluginv1.Enrichment{{Ref: refMessage(ref), Attributes: map[string]string{"k": "v"}, Findings: make([]*pluginv1.Finding, maxFindings+1)}}},
	} {
		raw, err := proto.Marshal(reply)
		if err == nil {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var reply pluginv1.EnrichReply
		if proto.Unmarshal(raw, &reply) != nil {
			return // gRPC refuses it
		}
		subjects := []subject{{id: ref.ID(), ref: ref, uid: "u"}}
		kept := answers(&reply, "c1", subjects, func(string) {})
		if len(kept) != 1 || kept[0].Ref != ref || kept[0].UID != "u" {
			t.Fatalf("kept %+v", kept)
		}
		a := kept[0]
		if len(a.Attrs) > maxAttrs || len(a.Edges) > maxEdges || len(a.Findings) > maxFindings {
			t.Error("too much is kept")
		}
		for i, p := range a.Attrs {
			if !keyForm.MatchString(p.Key) || !clean(p.Value) || (i > 0 && a.Attrs[i-1].Key >= p.Key) {
				t.Errorf("attribute %q", p)
			}
		}
		for _, e := range a.Edges {
			if (e.Source == ref.ID()) == (e.Target == ref.ID()) || !slices.Contains(topo.EdgeTypes, e.Type) || !clean(e.Reason) {
				t.Errorf("edge %+v", e)
			}
		}
		for _, x := range a.Findings {
			if !clean(x.Sentence) || x.Confidence < 0 || x.Confidence > 1 || math.IsNaN(x.Confidence) || x.Severity.String() == "invalid" {
				t.Errorf("finding %+v", x)
			}
		}
	})
}

func clean(s string) bool {
	return utf8.ValidString(s) && len(s) <= maxValue && !strings.ContainsAny(s, "\x00\x1b")
}
