package plugin

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What a plugin may add to one node.
const (
	maxAttrs    = 32
	maxEdges    = 64
	maxFindings = 16
	maxValue    = 4096
	maxText     = 512
	maxRef      = 1024
)

var keyForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

func zapReason(why string) zap.Field { return zap.String("reason", plainText(why, 500)) }

// refuseText gives the reason to refuse a text; "" when there is none.
func refuseText(s string, limit int) string {
	switch {
	case len(s) > limit:
		return fmt.Sprintf("a text has %d bytes, %d is what it may have", len(s), limit)
	case !utf8.ValidString(s):
		return "a text is no valid UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		return "a text holds control characters"
	}
	return ""
}

// subject is a node that a plugin is asked about.
type subject struct {
	id      topo.ID
	ref     topo.Ref
	uid     string
	message *pluginv1.Node
}

// answers makes of a reply what is added to each of the subjects. What breaks a rule is left out, and told to refuse.
func answers(reply *pluginv1.EnrichReply, cluster string, subjects []subject, refuse func(string)) []store.Addition {
	places := map[topo.Ref]int{}
	out := make([]store.Addition, len(subjects))
	for i, s := range subjects {
		places[s.ref] = i
		out[i] = store.Addition{Ref: s.ref, UID: s.uid}
	}
	told := map[topo.Ref]bool{}
	for _, e := range reply.GetNodes() {
		ref := refOf(e.GetRef())
		i, asked := places[ref]
		switch {
		case !asked:
			refuse("it tells of an object that it wasn't asked about: " + plainText(ref.String(), 200))
		case told[ref]:
			refuse("it tells of an object twice: " + ref.String())
		default:
			told[ref] = true
			c := &check{refuse: func(why string) { refuse(ref.String() + ": " + why) }, cluster: cluster, to: &out[i]}
			c.attrs(e.GetAttributes())
			c.edges(e.GetEdges())
			c.findings(e.GetFindings())
		}
	}
	return out
}

func refOf(r *pluginv1.Ref) topo.Ref {
	return topo.Ref{Group: r.GetGroup(), Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
}

// check takes what is in order of one node's enrichment.
type check struct {
	refuse  func(string)
	cluster string
	to      *store.Addition
}

func (c *check) attrs(attrs map[string]string) {
	if len(attrs) > maxAttrs {
		c.refuse(fmt.Sprintf("%d attributes are too many", len(attrs)))
		return
	}
	for key, value := range attrs {
		why := refuseText(value, maxValue)
		if !keyForm.MatchString(key) {
			why = "no attribute can have such a key: " + plainText(key, 100)
		}
		if why != "" {
			c.refuse(why)
			continue
		}
		c.to.Attrs = append(c.to.Attrs, topo.Pair{Key: key, Value: value})
	}
	slices.SortFunc(c.to.Attrs, func(a, b topo.Pair) int { return cmp.Compare(a.Key, b.Key) })
}

func (c *check) edges(edges []*pluginv1.AddedEdge) {
	if len(edges) > maxEdges {
		c.refuse(fmt.Sprintf("%d edges are too many", len(edges)))
		return
	}
	own := c.to.Ref.ID()
	for _, e := range edges {
		if why := c.edge(e); why != "" {
			c.refuse(why)
			continue
		}
		other := refOf(e.GetOther()).ID()
		added := store.AddedEdge{Source: own, Target: other, Type: topo.EdgeType(e.GetType()), Reason: e.GetReason()}
		if e.GetIncoming() {
			added.Source, added.Target = other, own
		}
		c.to.Edges = append(c.to.Edges, added)
	}
}

func (c *check) edge(e *pluginv1.AddedEdge) string {
	other := refOf(e.GetOther())
	switch {
	case e.GetCluster() != "" && e.GetCluster() != c.cluster:
		return "an edge leads to another cluster"
	case !slices.Contains(topo.EdgeTypes, topo.EdgeType(e.GetType())):
		return "no edge has the type " + plainText(e.GetType(), 100)
	case other.Kind == "" || other.Name == "":
		return "an edge leads nowhere"
	case other == c.to.Ref:
		return "an edge leads from an object to itself"
	}
	return cmp.Or(refuseText(other.Group+other.Kind+other.Namespace+other.Name, maxRef), refuseText(e.GetReason(), maxText))
}

func (c *check) findings(findings []*pluginv1.Finding) {
	if len(findings) > maxFindings {
		c.refuse(fmt.Sprintf("%d findings are too many", len(findings)))
		return
	}
	codes := map[string]bool{}
	for _, f := range findings {
		why := refuseFinding(f)
		if why == "" && codes[f.GetCode()] {
			why = "two findings have the code " + f.GetCode()
		}
		if why != "" {
			c.refuse(why)
			continue
		}
		codes[f.GetCode()] = true
		c.to.Findings = append(c.to.Findings, store.Finding{
			Code: f.GetCode(), Severity: store.Severity(f.GetSeverity()), Sentence: f.GetSentence(), Confidence: f.GetConfidence(),
		})
	}
}

func refuseFinding(f *pluginv1.Finding) string {
	switch {
	case !keyForm.MatchString(f.GetCode()):
		return "no finding can have such a code: " + plainText(f.GetCode(), 100)
	case f.GetSeverity() < pluginv1.Severity_SEVERITY_INFO || f.GetSeverity() > pluginv1.Severity_SEVERITY_ERROR:
		return fmt.Sprintf("no finding has the severity %d", f.GetSeverity())
	case f.GetSentence() == "":
		return "a finding says nothing"
	case math.IsNaN(f.GetConfidence()) || f.GetConfidence() < 0 || f.GetConfidence() > 1:
		return "a finding's confidence isn't between 0 and 1"
	}
	return refuseText(f.GetSentence(), maxText)
}
