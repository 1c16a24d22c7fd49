package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func like(key string, values ...string) store.Term {
	return store.Term{Key: key, Op: store.Like, Values: values}
}

func not(t store.Term) store.Term {
	t.Not = true
	return t
}

// terms: what each key and each operator means, by the names of those that fulfil it.
func terms(t *testing.T, h *house) {
	web := pod("Web-1", "app", "Shop", "odd", `100%_"<\`)
	web.Attrs = []topo.Pair{{Key: "app", Value: "shop"}, {Key: "images", Value: "docker.io/nginx:1.25 ghcr.io/x/side:2"}, {Key: "ip", Value: "10.0.0.1 fd00::1"}, {Key: "restarts", Value: "4"}}
	failed := with(pod("job", "weight", "2.5"), func(n *topo.Node) {
		n.Ref.Group, n.Ref.Kind, n.Ref.Namespace, n.Health, n.Status, n.Created = "batch", "Job", "prod-eu", topo.Error, "Failed", 50
		n.Attrs = []topo.Pair{{Key: "restarts", Value: "-1.5"}, {Key: "it's", Value: "x"}}
	})
	bare := topo.Node{Ref: topo.Ref{Group: "apps", Kind: "Job", Name: "bare"}, Presence: topo.Missing}
	h.loaded(store.Delta{Nodes: []topo.Node{web, failed, bare}})
	for _, c := range []struct {
		term store.Term
		want string
	}{
		{like("name", "web*"), "Web-1"}, {like("name", "web"), ""}, {like("name", "WEB-?"), "Web-1"}, {like("name", "*b*"), "Web-1 bare job"}, {not(like("name", "*b*")), ""},
		{like("name", "job", "bare"), "bare job"}, {like("namespace", ""), "bare"}, {like("namespace", "prod*"), "job"}, {not(like("namespace", "shop", "prod-*")), "bare"},
		{like("kind", "job"), "bare job"}, {like("kind", "Job.batch"), "job"}, {like("kind", "*.*s"), "bare"}, {like("kind", "Pod."), "Web-1"}, {like("kind", "?o?"), "Web-1 bare job"},
		{like("status", "fail*"), "job"}, {not(like("status", "Running")), "bare job"}, {like("health", "err*", "ok"), "Web-1 job"}, {like("presence", "missing"), "bare"},
		{like("uid", "UID-job"), "job"}, {like("group", ""), "Web-1"}, {like("version", "v1"), "Web-1 job"}, {like("app", "SHOP"), "Web-1"}, {not(like("app", "shop")), "bare job"},
		{like("image", "*nginx*"), "Web-1"}, {like("image", "nginx"), ""}, {like("image", "*side:?"), "Web-1"}, {like("image", "docker*:2"), ""}, {not(like("image", "*")), "bare job"},
		{like("ip", "10.0.0.1"), "Web-1"}, {like("ip", "10.0.0."), ""}, {like("ip", "fd00*"), "Web-1"},
		{like("label:app", "shop"), "Web-1"}, {like("label:app", "*"), "Web-1"}, {not(like("label:app", "*")), "bare job"}, {like("label:APP", "*"), ""}, {like("label:odd", `*\**`), ""},
		{like("label:odd", `100%_"<\\`), "Web-1"}, {like("label:odd", `100?_*`), "Web-1"}, {like("label:odd", `1%`), ""}, {like("label:odd", "1__*"), ""},
		{like("attr:restarts", "4"), "Web-1"}, {like("attr:it's", "X"), "job"}, {not(like("attr:restarts", "?")), "bare job"},
		{like("text", "*web*"), "Web-1"}, {like("text", "*shop*"), "Web-1"}, {like("text", "shop"), "Web-1"}, {like("text", "*NGINX*"), "Web-1"}, {like("text", "10.*"), "Web-1"},
		{like("text", `*%_"<*`), "Web-1"}, {like("text", "*app*"), ""}, {like("text", "*images*"), ""}, {like("text", "nope", "JOB"), "job"}, {not(like("text", "*e*")), "job"},
		{store.Term{Key: "attr:restarts", Op: store.Greater, Values: []string{"3.9"}}, "Web-1"}, {store.Term{Key: "attr:restarts", Op: store.Less, Values: []string{"4"}}, "job"},
		{store.Term{Key: "attr:restarts", Op: store.Less, Values: []string{"4"}, Not: true}, "Web-1 bare"}, {store.Term{Key: "label:app", Op: store.Less, Values: []string{"4"}}, ""},
		{store.Term{Key: "label:weight", Op: store.Greater, Values: []string{"2"}}, "job"}, {store.Term{Key: "created", Op: store.Less, Values: []string{"50.5"}}, "job"},
		{store.Term{Key: "created", Op: store.Less, Values: []string{"50"}}, ""}, {store.Term{Key: "created", Op: store.Greater, Values: []string{"-1e300"}}, "Web-1 job"},
	} {
		var got []string
		for _, n := range h.nodes(store.Filter{Terms: []store.Term{c.term}}) {
			got = append(got, n.Ref.Name)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v gives %q, not %q", c.term, got, c.want)
		}
	}
	h.equal(len(h.nodes(store.Filter{Terms: []store.Term{like("kind", "Job"), not(like("status", "Failed"))}, Namespaces: []string{""}})), 1)
	h.badTerms()
}

func (h *house) badTerms() {
	h.Helper()
	for _, term := range []store.Term{
		like("color", "red"), like("label:", "x"), like("attr:", "x"), like("created", "1"), like("name"), like("name", strings.Repeat("x", 5000)), {Key: "name", Op: "~", Values: []string{"x"}},
		{Key: "name", Op: store.Less, Values: []string{"1"}}, {Key: "color", Op: store.Less, Values: []string{"1"}}, {Key: "attr:x", Op: store.Less, Values: []string{"many"}},
		{Key: "created", Op: store.Greater, Values: []string{"NaN"}},
	} {
		h.wantCode(h.Store.Read(h.ctx, h.tenant, func(ctx context.Context, s store.Snapshot) error {
			_, _, err := s.Number(ctx, store.Filter{View: h.everything(), Terms: []store.Term{term}}, 1)
			return err
		}), fault.BadRequest)
	}
}

// wild tells whether a pattern fits a text, letter by letter.
func wild(p, s string) bool {
	switch {
	case p == "":
		return s == ""
	case p[0] == '*':
		return wild(p[1:], s) || s != "" && wild(p, s[1:])
	case s == "":
		return false
	case p[0] == '?':
		return wild(p[1:], s[1:])
	case p[0] == '\\' && len(p) > 1:
		p = p[1:]
	}
	return strings.EqualFold(p[:1], s[:1]) && wild(p[1:], s[1:])
}

// values are what a term of that key looks at.
func values(n *topo.Node, key string) []string {
	attr := func(name string) []string {
		v, ok := topo.Value(n.Attrs, name)
		if !ok {
			return nil
		}
		return []string{v}
	}
	words := func(name string) []string { return strings.Fields(strings.Join(attr(name), " ")) }
	label, isLabel := strings.CutPrefix(key, store.LabelKey)
	switch {
	case isLabel:
		if v, ok := topo.Value(n.Labels, label); ok {
			return []string{v}
		}
		return nil
	case key == "name":
		return []string{n.Ref.Name}
	case key == "status":
		return []string{n.Status}
	case key == "app":
		return []string{strings.Join(attr("app"), "")}
	case key == "image":
		return words("images")
	case key == "text":
		all := append([]string{n.Ref.Name}, words("images")...)
		for _, l := range n.Labels {
			all = append(all, l.Value)
		}
		return append(all, words("ip")...)
	default:
		return attr(strings.TrimPrefix(key, store.AttrKey))
	}
}

func fulfils(n *topo.Node, t *store.Term) bool {
	for _, v := range values(n, t.Key) {
		for _, p := range t.Values {
			if t.Op == store.Like && wild(p, v) {
				return !t.Not
			}
		}
		if t.Op != store.Like {
			bound, _ := strconv.ParseFloat(t.Values[0], 64)
			if n, err := strconv.ParseFloat(v, 64); err == nil && (t.Op == store.Less && n < bound || t.Op == store.Greater && n > bound) {
				return !t.Not
			}
		}
	}
	return t.Not
}

// jumble makes nodes and edges over few words, so that questions find some of them and not others.
func jumble(r *rand.Rand) (d store.Delta) {
	word := func() string { return []string{"web", "Web-api", "a_b", "a%b", "api", "x\\y", "10", "2"}[r.IntN(8)] }
	for i := range 40 {
		n := topo.Node{Ref: topo.Ref{Kind: []string{"Pod", "Job", "Secret"}[r.IntN(3)], Namespace: fmt.Sprint("n", r.IntN(3)), Name: word() + fmt.Sprint(i)}}
		n.Presence, n.Health, n.Status = topo.Presence(max(r.IntN(6)-3, 0)), topo.Health(r.IntN(5)), word()
		for _, key := range []string{"app", "images", "ip", "n"} {
			if r.IntN(2) == 0 {
				n.Attrs = append(n.Attrs, topo.Pair{Key: key, Value: strings.TrimSpace(word() + []string{"", " " + word()}[r.IntN(2)])})
			}
		}
		for _, key := range []string{"k", "l"} {
			if r.IntN(2) == 0 {
				n.Labels = append(n.Labels, topo.Pair{Key: key, Value: word()})
			}
		}
		d.Nodes = append(d.Nodes, n)
	}
	for range 60 {
		e := edge(d.Nodes[r.IntN(40)].Ref, d.Nodes[r.IntN(40)].Ref, fmt.Sprint("r", r.IntN(2)))
		e.Type = topo.EdgeTypes[r.IntN(3)]
		d.Edges = append(d.Edges, e)
	}
	return d
}

func randomTerm(r *rand.Rand) store.Term {
	key := []string{"name", "status", "app", "image", "text", "label:k", "label:none", "attr:n", "attr:ip"}[r.IntN(9)]
	t := like(key, []string{"*", "web*", "*A?B*", "*%*", "10", "*\\?*", "a_b", "x\\\\y", "?eb*", "*1"}[r.IntN(10)])
	if r.IntN(3) == 0 {
		t.Values = append(t.Values, "*api")
	}
	if r.IntN(4) == 0 {
		t = store.Term{Key: []string{"label:k", "attr:n"}[r.IntN(2)], Op: []store.TermOp{store.Less, store.Greater}[r.IntN(2)], Values: []string{"5"}}
	}
	t.Not = r.IntN(3) == 0
	return t
}

// questions: random data, random terms; lists, groups, edges between groups, what is unlinked and what dangles agree with a naive count.
func questions(_ *testing.T, h *house) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 11))
		d := jumble(r)
		s := h.loaded(store.Delta{Nodes: d.Nodes[:20], Edges: d.Edges[:30]})
		s.apply(store.Delta{Nodes: d.Nodes[20:], Edges: d.Edges[30:]})
		for range 60 {
			f := store.Filter{View: h.everything(), Clusters: clustersOf(s.at), Placeholders: r.IntN(2) == 0}
			for range r.IntN(3) {
				f.Terms = append(f.Terms, randomTerm(r))
			}
			h.ask(&d, f, r)
		}
	}
}

// oracle's answer to a filter of terms.
func meant(d *store.Delta, f *store.Filter) (nodes []topo.Node, refs map[topo.Ref]*topo.Node) {
	refs = map[topo.Ref]*topo.Node{}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		ok := f.Placeholders || n.Presence == topo.Present
		for j := range f.Terms {
			ok = ok && fulfils(n, &f.Terms[j])
		}
		if ok {
			nodes, refs[n.Ref] = append(nodes, *n), n
		}
	}
	return sorted(nodes...), refs
}

func (h *house) ask(d *store.Delta, f store.Filter, r *rand.Rand) {
	h.Helper()
	want, refs := meant(d, &f)
	h.read(func(s store.Snapshot) error {
		rows, err := s.Resources(h.ctx, f, nil, 100)
		h.must(err)
		if got := nodesOf(rows); !slices.EqualFunc(got, want, func(a, b topo.Node) bool { return a.Ref == b.Ref }) {
			h.Fatalf("%+v gives %v, not %v", f.Terms, got, want)
		}
		n, exact, err := s.Number(h.ctx, f, 100)
		h.must(err)
		h.equal([]any{n, exact}, []any{len(want), true})
		h.askGroups(s, d, f, want, refs, r)
		h.askLinks(s, d, f, want, refs, r)
		return nil
	})
}

func nodesOf(rows []store.Row) (nodes []topo.Node) {
	for _, r := range rows {
		nodes = append(nodes, r.Node)
	}
	return nodes
}

func (h *house) askGroups(s store.Snapshot, d *store.Delta, f store.Filter, want []topo.Node, refs map[topo.Ref]*topo.Node, r *rand.Rand) {
	h.Helper()
	by := []store.Dimension{store.ByKind, store.ByNamespace, store.ByApplication, store.ByCluster}
	r.Shuffle(len(by), func(i, j int) { by[i], by[j] = by[j], by[i] })
	by = by[:r.IntN(5)]
	keyOf := func(n *topo.Node) (g store.Group) {
		for _, dim := range by {
			switch dim {
			case store.ByKind:
				g.Kind = n.Ref.GroupKind()
			case store.ByNamespace:
				g.Namespace = n.Ref.Namespace
			case store.ByApplication:
				g.Application, _ = topo.Value(n.Attrs, "app")
			case store.ByCluster:
				g.Cluster = f.Clusters[0]
			}
		}
		return g
	}
	counted := map[store.Group]*store.Group{}
	for i := range want {
		key := keyOf(&want[i])
		if counted[key] == nil {
			g := key
			counted[key] = &g
		}
		switch want[i].Presence {
		case topo.Missing:
			counted[key].Missing++
		case topo.Unobserved:
			counted[key].Unobserved++
		default:
			counted[key].Health[want[i].Health]++
		}
	}
	groups, err := s.Groups(h.ctx, f, by, 1000)
	h.must(err)
	place := map[store.Group]int{}
	for i, g := range groups {
		key := store.Group{Cluster: g.Cluster, Namespace: g.Namespace, Application: g.Application, Kind: g.Kind}
		h.equal(&g, counted[key])
		place[key] = i
	}
	h.equal(len(groups), len(counted))
	if len(groups) > 1 {
		few, err := s.Groups(h.ctx, f, by, 1)
		h.must(err)
		h.equal(few, groups[:1])
		groups = groups[1:] // edges are counted of those that are asked for
	}
	sums := map[store.GroupEdge]int{}
	for _, e := range dedupe(d.Edges) {
		from, to := refs[e.Source], refs[e.Target]
		if from == nil || to == nil || e.Type == topo.Mounts {
			continue
		}
		g := store.GroupEdge{Source: place[keyOf(from)] - len(place) + len(groups), Target: place[keyOf(to)] - len(place) + len(groups), Type: e.Type}
		if g.Source >= 0 && g.Target >= 0 {
			sums[g]++
		}
	}
	edges, err := s.GroupEdges(h.ctx, f, by, groups, []topo.EdgeType{topo.EdgeTypes[0], topo.EdgeTypes[1]})
	h.must(err)
	for _, e := range edges {
		n := e.Number
		e.Number = 0
		h.equal(n, sums[e])
	}
	h.equal(len(edges), len(sums))
}

// dedupe keeps the last of edges with one key, as the store does.
func dedupe(edges []topo.Edge) (kept []topo.Edge) {
	byKey := map[topo.EdgeID]topo.Edge{}
	for _, e := range edges {
		byKey[e.Key()] = e
	}
	for _, e := range byKey {
		kept = append(kept, e)
	}
	slices.SortFunc(kept, func(a, b topo.Edge) int { return a.Key().Compare(b.Key()) })
	return kept
}

func (h *house) askLinks(s store.Snapshot, d *store.Delta, f store.Filter, want []topo.Node, refs map[topo.Ref]*topo.Node, r *rand.Rand) {
	h.Helper()
	dir, types := []store.Direction{store.Out, store.Into, store.Both}[r.IntN(3)], topo.EdgeTypes[:r.IntN(3)]
	touched, dangling := map[topo.Ref]bool{}, []topo.EdgeID(nil)
	_, all := meant(d, &store.Filter{Placeholders: true})
	for _, e := range dedupe(d.Edges) {
		if len(types) == 0 || slices.Contains(types, e.Type) {
			touched[e.Source] = touched[e.Source] || dir != store.Into
			touched[e.Target] = touched[e.Target] || dir != store.Out
		}
		if refs[e.Source] != nil && all[e.Target].Presence == topo.Missing {
			dangling = append(dangling, e.Key())
		}
	}
	loose := slices.DeleteFunc(slices.Clone(want), func(n topo.Node) bool { return touched[n.Ref] })
	var after *store.Key
	for len(loose) > 0 {
		rows, err := s.Unlinked(h.ctx, f, dir, types, after, 3)
		h.must(err)
		h.equal(len(rows), min(3, len(loose)))
		for _, row := range rows {
			h.equal(row.Node.Ref, loose[0].Ref)
			loose, after = loose[1:], &store.Key{Ref: row.Node.Ref, Cluster: row.Cluster}
		}
	}
	rows, err := s.Unlinked(h.ctx, f, dir, types, after, 3)
	h.must(err)
	h.equal(len(rows), 0)
	var place *store.EdgePlace
	for {
		edges, err := s.Dangling(h.ctx, f, place, 2)
		h.must(err)
		h.equal(len(edges), min(2, len(dangling)))
		if len(edges) == 0 {
			return
		}
		for _, e := range edges {
			h.equal(e.ID, dangling[0])
			h.equal(e.Edge.Key(), dangling[0])
			dangling, place = dangling[1:], &store.EdgePlace{Cluster: e.Cluster, ID: e.ID}
		}
	}
}

// ownerCycles: chains are none, a ring of three and an owner of itself are; what hangs below a ring is not in it.
func ownerCycles(_ *testing.T, h *house) {
	var d store.Delta
	for _, way := range []string{"ab", "bc", "ca", "cx", "xy", "wa", "ss", "pq", "qp", "qp"} {
		for _, name := range way {
			d.Nodes = append(d.Nodes, pod(string(name)))
		}
		e := edge(ref("Pod", way[:1]), ref("Pod", way[1:]), "owner")
		e.Type = topo.Owns
		d.Edges = append(d.Edges, e)
	}
	d.Edges = append(d.Edges, edge(ref("Pod", "y"), ref("Pod", "x"), "r")) // mounts, not owns
	s := h.loaded(d)
	h.read(func(snap store.Snapshot) error {
		cycles, err := snap.OwnerCycles(h.ctx, s.at, 10)
		h.must(err)
		var names []string
		for _, rows := range cycles {
			way := ""
			for _, row := range rows {
				way += row.Node.Ref.Name
			}
			least := strings.IndexByte(way, slices.Min([]byte(way)))
			names = append(names, way[least:]+way[:least])
		}
		slices.Sort(names)
		h.equal(names, []string{"abc", "pq", "s"})
		few, err := snap.OwnerCycles(h.ctx, s.at, 1)
		h.equal(len(few), 1)
		return err
	})
}

// groupViews: groups and their edges are of what the view shows, clusters apart.
func groupViews(_ *testing.T, h *house) {
	bank := topo.Ref{Kind: "Pod", Namespace: "bank", Name: "b"}
	d := store.Delta{Nodes: []topo.Node{pod("a"), {Ref: bank}}, Edges: []topo.Edge{edge(ref("Pod", "a"), bank, "r"), edge(bank, bank, "r")}}
	one, two := h.loaded(d), h.loaded(d)
	view := fleet.View{Tenant: h.tenant, Clusters: map[fleet.ClusterID][]string{one.at.Cluster: nil, two.at.Cluster: {"bank"}}}
	by := []store.Dimension{store.ByNamespace, store.ByCluster}
	h.read(func(s store.Snapshot) error {
		groups, err := s.Groups(h.ctx, store.Filter{View: view}, by, 10)
		h.must(err)
		h.equal(len(groups), 3)
		if !slices.IsSortedFunc(groups, func(a, b store.Group) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Cluster, b.Cluster))
		}) {
			h.Fatalf("not in the order of the dimensions: %v", groups)
		}
		edges, err := s.GroupEdges(h.ctx, store.Filter{View: view}, by, groups, nil)
		h.must(err)
		h.equal(len(edges), 3)
		for _, e := range edges {
			h.equal(groups[e.Source].Cluster, groups[e.Target].Cluster)
		}
		_, err = s.Groups(h.ctx, store.Filter{View: view}, []store.Dimension{"color"}, 1)
		h.wantCode(err, fault.BadRequest)
		_, err = s.Groups(h.ctx, store.Filter{View: view}, []store.Dimension{store.ByKind, store.ByKind}, 1)
		h.wantCode(err, fault.BadRequest)
		return nil
	})
}

// questionsThen: what was answered at a position is answered the same later, of that position.
func questionsThen(_ *testing.T, h *house) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 17))
		d := jumble(r)
		s := h.loaded(store.Delta{Nodes: d.Nodes[:30], Edges: d.Edges[:30]})
		s.apply(store.Delta{Nodes: d.Nodes[30:], Edges: d.Edges[30:]})
		var filters []store.Filter
		for range 12 {
			filters = append(filters, store.Filter{View: h.everything(), Clusters: clustersOf(s.at), Placeholders: r.IntN(2) == 0, Terms: []store.Term{randomTerm(r)}})
		}
		filters = append(filters, store.Filter{View: h.everything(), Clusters: clustersOf(s.at), Terms: []store.Term{like("text", "*web*")}})
		var at topo.Position
		var now []any
		h.read(func(snap store.Snapshot) error {
			at, now = snap.Position(), h.answers(snap, s.at, filters)
			return nil
		})
		for i := range d.Nodes[:20] {
			d.Nodes[i].Status, d.Nodes[i].Health, d.Nodes[i].Attrs, d.Nodes[i].Labels = "Changed", topo.Error, []topo.Pair{{Key: "app", Value: "new"}}, nil
		}
		gone := store.Delta{Nodes: d.Nodes[:20], GoneNodes: []topo.ID{d.Nodes[25].Ref.ID(), d.Nodes[35].Ref.ID()}}
		for _, e := range d.Edges[:20] {
			gone.GoneEdges = append(gone.GoneEdges, e.Key())
		}
		s.apply(gone)
		h.must(h.Store.ReadAt(h.ctx, h.tenant, store.When{Position: at}, func(_ context.Context, snap store.Snapshot) error {
			h.equal(h.answers(snap, s.at, filters), now)
			return nil
		}))
		if seed == 0 {
			h.read(func(snap store.Snapshot) error {
				if fmt.Sprint(h.answers(snap, s.at, filters)) == fmt.Sprint(now) {
					h.Fatal("nothing has changed")
				}
				return nil
			})
		}
		h.must(h.Store.DeleteCluster(h.ctx, s.at))
	}
}

// answers are those to all kinds of questions.
func (h *house) answers(s store.Snapshot, at store.Scope, filters []store.Filter) (all []any) {
	h.Helper()
	add := func(v any, err error) {
		h.Helper()
		h.must(err)
		all = append(all, v)
	}
	by := []store.Dimension{store.ByNamespace, store.ByApplication}
	for _, f := range filters {
		groups, err := s.Groups(h.ctx, f, by, 100)
		add(groups, err)
		edges, err := s.GroupEdges(h.ctx, f, by, groups, nil)
		add(edges, err)
		loose, err := s.Unlinked(h.ctx, f, store.Both, nil, nil, 100)
		add(loose, err)
		dangling, err := s.Dangling(h.ctx, f, nil, 100)
		add(dangling, err)
		rows, _, err := s.Search(h.ctx, f, 100)
		add(rows, err)
		for _, key := range []string{"namespace", "kind", "app", "label:", "label:k", "image"} {
			values, err := s.Values(h.ctx, f, key, "", 100)
			add(values, err)
		}
	}
	counts, err := s.Counts(h.ctx, h.everything(), clustersOf(at))
	add(counts, err)
	numbers, err := s.EdgeCounts(h.ctx, h.everything(), clustersOf(at))
	add(numbers, err)
	cycles, err := s.OwnerCycles(h.ctx, at, 10)
	add(cycles, err)
	return all
}
