package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// ExerciseSearch runs what is said of searches on a body that goes by its indexes also among few rows.
func ExerciseSearch(t *testing.T, open func(t *testing.T) Body) {
	exercise(t, open, map[string]func(*testing.T, *house){"Search": search, "SearchOracle": searchOracle, "Values": valuesTyped, "Questions": questions})
}

// index takes all there is to take into what searches go by.
func (h *house) index() {
	h.Helper()
	for more := true; more; {
		var err error
		more, err = h.Store.Index(h.ctx, 7)
		h.must(err)
	}
}

func (h *house) search(f store.Filter, limit int) (names string, more bool) {
	h.Helper()
	if f.View.Tenant == 0 {
		f.View = h.everything()
	}
	h.read(func(s store.Snapshot) error {
		rows, m, err := s.Search(h.ctx, f, limit)
		more = m
		for _, r := range rows {
			names += " " + r.Node.Ref.Name
		}
		return err
	})
	return strings.TrimSpace(names), more
}

// search: best first, whatever of it is taken in already.
func search(t *testing.T, h *house) {
	image := with(pod("z"), func(n *topo.Node) { n.Attrs = []topo.Pair{{Key: "images", Value: "ghcr.io/web:1"}} })
	svc := topo.Node{Ref: ref("Service", "web"), Presence: topo.Present}
	d := store.Delta{Nodes: []topo.Node{pod("a-web-1", "tier", "front"), pod("web"), pod("web-2"), pod("b", "app", "Web"), image, svc, pod("other", "app", "api"),
		with(pod("web-gone"), func(n *topo.Node) { n.Presence = topo.Missing })}}
	one := h.loaded(d)
	ask := func(stage string) {
		for _, c := range []struct {
			terms []store.Term
			limit int
			want  string
			more  bool
		}{
			{[]store.Term{like("text", "*web*")}, 10, "web web web-2 a-web-1 b z", false},
			{[]store.Term{like("text", "*WEB*")}, 3, "web web web-2", true},
			{[]store.Term{like("text", "*web*"), like("kind", "pod")}, 4, "web web-2 a-web-1 b", true},
			{[]store.Term{like("text", "*web*"), like("text", "*front*")}, 4, "a-web-1", false},
			{[]store.Term{like("text", "*web*", "other")}, 10, "other web web web-2 a-web-1 b z", false},
			{[]store.Term{like("text", "web*")}, 10, "web web web-2 b", false},
			{[]store.Term{not(like("text", "*web*"))}, 10, "other", false},
			{[]store.Term{like("text", "*none*")}, 10, "", false},
			{[]store.Term{like("image", "*web*")}, 10, "z", false},
			{[]store.Term{like("label:app", "*")}, 10, "b other", false},
			{nil, 2, "a-web-1 b", true},
		} {
			got, more := h.search(store.Filter{Terms: c.terms}, c.limit)
			if got != c.want || more != c.more {
				t.Errorf("%s: %+v gives %q %v, not %q %v", stage, c.terms, got, more, c.want, c.more)
			}
		}
	}
	ask("before")
	h.index()
	ask("after")
	one.apply(store.Delta{Nodes: []topo.Node{pod("web-new"), pod("b", "app", "api")}, GoneNodes: []topo.ID{ref("Pod", "web-2").ID()}})
	want := "web web web-new a-web-1 z"
	for _, stage := range []string{"before", "after"} {
		if got, _ := h.search(store.Filter{Terms: []store.Term{like("text", "*web*")}}, 10); got != want {
			t.Errorf("%s a change was taken in: %q", stage, got)
		}
		h.index()
	}
	two := h.loaded(store.Delta{Nodes: []topo.Node{pod("web-far")}})
	got, _ := h.search(store.Filter{View: fleet.View{Tenant: h.tenant, Clusters: map[fleet.ClusterID][]string{two.at.Cluster: {"shop"}}}, Terms: []store.Term{like("text", "*web*")}}, 10)
	h.equal(got, "web-far")
	h.index()
	h.must(h.Store.DeleteCluster(h.ctx, one.at))
	got, _ = h.search(store.Filter{Terms: []store.Term{like("text", "*web*")}}, 10)
	h.equal(got, "web-far")
}

// searchOracle: random data and words, taken in or not, agree with a naive search.
func searchOracle(_ *testing.T, h *house) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 13))
		d := jumble(r)
		s := h.loaded(store.Delta{Nodes: d.Nodes[:20]})
		if seed > 0 {
			h.index()
		}
		s.apply(store.Delta{Nodes: d.Nodes[20:]})
		for range 40 {
			word := []string{"web", "api", "b", "1", "eb-", "a?b", "none", "10", "web-api1"}[r.IntN(9)]
			f := store.Filter{View: h.everything(), Clusters: clustersOf(s.at), Terms: []store.Term{like("text", "*"+word+"*")}}
			if r.IntN(3) == 0 {
				f.Terms = append(f.Terms, randomTerm(r))
			}
			want, _ := meant(&d, &f)
			rank := func(n topo.Node) int {
				worst := 0
				for _, t := range f.Terms {
					if t.Key != store.TextKey || t.Not {
						continue
					}
					best := 3
					for _, v := range t.Values {
						v = strings.Trim(v, "*")
						for k, p := range []string{v, v + "*", "*" + v + "*"} {
							if k < best && wild(p, n.Ref.Name) {
								best = k
							}
						}
					}
					worst = max(worst, best)
				}
				return worst
			}
			slices.SortFunc(want, func(a, b topo.Node) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Ref.Compare(b.Ref)) })
			var names []string
			for _, n := range want {
				names = append(names, n.Ref.Name)
			}
			if got, more := h.search(f, 50); got != strings.Join(names, " ") || more {
				h.Fatalf("%+v gives %q, not %q", f.Terms, got, names)
			}
		}
	}
}

func valuesTyped(_ *testing.T, h *house) {
	deploy := with(pod("d", "app", "Web", "zone", "eu"), func(n *topo.Node) {
		n.Ref.Group, n.Ref.Kind, n.Attrs = "apps", "Deployment", []topo.Pair{{Key: "app", Value: "shop"}, {Key: "images", Value: "a:1 b:2"}}
	})
	s := h.loaded(store.Delta{Nodes: []topo.Node{deploy, pod("a", "app", "web"), pod("b", "app", "web", "arch", "x"), with(pod("c"), func(n *topo.Node) { n.Ref.Namespace = "bank" })}})
	h.index()
	list := func(v fleet.View, key, prefix string, limit int) (all []string) {
		h.read(func(snap store.Snapshot) error {
			found, err := snap.Values(h.ctx, store.Filter{View: v}, key, prefix, limit)
			for _, v := range found {
				all = append(all, fmt.Sprint(v.Text, " ", v.Number))
			}
			return err
		})
		return all
	}
	narrow := fleet.View{Tenant: h.tenant, Clusters: map[fleet.ClusterID][]string{s.at.Cluster: {"bank"}}}
	for _, c := range []struct {
		view        fleet.View
		key, prefix string
		limit       int
		want        []string
	}{
		{h.everything(), "namespace", "", 10, []string{"shop 3", "bank 1"}}, {narrow, "namespace", "", 10, []string{"bank 1"}}, {h.everything(), "namespace", "SH", 10, []string{"shop 3"}},
		{h.everything(), "kind", "", 10, []string{"Pod 3", "Deployment.apps 1"}}, {h.everything(), "kind", "dep", 10, []string{"Deployment.apps 1"}},
		{h.everything(), "label:", "a", 10, []string{"app 3", "arch 1"}}, {narrow, "label:", "", 10, nil}, {h.everything(), "label:app", "web", 1, []string{"web 2"}},
		{h.everything(), "label:app", "we", 5, []string{"web 2", "Web 1"}}, {h.everything(), "name", "a", 5, []string{"a 1"}}, {h.everything(), "image", "", 5, []string{"a:1 1", "b:2 1"}},
		{h.everything(), "app", "", 5, []string{"shop 1"}}, {h.everything(), "status", "run", 5, []string{"Running 4"}}, {h.everything(), "health", "", 5, []string{"ok 4"}},
		{h.everything(), "attr:ready", "", 5, []string{"1/1 3"}}, {h.everything(), "name", "%", 5, nil}, {narrow, "name", "", 5, []string{"c 1"}},
	} {
		h.equal(list(c.view, c.key, c.prefix, c.limit), c.want)
	}
	h.read(func(snap store.Snapshot) error {
		for _, key := range []string{"color", "text", "created", "attr:"} {
			_, err := snap.Values(h.ctx, store.Filter{View: h.everything()}, key, "", 1)
			h.wantCode(err, fault.BadRequest)
		}
		return nil
	})
}
