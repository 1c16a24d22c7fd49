package layout

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// random makes a graph that has what makes layouts hard: boxes within boxes, nodes in none, cycles, loops, doubled edges, several sizes.
func random(seed uint64, n, edges int) Graph {
	r := rand.New(rand.NewPCG(seed, 1))
	g := Graph{Direction: Direction(seed % 2)}
	for i := range n {
		node := Node{Key: fmt.Sprintf("node-%03d", i), Width: 150, Height: 48}
		if r.IntN(10) == 0 {
			node.Width, node.Height = 60+r.Float32()*200, 20+r.Float32()*100
		}
		for k := range r.IntN(4) {
			node.Path = append(node.Path, fmt.Sprintf("box-%d-%d", k, r.IntN(3)))
		}
		g.Nodes = append(g.Nodes, node)
	}
	for range edges {
		g.Edges = append(g.Edges, [2]int{r.IntN(n), r.IntN(n)})
	}
	return g
}

// application makes a graph as clusters have them: deployments that own pods, services that select them, what they mount, the nodes they run on.
func application(apps, pods int) Graph {
	var g Graph
	add := func(namespace, format string, args ...any) int {
		n := Node{Key: fmt.Sprintf(format, args...), Width: 150, Height: 48}
		if namespace != "" {
			n.Path = []string{namespace}
		}
		g.Nodes = append(g.Nodes, n)
		return len(g.Nodes) - 1
	}
	link := func(a, b int) { g.Edges = append(g.Edges, [2]int{a, b}) }
	var hosts []int
	for i := range 5 {
		hosts = append(hosts, add("", "node/%d", i))
	}
	for a := range apps {
		ns := fmt.Sprint("team-", a%4)
		deploy, rs := add(ns, "deploy/%02d", a), add(ns, "rs/%02d", a)
		svc, ing, cm, secret := add(ns, "svc/%02d", a), add(ns, "ing/%02d", a), add(ns, "cm/%02d", a), add(ns, "secret/%02d", a)
		link(deploy, rs)
		link(ing, svc)
		for p := range pods {
			pod := add(ns, "pod/%02d-%02d", a, p)
			link(rs, pod)
			link(svc, pod)
			link(pod, cm)
			link(pod, secret)
			if a%4 == 0 {
				link(pod, hosts[(a+p)%len(hosts)])
			}
		}
	}
	return g
}

func each(t *testing.T, f func(t *testing.T, g Graph, place func(Graph) *Placed)) {
	layouts := map[string]func(t *testing.T, g Graph) *Placed{
		"layered": func(t *testing.T, g Graph) *Placed { return must(t)(Layered(g)) },
		"packed":  func(_ *testing.T, g Graph) *Placed { return Packed(g) },
		"grid":    func(_ *testing.T, g Graph) *Placed { return Grid(g) },
		"radial":  func(t *testing.T, g Graph) *Placed { return must(t)(Radial(g, -1)) },
	}
	graphs := map[string]Graph{"none": {}, "one": random(1, 1, 1), "application": application(6, 3)}
	for seed := range uint64(20) {
		n := 2 + int(seed)*6
		graphs[fmt.Sprint("random ", seed)] = random(seed, n, n*int(seed%4))
	}
	for name, place := range layouts {
		for of, g := range graphs {
			t.Run(name+"/"+of, func(t *testing.T) { f(t, g, func(g Graph) *Placed { return place(t, g) }) })
		}
	}
}

func must(t *testing.T) func(*Placed, error) *Placed {
	return func(p *Placed, err error) *Placed {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

const slack = 0.01 // of float32 at a few thousand

func (r rect) overlaps(o rect) bool {
	return r.left < o.right-slack && o.left < r.right-slack && r.top < o.bottom-slack && o.top < r.bottom-slack
}

func (r rect) inside(o rect) bool {
	return r.left >= o.left-slack && r.right <= o.right+slack && r.top >= o.top-slack && r.bottom <= o.bottom+slack
}

func (b *Box) rect() rect { return rect{b.X, b.Y, b.X + b.Width, b.Y + b.Height} }

func under(path, of []string) bool { return len(path) >= len(of) && slices.Equal(path[:len(of)], of) }

func TestNothingOverlapsAndBoxesHoldTheirOwn(t *testing.T) {
	each(t, func(t *testing.T, g Graph, place func(Graph) *Placed) {
		p := place(g)
		page := rect{0, 0, p.Width, p.Height}
		for i := range g.Nodes {
			a := g.Nodes[i].at(p.X[i], p.Y[i])
			if !a.inside(page) {
				t.Errorf("%s %v is off the page %v", g.Nodes[i].Key, a, page)
			}
			for j := range i {
				if b := g.Nodes[j].at(p.X[j], p.Y[j]); a.overlaps(b) {
					t.Errorf("%s %v lies on %s %v", g.Nodes[i].Key, a, g.Nodes[j].Key, b)
				}
			}
		}
		for i := range p.Boxes {
			checkBox(t, &g, p, i)
		}
	})
}

func checkBox(t *testing.T, g *Graph, p *Placed, i int) {
	box, count := &p.Boxes[i], 0
	if !box.rect().inside(rect{0, 0, p.Width, p.Height}) {
		t.Errorf("box %v is off the page", box)
	}
	for n := range g.Nodes {
		at := g.Nodes[n].at(p.X[n], p.Y[n])
		switch in := under(g.Nodes[n].Path, box.Path); {
		case in && !at.inside(box.rect()):
			t.Errorf("%s %v is outside its box %v", g.Nodes[n].Key, at, *box)
		case !in && at.overlaps(box.rect()):
			t.Errorf("%s %v lies on a box %v that isn't its own", g.Nodes[n].Key, at, *box)
		case in:
			count++
		}
	}
	if box.Count != count {
		t.Errorf("box %v counts %d, holds %d", box.Path, box.Count, count)
	}
	for j := range i {
		other := &p.Boxes[j]
		switch {
		case len(other.Path) > len(box.Path):
			t.Errorf("box %v comes after %v", box.Path, other.Path)
		case under(box.Path, other.Path) && !box.rect().inside(other.rect()):
			t.Errorf("box %v is not inside %v", box, other)
		case !under(box.Path, other.Path) && box.rect().overlaps(other.rect()):
			t.Errorf("box %v lies on %v", box, other)
		}
	}
}

// shuffled is the same graph in another order, and where its nodes came from.
func shuffled(g Graph, seed uint64) (Graph, []int) {
	r := rand.New(rand.NewPCG(seed, 2))
	from := r.Perm(len(g.Nodes))
	to := make([]int, len(from))
	out := Graph{Direction: g.Direction}
	for i, f := range from {
		to[f] = i
		out.Nodes = append(out.Nodes, g.Nodes[f])
	}
	for _, e := range r.Perm(len(g.Edges)) {
		out.Edges = append(out.Edges, [2]int{to[g.Edges[e][0]], to[g.Edges[e][1]]})
	}
	return out, from
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	each(t, func(t *testing.T, g Graph, place func(Graph) *Placed) {
		want := place(g)
		other, from := shuffled(g, 7)
		got := place(other)
		for i, f := range from {
			if got.X[i] != want.X[f] || got.Y[i] != want.Y[f] {
				t.Fatalf("%s is at %v, %v, and at %v, %v in another order", g.Nodes[f].Key, want.X[f], want.Y[f], got.X[i], got.Y[i])
			}
		}
		if !reflect.DeepEqual(got.Boxes, want.Boxes) {
			t.Error("boxes differ")
		}
	})
}

// forward is whether an edge leads on, past each of its bends.
func forward(g *Graph, p *Placed, i int, backwards bool) bool {
	e := g.Edges[i]
	points := slices.Concat([]Point{{p.X[e[0]], p.Y[e[0]]}}, p.Bends[i], []Point{{p.X[e[1]], p.Y[e[1]]}})
	if backwards {
		slices.Reverse(points)
	}
	for k := 1; k < len(points); k++ {
		a, b := points[k-1], points[k]
		if g.Direction == TopDown && b.Y <= a.Y || g.Direction == LeftRight && b.X <= a.X {
			return false
		}
	}
	return true
}

func TestEdgesLeadDownButForCycles(t *testing.T) {
	for seed := range uint64(20) {
		g := random(seed, 60, 30+int(seed)*8)
		p := must(t)(Layered(g))
		var kept, turned [][2]int
		for i, e := range g.Edges {
			switch {
			case e[0] == e[1]:
			case forward(&g, p, i, false):
				kept = append(kept, e)
			case forward(&g, p, i, true):
				turned = append(turned, e)
			default:
				t.Errorf("edge %v goes up and down", e)
			}
		}
		d := newDigraph(len(g.Nodes), kept)
		for _, e := range turned {
			if !reaches(d, e[1], e[0]) {
				t.Errorf("edge %v leads up without a cycle", e)
			}
		}
	}
}

func reaches(d *digraph, from, to int) bool {
	seen := map[int]bool{from: true}
	for stack := []int{from}; len(stack) > 0; {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v == to {
			return true
		}
		for _, w := range d.out[v] {
			if !seen[w] {
				seen[w] = true
				stack = append(stack, w)
			}
		}
	}
	return false
}

// Long edges go around nodes: no bend lies on one.
func TestBendsAvoidNodes(t *testing.T) {
	for seed := range uint64(10) {
		g := random(seed, 50, 70)
		p := must(t)(Layered(g))
		for i := range g.Edges {
			for _, b := range p.Bends[i] {
				for n := range g.Nodes {
					if (rect{b.X, b.Y, b.X + 1, b.Y + 1}).overlaps(g.Nodes[n].at(p.X[n], p.Y[n])) {
						t.Errorf("edge %v passes through %s", g.Edges[i], g.Nodes[n].Key)
					}
				}
			}
		}
	}
}

// moved is the mean way that the nodes of before have moved in after, of which they are the first.
func moved(before, after *Placed) float64 {
	sum := 0.0
	for i := range before.X {
		sum += math.Hypot(float64(after.X[i]-before.X[i]), float64(after.Y[i]-before.Y[i]))
	}
	return sum / float64(len(before.X))
}

// One more leaf moves the others by less than a node's size in the mean, wherever it comes.
func TestLayeredIsStable(t *testing.T) {
	for _, direction := range []Direction{TopDown, LeftRight} {
		g := application(24, 3)
		g.Direction = direction
		before := must(t)(Layered(g))
		var ways []float64
		for parent := 0; parent < len(g.Nodes); parent += 3 {
			more := Graph{Nodes: append(slices.Clone(g.Nodes), g.Nodes[parent]), Edges: append(slices.Clone(g.Edges), [2]int{parent, len(g.Nodes)}), Direction: direction}
			more.Nodes[len(g.Nodes)].Key += "-more"
			ways = append(ways, moved(before, must(t)(Layered(more))))
		}
		slices.Sort(ways)
		t.Logf("direction %d: median %.1f, p90 %.1f, most %.1f of a page %.0f x %.0f", direction, ways[len(ways)/2], ways[len(ways)*9/10], ways[len(ways)-1], before.Width, before.Height)
		if ways[len(ways)/2] > 150 {
			t.Errorf("a leaf more moves the others by %.1f in the mean", ways[len(ways)/2])
		}
	}
}

func TestLayeredHasALimit(t *testing.T) {
	_, err := Layered(Graph{Nodes: make([]Node, MaxLayered+1)})
	if !fault.Is(err, fault.BadRequest) {
		t.Errorf("got %v", err)
	}
	if _, err := Layered(Graph{Nodes: make([]Node, 1), Edges: [][2]int{{0, 1}}}); !fault.Is(err, fault.Internal) {
		t.Errorf("got %v", err)
	}
}

// boxed makes n nodes in some applications of some namespaces.
func boxed(n int) Graph {
	var g Graph
	for i := range n {
		app := i / 20
		g.Nodes = append(g.Nodes, Node{Key: fmt.Sprintf("pod/%d", i), Width: 150, Height: 48, Path: []string{"c", fmt.Sprint("team-", app/10), fmt.Sprint("app-", app)}})
	}
	return g
}

func TestPackedKeepsSlots(t *testing.T) {
	g := boxed(4000)
	before := Packed(g)
	var all, outside, resized int
	for i := range 200 {
		gone := i * 20
		less := Graph{Nodes: slices.Delete(slices.Clone(g.Nodes), gone, gone+1)}
		after := Packed(less)
		n, far := 0, 0
		for j := range less.Nodes {
			k := j
			if j >= gone {
				k++
			}
			if after.X[j] != before.X[k] || after.Y[j] != before.Y[k] {
				n++
				if !slices.Equal(less.Nodes[j].Path, g.Nodes[gone].Path) {
					far++
				}
			}
		}
		if far > 0 {
			resized++
		}
		all += n
		outside += far
	}
	t.Logf("of 200 objects that went from boxes of 20, each moved %.2f others, %d outside its box", float64(all)/200, outside)
	if outside > 0 || all > 3*200 {
		t.Errorf("%d moved, %d of them outside the box; %d times a box changed its size", all, outside, resized)
	}
}

func TestCapacityLeavesRoom(t *testing.T) {
	last := 0
	for n := range 10_000 {
		c := capacity(n)
		if c < n || c < last || n > 8 && float64(c) > 2.1*float64(n) {
			t.Fatalf("%d nodes get %d slots, after %d", n, c, last)
		}
		last = c
	}
}
