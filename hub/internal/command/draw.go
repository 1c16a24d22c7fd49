package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

// drawing is a graph drawn as a tree: each node hangs on one that is a step nearer to the root, and what else ties it is told by reference.
type drawing struct {
	to       screen
	root     client.Ref
	siblings int

	nodes map[string]client.Node
	ties  map[string][]tie // by node
	under map[string]string
	kids  map[string][]tie
	drawn map[string]bool

	lines  []string
	folded bool
}

// tie is how a node is related to another: by one or several relationships in one direction.
type tie struct {
	other string
	out   bool // towards the other
	types []string
}

func (t *tie) add(word string) {
	if !slices.Contains(t.types, word) {
		t.types = append(t.types, word)
	}
}

func (t tie) words() string { return strings.Join(t.types, ", ") }

// newDrawing works out the tree; nil when the root isn't in the graph. With repeat, what is owned tells what its owner tells already.
func newDrawing(to screen, g *client.Graph, root client.Ref, siblings int, repeat bool) *drawing {
	d := &drawing{
		to: to, root: root, siblings: siblings, nodes: map[string]client.Node{}, ties: map[string][]tie{}, under: map[string]string{}, kids: map[string][]tie{},
		drawn: map[string]bool{},
	}
	for _, n := range g.Nodes {
		d.nodes[n.ID] = n
	}
	if _, ok := d.nodes[root.ID]; !ok {
		return nil
	}
	in := lineageOf(g.Edges)
	for _, e := range g.Edges {
		if repeat || !repeats(e, in, root.ID) {
			d.tie(e.Source.ID, e.Target.ID, true, e.Type)
			d.tie(e.Target.ID, e.Source.ID, false, e.Type)
		}
	}
	for id := range d.ties {
		for _, t := range d.ties[id] {
			slices.Sort(t.types)
		}
		slices.SortFunc(d.ties[id], d.compare)
	}
	d.hang()
	return d
}

func (d *drawing) tie(from, to string, out bool, word string) {
	if _, known := d.nodes[to]; !known || from == to {
		return
	}
	list := d.ties[from]
	for i := range list {
		if list[i].other == to && list[i].out == out {
			list[i].add(word)
			return
		}
	}
	d.ties[from] = append(list, tie{to, out, []string{word}})
}

// order is that of relationships below a node; those that aren't here come between.
var order = map[string]int{"owns": -6, "routes": -5, "selects": -4, "runs-on": 1, "mounts": 2, "references": 3, "scales": 4, "protects": 5}

// compare puts outward before inward, then goes by type and kind, the worst first.
func (d *drawing) compare(x, y tie) int {
	a, b := d.nodes[x.other], d.nodes[y.other]
	return cmp.Or(
		cmp.Compare(side(x), side(y)), cmp.Compare(order[x.types[0]], order[y.types[0]]), cmp.Compare(x.types[0], y.types[0]), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(gravity(a), gravity(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID),
	)
}

func side(t tie) int {
	if t.out {
		return 0
	}
	return 1
}

// gravity orders by how much something is to be looked at.
func gravity(n client.Node) int {
	return slices.Index([]string{"missing", "error", "warning", "progressing", "unobserved", "unknown", "ok"}, fares(n.Presence, n.Health))
}

// hang gives each node, step by step from the root, its place: under the first that is tied to it.
func (d *drawing) hang() {
	d.under[d.root.ID] = ""
	for level := []string{d.root.ID}; len(level) > 0; {
		var next []string
		for _, id := range level {
			for _, t := range d.ties[id] {
				if _, placed := d.under[t.other]; placed {
					continue
				}
				d.under[t.other] = id
				d.kids[id] = append(d.kids[id], t)
				next = append(next, t.other)
			}
		}
		level = next
	}
}

func (d *drawing) print(cluster string) error {
	d.lines = append(d.lines, d.label(d.nodes[d.root.ID])+d.to.in(faint, "  in "+cluster))
	d.drawn[d.root.ID] = true
	d.below(d.root.ID, "")
	return d.to.line("%s", strings.Join(d.lines, "\n"))
}

// below draws what hangs on a node.
func (d *drawing) below(id, indent string) {
	entries := d.entries(id)
	for i, e := range entries {
		branch, deeper := "├─ ", "│  "
		if i == len(entries)-1 {
			branch, deeper = "└─ ", "   "
		}
		d.lines = append(d.lines, d.to.in(faint, indent+branch)+e.text)
		if e.node != "" {
			d.drawn[e.node] = true
			d.below(e.node, indent+deeper)
		}
	}
}

// entry is a line below a node: another node, or a remark.
type entry struct{ text, node string }

// entries are the references of a node, then its children, of each sort as many as are drawn.
func (d *drawing) entries(id string) []entry {
	var out []entry
	if text := d.references(id); text != "" {
		out = append(out, entry{text: text})
	}
	kids := d.kids[id]
	for len(kids) > 0 {
		n := 1
		for n < len(kids) && d.alike(kids[0], kids[n]) {
			n++
		}
		shown := n
		if d.siblings > 0 && n > d.siblings+1 { // a line that says that one is folded is no shorter than the one
			shown = d.siblings
		}
		for _, t := range kids[:shown] {
			out = append(out, entry{d.arrow(t) + d.label(d.nodes[t.other]), t.other})
		}
		if shown < n {
			d.folded = true
			out = append(out, entry{text: d.to.in(faint, fmt.Sprintf("%s… and %d more: %s", d.bareArrow(kids[0]), n-shown, d.tally(kids[shown:n])))})
		}
		kids = kids[n:]
	}
	return out
}

func (d *drawing) alike(x, y tie) bool {
	a, b := d.nodes[x.other], d.nodes[y.other]
	return x.out == y.out && x.types[0] == y.types[0] && a.Kind == b.Kind && a.Group == b.Group
}

// tally counts what is folded, by how it fares.
func (d *drawing) tally(list []tie) string {
	counts := map[string]int{}
	var words []string
	for _, t := range list {
		n := d.nodes[t.other]
		word := fares(n.Presence, n.Health)
		if counts[word]++; counts[word] == 1 {
			words = append(words, word)
		}
	}
	for i, w := range words {
		words[i] = fmt.Sprintf("%d %s", counts[w], w)
	}
	return d.nodes[list[0].other].Kind + " " + strings.Join(words, ", ")
}

// references tells the ties of a node to those that hang elsewhere and are drawn: each once, at the one of the two that comes later.
func (d *drawing) references(id string) string {
	var parts []string
	names := map[string][]string{} // by what is said of them
	for _, t := range d.ties[id] {
		if !d.drawn[t.other] || d.under[id] == t.other && d.first(id, t) || d.under[t.other] == id {
			continue
		}
		n := d.nodes[t.other]
		how := d.bareArrow(t) + n.Kind
		if names[how] == nil {
			parts = append(parts, how)
		}
		names[how] = append(names[how], strings.TrimPrefix(called(n.Ref, d.root.Namespace), n.Kind+" "))
	}
	if len(parts) == 0 {
		return ""
	}
	for i, how := range parts {
		parts[i] = how + " " + plainly(d.few(names[how]))
	}
	return d.to.in(faint, "↑ "+strings.Join(parts, "  ·  "))
}

// few names as many as are drawn of one sort.
func (d *drawing) few(names []string) string {
	if d.siblings > 0 && len(names) > d.siblings+1 {
		d.folded = true
		return fmt.Sprintf("%s … and %d more", strings.Join(names[:d.siblings], ", "), len(names)-d.siblings)
	}
	return strings.Join(names, ", ")
}

// first tells whether a tie is the one by which the node hangs on its parent; there may be another, the other way.
func (d *drawing) first(id string, t tie) bool {
	for _, kid := range d.kids[t.other] {
		if kid.other == id {
			return kid.out != t.out
		}
	}
	return false
}

func (d *drawing) bareArrow(t tie) string {
	if t.out {
		return t.words() + " → "
	}
	return "← " + t.words() + " "
}

func (d *drawing) arrow(t tie) string { return d.to.in(faint, d.bareArrow(t)) }

// label is a node with how it fares.
func (d *drawing) label(n client.Node) string {
	word := fares(n.Presence, n.Health)
	of := signs[word]
	text := d.to.in(of.paint, or(of.mark, "?")) + " " + d.to.in(bold, plainly(called(n.Ref, d.usual(n))))
	rest := plainly(n.Status)
	if word != "ok" && word != "unknown" {
		rest = strings.TrimSpace(word + " " + rest)
	}
	if rest != "" {
		text += "  " + d.to.in(of.paint, rest)
	}
	if n.More {
		text += d.to.in(faint, " …")
	}
	return text
}

// usual is the namespace that goes without saying: the root's, below it.
func (d *drawing) usual(n client.Node) string {
	if n.ID == d.root.ID {
		return ""
	}
	return d.root.Namespace
}
