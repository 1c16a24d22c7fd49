package query

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// told gives a difference in lines: "+Pod x", "~Pod y health", "-edge a b"; all pages of it.
func told(t *testing.T, q *Querier, p fleet.Principal, d DiffQuestion) (lines []string, first *Diff) {
	t.Helper()
	sign := map[string]string{opAdded: "+", opRemoved: "-", opChanged: "~"}
	for {
		out, err := q.Diff(t.Context(), p, d)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = out
		}
		if out.Counts != first.Counts || out.From != first.From || out.Position != first.Position {
			t.Errorf("a later page says %+v, %+v", out.Counts, out.From)
		}
		for _, n := range out.Nodes {
			r := n.After
			if r == nil {
				r = n.Before
			}
			line := sign[n.Op] + r.Kind + " " + r.Name
			for _, f := range n.Changed {
				line += " " + f.Field
			}
			if n.Late {
				line += " late"
			}
			lines = append(lines, line)
		}
		for _, e := range out.Edges {
			r := e.After
			if r == nil {
				r = e.Before
			}
			lines = append(lines, sign[e.Op]+"edge "+r.Source.Name+" "+r.Target.Name)
		}
		if d.Continue = out.Continue; d.Continue == "" {
			slices.Sort(lines)
			return lines, first
		}
	}
}

func TestDiffs(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q := New(st)
	before, err := q.Position(t.Context(), p.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	healed := querytest.With(querytest.Node("Pod shop/web-b", "app=web", "tier=back"), "ready=1/1")
	c.Apply(topo.Delta{
		Nodes: []topo.Node{healed, querytest.Node("Pod shop/web-c"), querytest.Node("Pod bank/other")}, GoneNodes: []topo.ID{querytest.Ref("Pod shop/web-a").ID()},
		Edges:     []topo.Edge{querytest.Edge("Service shop/web", topo.Selects, "Pod shop/web-c"), querytest.Edge("Pod bank/other", topo.RunsOn, "Node n1")},
		GoneEdges: goneEdges(querytest.Shop(), "Pod shop/web-a"),
	})
	from := store.When{Position: before}
	all := []string{
		"+Pod other", "+Pod web-c", "+edge other n1", "+edge web web-c", "-Pod web-a", "-edge web web-a", "-edge web-1 web-a", "-edge web-a n1", "-edge web-a web",
		"~Pod web-b health status attrs.ready labels.tier",
	}
	inShop := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return strings.Contains(s, "other") })
	for _, limit := range []int{0, 1, 3, 4} {
		for name, ask := range map[string]struct {
			where Where
			eyes  fleet.Principal
			want  []string
		}{
			"fleet":     {Where{}, p, all},
			"cluster":   {Where{Clusters: []fleet.ClusterID{c.ID}}, p, all},
			"namespace": {Where{Namespaces: []string{"shop"}}, p, inShop},
			"object":    {Where{Namespaces: []string{"shop"}, Names: []string{"web-c"}, Kinds: []topo.GroupKind{{Kind: "Pod"}}}, p, []string{"+Pod web-c", "+edge web web-c"}},
			"eyes":      {Where{}, may(p.Tenant, "shop"), slices.DeleteFunc(slices.Clone(inShop), func(s string) bool { return strings.Contains(s, "n1") })},
			"labels":    {Where{Labels: "tier=back"}, p, []string{"~Pod web-b health status attrs.ready labels.tier"}},
		} {
			lines, first := told(t, q, ask.eyes, DiffQuestion{Where: ask.where, From: from, Page: Page{Limit: limit}})
			if !slices.Equal(lines, ask.want) {
				t.Errorf("%s by %d:\n%v\nwant\n%v", name, limit, lines, ask.want)
			}
			n := first.Counts
			if !n.Exact || n.Added+n.Removed+n.Changed+n.EdgesAdded+n.EdgesRemoved+n.EdgesChanged != len(ask.want) || (first.Truncated != nil) != (name == "labels") {
				t.Errorf("%s by %d: %+v of %d, %+v", name, limit, n, len(ask.want), first.Truncated)
			}
		}
	}
	if lines, _ := told(t, q, p, DiffQuestion{From: from, Where: Where{At: from}}); lines != nil {
		t.Errorf("between a moment and itself: %v", lines)
	}
	for _, bad := range []store.When{{}, {Time: time.Now().Add(time.Hour)}, {Position: before + 100}} {
		if _, err := q.Diff(t.Context(), p, DiffQuestion{From: bad}); !fault.Is(err, fault.BadRequest) || fault.Public(err).Fields[0].Name != "from" {
			t.Errorf("from %v: %v", bad, err)
		}
	}
}

// What a resync finds is marked late, with the beginning of the gap.
func TestLateChangesAreMarked(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q := New(st)
	before, _ := q.Position(t.Context(), p.Tenant)
	gap := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	c.ApplyLate(gap, topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/web-b", "app=web")}, GoneNodes: []topo.ID{querytest.Ref("Pod bank/vault").ID()}, GoneEdges: goneEdges(querytest.Shop(), "Pod bank/vault")})
	lines, first := told(t, q, p, DiffQuestion{From: store.When{Position: before}})
	if want := []string{"-Pod vault late", "-edge vault n1", "~Pod web-b health status labels.tier late"}; !slices.Equal(lines, want) || !first.Nodes[0].GapSince.Equal(gap) {
		t.Errorf("%v, want %v", lines, want)
	}
	h, err := q.History(t.Context(), p, Which{Cluster: c.ID, Ref: querytest.Ref("Pod shop/web-b")}, Page{})
	if err != nil || len(h.Items) != 2 || !h.Items[0].Late || !h.Items[0].GapSince.Equal(gap) || h.Items[1].Late {
		t.Errorf("%+v %v", h, err)
	}
}

func TestHistory(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q := New(st)
	w := Which{Cluster: c.ID, Ref: querytest.Ref("ConfigMap shop/web")}
	var positions []topo.Position
	for i := range 4 {
		text := fmt.Sprintf(`{"kind":"ConfigMap","metadata":{"name":"web"},"data":{"color":"red","n":"%d","list":[1,%d]}}`, i, i)
		positions = append(positions, c.Apply(topo.Delta{
			Nodes: []topo.Node{querytest.With(querytest.Node("ConfigMap shop/web"), fmt.Sprint("keys=", i))}, Manifests: []topo.Manifest{querytest.Manifest("ConfigMap shop/web", text)},
		}))
	}
	c.Apply(topo.Delta{GoneNodes: []topo.ID{w.Ref.ID()}, GoneManifests: []topo.ID{w.Ref.ID()}, GoneEdges: goneEdges(querytest.Shop(), "ConfigMap shop/web")})
	var all []Revision
	token := ""
	for first := true; first || token != ""; first = false {
		h, err := q.History(t.Context(), p, w, Page{Limit: 2, Continue: token})
		if err != nil {
			t.Fatal(err)
		}
		all, token = append(all, h.Items...), h.Continue
	}
	if len(all) != 5 || !all[0].Went || all[0].To == nil || !all[4].Came || all[1].Went || all[1].Came || !all[0].Manifest {
		t.Fatalf("%d revisions, %+v", len(all), all)
	}
	for i, rev := range all[:3] {
		if rev.Revision != positions[3-i] || len(rev.Changed) != 2 || rev.Changed[0].Field != "attrs.keys" || *rev.Changed[0].After != fmt.Sprint(3-i) || rev.Changed[1].Field != "manifest" {
			t.Errorf("revision %d: %+v", i, rev)
		}
	}
	text, err := q.Revision(t.Context(), p, w, positions[1])
	if err != nil || text.Mode != ModeManifest || !strings.Contains(text.YAML, "\n  color: red\n") || !strings.Contains(text.YAML, `"n": "1"`) || text.Revision.Revision != positions[1] {
		t.Errorf("%+v %v", text, err)
	}
	if _, err := q.Revision(t.Context(), p, w, positions[3]+1); !fault.Is(err, fault.NotFound) {
		t.Errorf("a revision after it went: %v", err)
	}
	if _, err := q.History(t.Context(), may(p.Tenant, "bank"), w, Page{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("the history of what may not be seen: %v", err)
	}
	compareRevisions(t, q, p, CompareQuestion{Which: w, From: positions[0], To: positions[3]})
}

// A text that changes alone makes a revision; one that follows the node's change within seconds belongs to that.
func TestTextsMakeRevisions(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q := New(st)
	const name = "ConfigMap shop/web"
	w := Which{Cluster: c.ID, Ref: querytest.Ref(name)}
	text := func(color string) topo.Position {
		return c.Apply(topo.Delta{Manifests: []topo.Manifest{querytest.Manifest(name, `{"kind":"ConfigMap","metadata":{"name":"web"},"data":{"color":"`+color+`"}}`)}})
	}
	red, green := text("red"), text("green")
	node := c.Apply(topo.Delta{Nodes: []topo.Node{querytest.With(querytest.Node(name), "keys=2")}})
	black := text("black") // on its way while the node was changed
	white := text("white")
	gone := c.Apply(topo.Delta{GoneNodes: []topo.ID{w.Ref.ID()}, GoneManifests: []topo.ID{w.Ref.ID()}, GoneEdges: goneEdges(querytest.Shop(), name)})
	again := c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node(name)}})
	want := []string{
		fmt.Sprint(again, " 0 came []"), fmt.Sprint(white, " ", gone, " went [manifest]"), fmt.Sprint(node, " ", white, " [attrs.keys manifest]"),
		fmt.Sprint(green, " ", node, " [manifest]"), fmt.Sprint(red, " ", green, " [manifest]"),
	}
	for _, limit := range []int{0, 1, 2, 3} {
		var got []string
		token := ""
		for first := true; first || token != ""; first = false {
			h, err := q.History(t.Context(), p, w, Page{Limit: limit, Continue: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range h.Items {
				line := fmt.Sprint(r.Revision, " ", r.Until)
				if r.Came {
					line += " came"
				}
				if r.Went {
					line += " went"
				}
				var fields []string
				for _, f := range r.Changed {
					fields = append(fields, f.Field)
				}
				got = append(got, line+fmt.Sprint(" ", fields))
			}
			token = h.Continue
		}
		if len(got) != 6 || !slices.Equal(got[:5], want) {
			t.Errorf("by %d:\n%s\nwant\n%s", limit, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for at, color := range map[topo.Position]string{red - 1: "blue", red: "red", green: "green", node: "black", black: "black", white: "white"} {
		rev, err := q.Revision(t.Context(), p, w, at)
		if err != nil || rev.Mode != ModeManifest || !strings.Contains(rev.YAML, "color: "+color) || rev.Revision.Went != (at == white) {
			t.Errorf("at %d: %+v %v, want %s", at, rev, err, color)
		}
	}
	if rev, err := q.Revision(t.Context(), p, w, again); err != nil || rev.Mode != ModeAttributes {
		t.Errorf("without a text: %+v %v", rev, err)
	}
	if _, err := q.Revision(t.Context(), p, w, gone); !fault.Is(err, fault.NotFound) {
		t.Errorf("while it was gone: %v", err)
	}
}

// A text that changed, of a resource that is as it was, is a change: a ConfigMap's values are nothing else.
func TestChangedTextsAreDifferences(t *testing.T) {
	st, p := fresh(t)
	d := querytest.Shop()
	for i := range 6 {
		d.Nodes = append(d.Nodes, querytest.Node(fmt.Sprint("ConfigMap shop/c", i), fmt.Sprint("n=", i%2)))
		d.Manifests = append(d.Manifests, querytest.Manifest(fmt.Sprint("ConfigMap shop/c", i), fmt.Sprint(`{"v":`, i, `}`)))
	}
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	q := New(st)
	before, _ := q.Position(t.Context(), p.Tenant)
	text := func(i, v int) topo.Manifest {
		return querytest.Manifest(fmt.Sprint("ConfigMap shop/c", i), fmt.Sprint(`{"v":`, i, `,"w":`, v, `}`))
	}
	c.Apply(topo.Delta{Manifests: []topo.Manifest{text(0, 1), text(1, 1), text(2, 1), querytest.Manifest("ConfigMap shop/c3", `{"x":1}`)}})
	c.Apply(topo.Delta{
		Nodes:     []topo.Node{querytest.With(querytest.Node("ConfigMap shop/c1", "n=1"), "keys=2"), querytest.With(querytest.Node("ConfigMap shop/c4", "n=0"), "keys=2")},
		Manifests: []topo.Manifest{querytest.Manifest("ConfigMap shop/c3", `{"v":3}`), querytest.Manifest("Pod shop/web-b", `{"new":1}`)}, // back as it was; a first one
		GoneNodes: []topo.ID{querytest.Ref("ConfigMap shop/c5").ID()}, GoneManifests: []topo.ID{querytest.Ref("ConfigMap shop/c5").ID()},
	})
	want := []string{"-ConfigMap c5", "~ConfigMap c0 manifest", "~ConfigMap c1 attrs.keys manifest", "~ConfigMap c2 manifest", "~ConfigMap c4 attrs.keys"}
	for _, limit := range []int{0, 1, 2, 3} {
		lines, first := told(t, q, p, DiffQuestion{From: store.When{Position: before}, Page: Page{Limit: limit}})
		if !slices.Equal(lines, want) || first.Counts.Changed != 4 || first.Counts.Removed != 1 {
			t.Errorf("by %d: %v, %+v, want %v", limit, lines, first.Counts, want)
		}
	}
	if lines, _ := told(t, q, p, DiffQuestion{From: store.When{Position: before}, Where: Where{Labels: "n=0"}}); !slices.Equal(lines, []string{want[1], want[3], want[4]}) {
		t.Errorf("by label: %v", lines)
	}
	if lines, _ := told(t, q, may(p.Tenant, "bank"), DiffQuestion{From: store.When{Position: before}}); lines != nil {
		t.Errorf("what may not be seen: %v", lines)
	}
}

func compareRevisions(t *testing.T, q *Querier, p fleet.Principal, ask CompareQuestion) {
	t.Helper()
	cmp, err := q.Compare(t.Context(), p, ask)
	if err != nil {
		t.Fatal(err)
	}
	before, err := q.Revision(t.Context(), p, ask.Which, ask.From)
	if err != nil {
		t.Fatal(err)
	}
	after, err := q.Revision(t.Context(), p, ask.Which, ask.To)
	if err != nil {
		t.Fatal(err)
	}
	ops, err := jsonpatch.DecodePatch(cmp.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := ops.Apply(before.JSON)
	if err != nil || !jsonpatch.Equal(patched, after.JSON) {
		t.Errorf("the patch makes %s, not %s: %v", patched, after.JSON, err)
	}
	for _, line := range []string{"--- ConfigMap/web@", "+++ ConfigMap/web@", "\n-  \"n\": \"0\"\n", "\n+  \"n\": \"3\"\n", "@@ "} {
		if cmp.Mode == ModeManifest && !strings.Contains(cmp.Unified, line) {
			t.Errorf("the diff has no %q:\n%s", line, cmp.Unified)
		}
	}
}

// Without manifests, what the hub knows of an object is compared.
func TestComparisonOfAttributes(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q := New(st)
	before, _ := q.Position(t.Context(), p.Tenant)
	after := c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/web-b", "app=web")}})
	ask := CompareQuestion{Which: Which{Cluster: c.ID, Ref: querytest.Ref("Pod shop/web-b")}, From: before, To: after}
	cmp, err := q.Compare(t.Context(), p, ask)
	if err != nil || cmp.Mode != ModeAttributes || len(cmp.Changed) != 3 || !strings.Contains(cmp.Unified, "-health: error") || !strings.Contains(cmp.Unified, "-  tier: front") {
		t.Errorf("%+v %v", cmp, err)
	}
	compareRevisions(t, q, p, ask)
	ask.From = after
	if cmp, err = q.Compare(t.Context(), p, ask); err != nil || cmp.Unified != "" || string(cmp.Patch) != "[]" || len(cmp.Changed) != 0 {
		t.Errorf("with itself: %+v %v", cmp, err)
	}
	if _, err := ParseRevision("from", "x1"); !fault.Is(err, fault.BadRequest) || fault.Public(err).Fields[0].Name != "from" {
		t.Error(err)
	}
	if !json.Valid(cmp.Patch) {
		t.Error("the patch is no JSON")
	}
}
