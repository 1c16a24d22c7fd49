package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// lease holds one for a process.
func (h *house) lease(name, holder string) store.Lease {
	h.Helper()
	l := store.Lease{Follower: store.Follower{Tenant: h.tenant, Name: name}, Holder: holder}
	_, held, err := h.Store.Hold(h.ctx, l, time.Minute)
	h.must(err)
	if !held {
		h.Fatalf("%s can't hold %s", holder, name)
	}
	return l
}

func followers(_ *testing.T, h *house) {
	a := h.lease("enricher:costs", "a")
	b := store.Lease{Follower: a.Follower, Holder: "b"}
	p, held, err := h.Store.Hold(h.ctx, b, time.Minute)
	h.equal([]any{p, held, err}, []any{store.Progress{}, false, nil})
	h.wantCode(h.Store.Advance(h.ctx, b, store.Progress{Position: 9}), fault.Conflict)
	h.must(h.Store.Advance(h.ctx, a, store.Progress{Position: 7, Note: "half way"}))
	h.must(h.Store.Release(h.ctx, b)) // has nothing to release
	_, held, err = h.Store.Hold(h.ctx, b, time.Minute)
	h.equal([]any{held, err}, []any{false, nil})
	h.must(h.Store.Release(h.ctx, a))
	p, held, err = h.Store.Hold(h.ctx, b, 0)
	h.equal([]any{p, held, err}, []any{store.Progress{Position: 7, Note: "half way", Begun: true}, true, nil})
	// Its term is over.
	_, held, err = h.Store.Hold(h.ctx, a, time.Minute)
	h.equal([]any{held, err}, []any{true, nil})
	h.wantCode(h.Store.Advance(h.ctx, b, store.Progress{Position: 8}), fault.Conflict)
	all, err := h.Store.Progress(h.ctx, h.tenant)
	h.must(err)
	h.equal(all, map[string]store.Progress{"enricher:costs": {Position: 7, Note: "half way", Begun: true}})
	other, err := h.Store.Progress(h.ctx, h.newTenant("other"))
	h.equal([]any{len(other), err}, []any{0, nil})

	// Who isn't wanted any more is forgotten, once nobody works for it.
	idle := h.lease("enricher:idle", "a")
	h.must(h.Store.Release(h.ctx, idle))
	h.must(h.Store.Release(h.ctx, h.lease("notify:idle", "a")))
	h.must(h.Store.Forget(h.ctx, h.tenant, "enricher:", []string{"enricher:idle"}))
	h.equal(h.count("followers"), 3)
	h.must(h.Store.Forget(h.ctx, h.tenant, "enricher:", nil))
	all, err = h.Store.Progress(h.ctx, h.tenant)
	h.must(err)
	h.equal(all, map[string]store.Progress{"enricher:costs": {Position: 7, Note: "half way", Begun: true}, "notify:idle": {}})
}

func added(n topo.Node, attr string, findings ...store.Finding) store.Addition {
	return store.Addition{Ref: n.Ref, UID: n.UID, Attrs: []topo.Pair{{Key: "center", Value: attr}}, Findings: findings}
}

// allFindings gives every finding a filter means, by pages of two.
func (h *house) allFindings(f store.FindingFilter) (all []store.FindingRow) {
	h.Helper()
	if f.View.Tenant == 0 {
		f.View = h.everything()
	}
	var after *store.FindingKey
	for {
		page, err := h.Store.Findings(h.ctx, f, after, 2)
		h.must(err)
		if len(page) == 0 {
			return all
		}
		for i := range page {
			if page[i].Since.IsZero() {
				h.Fatal("a finding without a beginning")
			}
		}
		all = append(all, page...)
		after = &page[len(page)-1].Key
	}
}

func plugins(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a"), pod("b"), pod("c")}})
	l, at := h.lease("enricher:costs", "a"), s.at
	dear := store.Finding{Code: "dear", Severity: store.Warning, Sentence: "costs more than it should", Confidence: 0.75}
	idle := store.Finding{Code: "idle", Severity: store.Info, Sentence: "does nothing", Confidence: 1}
	first := added(pod("a"), "42", dear, idle)
	first.Edges = []store.AddedEdge{{Source: ref("Pod", "a").ID(), Target: ref("Pod", "b").ID(), Type: topo.References, Reason: "billed with"},
		{Source: ref("Pod", "nowhere").ID(), Target: ref("Pod", "a").ID(), Type: topo.Routes}}
	h.wantCode(h.Store.Enrich(h.ctx, store.Lease{Follower: l.Follower, Holder: "thief"}, at.Cluster, "costs", []store.Addition{first}), fault.Conflict)
	h.wantCode(h.Store.Enrich(h.ctx, l, at.Cluster, "costs", []store.Addition{added(pod("a"), "\x00")}), fault.BadRequest)
	for range 2 { // the second time nothing is new
		h.must(h.Store.Enrich(h.ctx, l, at.Cluster, "costs", []store.Addition{first, added(pod("b"), "43", dear)}))
	}
	h.must(h.Store.Enrich(h.ctx, l, at.Cluster, "other", []store.Addition{added(pod("a"), "44")}))

	ids := []topo.ID{ref("Pod", "a").ID(), ref("Pod", "c").ID()}
	attrs, err := h.Store.AddedAttrs(h.ctx, at, ids)
	h.must(err)
	h.equal(attrs, []store.AddedAttrs{{Node: ids[0], Plugin: "costs", Attrs: first.Attrs}, {Node: ids[0], Plugin: "other", Attrs: added(pod("a"), "44").Attrs}})
	want := topo.Edge{Source: ref("Pod", "a"), Target: ref("Pod", "b"), Rule: "plugin:costs", Type: topo.References, Disc: "references", Attrs: []topo.Pair{{Key: "reason", Value: "billed with"}}}
	row := []store.EdgeRow{{Cluster: at.Cluster, ID: want.Key(), Edge: want}}
	for _, d := range []store.Direction{store.Out, store.Both} {
		edges, err := h.Store.AddedEdges(h.ctx, at, ids, d, nil, 10)
		h.must(err)
		h.equal(edges, row)
	}
	edges, err := h.Store.AddedEdges(h.ctx, at, ids, store.Into, nil, 10)
	h.equal([]any{len(edges), err}, []any{0, nil}) // its other end isn't there
	s.apply(store.Delta{Nodes: []topo.Node{pod("nowhere")}})
	edges, err = h.Store.AddedEdges(h.ctx, at, nil, store.Both, nil, 1)
	h.must(err)
	rest, err := h.Store.AddedEdges(h.ctx, at, nil, store.Both, &edges[0].ID, 10)
	h.must(err)
	h.equal([]int{len(edges), len(rest)}, []int{1, 1})

	h.equal(len(h.allFindings(store.FindingFilter{})), 3)
	h.equal(len(h.allFindings(store.FindingFilter{Severity: store.Warning})), 2)
	h.equal(len(h.allFindings(store.FindingFilter{Nodes: ids, Plugins: []string{"costs", "x"}, Kinds: []topo.GroupKind{{Kind: "Pod"}}})), 2)
	h.equal(len(h.allFindings(store.FindingFilter{Namespaces: []string{"bank"}})), 0)
	h.equal(len(h.allFindings(store.FindingFilter{View: fleet.View{Tenant: h.tenant, Clusters: map[fleet.ClusterID][]string{at.Cluster: {"bank"}}}})), 0)

	h.findingNews(s, l, dear)
}

// findingNews: what comes, changes and goes is told once.
func (h *house) findingNews(s *session, l store.Lease, dear store.Finding) {
	h.Helper()
	news, last, err := h.Store.FindingNews(h.ctx, h.tenant, 0, 10)
	h.must(err)
	h.equal([]any{len(news), last, news[0].Finding, news[0].Ref, news[0].Plugin}, []any{3, int64(3), dear, ref("Pod", "a"), "costs"})
	worse := dear
	worse.Severity = store.Serious
	reworded := worse
	reworded.Sentence = "costs a fortune"
	for _, f := range []store.Finding{worse, reworded} {
		h.must(h.Store.Enrich(h.ctx, l, s.at.Cluster, "costs", []store.Addition{added(pod("a"), "42", f)}))
	}
	h.must(h.Store.Enrich(h.ctx, l, s.at.Cluster, "costs", []store.Addition{{Ref: ref("Pod", "a"), UID: "uid-a"}}))
	news, _, err = h.Store.FindingNews(h.ctx, h.tenant, last, 10)
	h.must(err)
	var told []string
	for _, n := range news {
		told = append(told, fmt.Sprintf("%s %s %t", n.Finding.Code, n.Finding.Severity, n.Resolved))
	}
	h.equal(told, []string{"dear error false", "idle info true", "dear error true"})
	h.equal([]int{h.count("plugin_attrs"), h.count("plugin_edges")}, []int{2, 0})

	// What was said of an object isn't said of the next of its name, and goes with what it hangs on.
	s.apply(store.Delta{Nodes: []topo.Node{with(pod("b"), func(n *topo.Node) { n.UID = "another" })}})
	h.equal(len(h.allFindings(store.FindingFilter{})), 0)
	s.apply(store.Delta{GoneNodes: []topo.ID{ref("Pod", "b").ID()}})
	h.lease("enricher:other", "a")
	_, err = h.Store.SweepPlugins(h.ctx, h.newTenant("stranger"), time.Now().Add(time.Hour), 100)
	h.must(err)
	more, err := h.Store.SweepPlugins(h.ctx, h.tenant, time.Now().Add(-time.Hour), 100)
	h.equal([]any{more, err, h.count("plugin_attrs"), h.count("plugin_findings"), h.count("finding_news")}, []any{false, nil, 1, 0, 6})
	h.must(h.Store.Release(h.ctx, store.Lease{Follower: store.Follower{Tenant: h.tenant, Name: "enricher:other"}, Holder: "a"}))
	h.must(h.Store.Forget(h.ctx, h.tenant, "enricher:", nil))
	for more = true; more; {
		more, err = h.Store.SweepPlugins(h.ctx, h.tenant, time.Now().Add(time.Hour), 2)
		h.must(err)
	}
	h.equal([]int{h.count("plugin_attrs"), h.count("finding_news")}, []int{0, 0})
}

// A deleted cluster's additions are hidden with it, and purged with it.
func pluginsPurged(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}})
	l := h.lease("enricher:costs", "a")
	h.must(h.Store.Enrich(h.ctx, l, s.at.Cluster, "costs", []store.Addition{added(pod("a"), "42", store.Finding{Code: "x", Severity: store.Info, Sentence: "s"})}))
	attrs, err := h.Store.AddedAttrs(h.ctx, store.Scope{Tenant: h.newTenant("other"), Cluster: s.at.Cluster}, []topo.ID{ref("Pod", "a").ID()})
	h.equal([]any{len(attrs), err}, []any{0, nil})
	h.must(h.Store.DeleteCluster(h.ctx, s.at))
	attrs, err = h.Store.AddedAttrs(h.ctx, s.at, []topo.ID{ref("Pod", "a").ID()})
	h.equal([]any{len(attrs), err, len(h.allFindings(store.FindingFilter{}))}, []any{0, nil, 0})
	for more := true; more; {
		more, err = h.Store.Purge(h.ctx, 3)
		h.must(err)
	}
	h.equal([]int{h.count("plugin_attrs"), h.count("plugin_findings")}, []int{0, 0})
}

func deadLetters(_ *testing.T, h *house) {
	at := time.Unix(1_700_000_000, 0).UTC()
	letter := func(id string) store.DeadLetter {
		return store.DeadLetter{Tenant: h.tenant, ID: id, Notifier: "pager", Rule: "prod", Key: "k", Created: at, Tried: at, Attempts: 5, Reason: "nobody there", Body: []byte(`{"x":1}`)}
	}
	for _, id := range []string{"1", "3", "2"} {
		h.must(h.Store.PutDeadLetter(h.ctx, letter(id)))
	}
	again := letter("2")
	again.Attempts, again.Reason, again.Tried = 6, "still\x00nobody", at.Add(time.Hour)
	h.must(h.Store.PutDeadLetter(h.ctx, again))
	again.Reason = "still\uFFFDnobody"
	got, err := h.Store.DeadLetter(h.ctx, h.tenant, "2")
	h.must(err)
	h.equal(got, again)
	page, err := h.Store.DeadLetters(h.ctx, h.tenant, "", 2)
	h.must(err)
	h.equal(page, []store.DeadLetter{letter("3"), again})
	page, err = h.Store.DeadLetters(h.ctx, h.tenant, "2", 2)
	h.must(err)
	h.equal(page, []store.DeadLetter{letter("1")})
	other := h.newTenant("other")
	_, err = h.Store.DeadLetter(h.ctx, other, "2")
	h.wantCode(err, fault.NotFound)
	h.wantCode(h.Store.DeleteDeadLetter(h.ctx, other, "2"), fault.NotFound)
	h.must(h.Store.DeleteDeadLetter(h.ctx, h.tenant, "2"))
	h.wantCode(h.Store.DeleteDeadLetter(h.ctx, h.tenant, "2"), fault.NotFound)
}
