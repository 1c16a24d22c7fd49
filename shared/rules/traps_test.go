package rules_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/topo/topotest"
)

// TestAnyOrder takes the objects that each scenario ends up with and applies them in other orders: the graph is always the one that
// the oracle builds from all of them at once.
func TestAnyOrder(t *testing.T) {
	table := defaultTable(t)
	files, err := filepath.Glob("testdata/traps/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range goldens(t) {
		files = append(files, f)
	}
	slices.Sort(files)
	for i, f := range files {
		objects := last(t, table, f)
		oracle := topotest.NewOracle(table)
		for _, r := range objects {
			oracle.Apply(topo.Change{Ref: r.Ref, Resource: &r})
		}
		want := oracle.Graph()
		for try := range 6 {
			shuffle := rand.New(rand.NewPCG(uint64(i), uint64(try)))
			shuffle.Shuffle(len(objects), func(a, b int) { objects[a], objects[b] = objects[b], objects[a] })
			engine, got := topo.NewEngine(table), topotest.NewGraph()
			for _, r := range objects {
				if err := got.Apply(engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})); err != nil {
					t.Fatalf("%s, order %d: %v", f, try, err)
				}
			}
			if diff := topotest.Compare(got, want); diff != "" {
				t.Errorf("%s, order %d:\n%s", f, try, diff)
			}
		}
	}
}

// last reads a scenario's objects, each as the scenario applies it last.
func last(t *testing.T, table *rules.Table, file string) []topo.Resource {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []topo.Resource
	at := map[topo.Ref]int{}
	for _, step := range strings.Split(string(raw), "\n\n") {
		_, body, ok := strings.Cut(step, "apply\n")
		if !ok {
			continue
		}
		body, _, _ = strings.Cut(body, "\n----")
		r := reduced(t, table, body)
		if i, seen := at[r.Ref]; seen {
			out[i] = r
			continue
		}
		at[r.Ref] = len(out)
		out = append(out, r)
	}
	return out
}

func defaultTable(t testing.TB) *rules.Table {
	t.Helper()
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// reduced reads an object from YAML.
func reduced(t testing.TB, table *rules.Table, body string) topo.Resource {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	kind, err := kindOf(raw)
	if err != nil {
		t.Fatal(err)
	}
	o, err := reduce.New(table).Reduce(kind, raw, false)
	if err != nil {
		t.Fatal(err)
	}
	return o.Resource
}

// TestManyOfAKind: nothing ends at the 500th object.
func TestManyOfAKind(t *testing.T) {
	table := defaultTable(t)
	engine := topo.NewEngine(table)
	put := func(body string) topo.Diff {
		r := reduced(t, table, body)
		return engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
	}
	for i := range 501 {
		put(fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: web-%d, namespace: shop, labels: {app: web}}\nspec: {nodeName: n1}", i))
	}
	if d := put("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}}"); len(d.Edges) != 501 {
		t.Errorf("the Service picks %d Pods, not 501", len(d.Edges))
	}
	if nodes, edges := engine.Len(); nodes != 503 || edges != 1002 {
		t.Errorf("%d nodes and %d edges, not 503 and 1002", nodes, edges)
	}
}

// TestLargeObject: of an object of 1 MiB, what the graph keeps is what the rules look for.
func TestLargeObject(t *testing.T) {
	table := defaultTable(t)
	filler := strings.Repeat("0123456789abcdef", 1<<16)
	pod := reduced(t, table, "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, annotations: {note: "+filler+"}}\n"+
		"spec: {nodeName: n1, containers: [{name: c, env: [{name: A, value: "+filler+"}, {name: B, valueFrom: {configMapKeyRef: {name: web, key: b}}}]}]}")
	config := reduced(t, table, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: shop}\ndata: {a: "+filler+"}")
	engine := topo.NewEngine(table)
	for _, r := range []topo.Resource{config, pod} {
		if size := len(fmt.Sprint(r)); size > 4096 {
			t.Errorf("%d bytes are kept of %s", size, r.Ref)
		}
		engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
	}
	if nodes, edges := engine.Len(); nodes != 3 || edges != 2 {
		t.Errorf("%d nodes and %d edges, not 3 and 2", nodes, edges)
	}
}

// TestManyVolumes: each of a Pod's 200 volumes is an edge, with its place, and one that goes takes only its own with it.
func TestManyVolumes(t *testing.T) {
	table := defaultTable(t)
	body := "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec:\n  volumes:\n"
	volumes := make([]string, 200)
	for i := range volumes {
		volumes[i] = fmt.Sprintf("  - {name: v%d, %s}\n", i, []string{
			fmt.Sprintf("configMap: {name: c%d}", i), fmt.Sprintf("secret: {secretName: s%d}", i), fmt.Sprintf("persistentVolumeClaim: {claimName: p%d}", i),
			"ephemeral: {volumeClaimTemplate: {spec: {}}}", fmt.Sprintf("projected: {sources: [{configMap: {name: c%d}}, {secret: {name: s%d}}]}", i-4, i),
		}[i%5])
	}
	engine := topo.NewEngine(table)
	full := reduced(t, table, body+strings.Join(volumes, ""))
	d := engine.Apply(topo.Change{Ref: full.Ref, Resource: &full})
	if len(d.Edges) != 240 || len(d.Nodes) != 201 {
		t.Errorf("%d edges and %d nodes, not 240 and 201", len(d.Edges), len(d.Nodes))
	}
	for _, c := range d.Edges {
		if c.Edge.Target.Name == "s199" && c.Edge.Path != "spec.volumes[199].projected.sources[1].secret.name" {
			t.Errorf("the last one is at %s", c.Edge.Path)
		}
	}
	less := reduced(t, table, body+strings.Join(volumes[:198], ""))
	if d = engine.Apply(topo.Change{Ref: less.Ref, Resource: &less}); len(d.Edges) != 3 {
		t.Errorf("%v", topotest.DiffLines(d))
	}
}

// FuzzObject reads anything as an object of any kind that the scenarios have: the table makes of it a graph that holds together, and that goes when
// the object goes.
func FuzzObject(f *testing.F) {
	table := defaultTable(f)
	for _, file := range goldens(f) {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := strings.Cut(string(raw), "apply\n")
		body, _, _ = strings.Cut(body, "\n----")
		if raw, err = yaml.YAMLToJSON([]byte(body)); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	reducer := reduce.New(table)
	f.Fuzz(func(t *testing.T, raw []byte) {
		kind, err := kindOf(raw)
		if err != nil {
			return
		}
		o, err := reducer.Reduce(kind, raw, false)
		if err != nil {
			return
		}
		engine, graph := topo.NewEngine(table), topotest.NewGraph()
		for _, c := range []topo.Change{{Ref: o.Resource.Ref, Resource: &o.Resource}, {Ref: o.Resource.Ref}} {
			if err := graph.Apply(engine.Apply(c)); err != nil {
				t.Fatal(err)
			}
			for _, e := range graph.Edges {
				if strings.ContainsRune(e.String(), 0) || len(e.Target.Name) > longest(raw) {
					t.Errorf("%q gave %s", raw, e.String())
				}
			}
		}
		if left := graph.Lines(); len(left) > 0 {
			t.Errorf("%q leaves %v", raw, left)
		}
	})
}

// longest is how long a name may be that comes of an object: it is there, or what is cut off and made short.
func longest(raw []byte) int { return max(3*len(raw), 256) }
