package export

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// mermaidEncoder writes a Mermaid flowchart. Nodes are numbered, which keeps the text short: Mermaid reads 50,000 characters and 500 edges unless it
// is told otherwise. They are written some at a time, so that those of a namespace stand in one box.
type mermaidEncoder struct {
	w       *bufio.Writer
	o       *Options
	numbers map[string]int
	waiting []mermaidNode
	boxes   int
}

type mermaidNode struct{ box, text string }

const mermaidChunk = 500 // nodes that wait to be put into boxes

func (m *mermaidEncoder) begin(first *query.Graph) error {
	if title := headline(m.o, first); title != "" {
		fmt.Fprintf(m.w, "---\ntitle: %s\n---\n", quoteYAML(title))
	}
	fmt.Fprint(m.w, "flowchart LR\n")
	for _, h := range healths {
		fmt.Fprintf(m.w, "  classDef %s fill:#ffffff,stroke:%s,stroke-width:2px,color:#1f2937\n", h.Name, h.Colour)
	}
	fmt.Fprint(m.w, "  classDef missing fill:#ffffff,stroke:#6b7280,stroke-dasharray:5 4,color:#6b7280\n  classDef outside opacity:0.6\n")
	return m.flushed()
}

func (m *mermaidEncoder) flushed() error {
	_, err := m.w.Write(nil)
	return err
}

// quoteYAML quotes for the front matter, whose double-quoted strings escape as JSON's do.
func quoteYAML(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// quoteMermaid quotes a label. Whatever Mermaid, Markdown in it or HTML in it might read as more than itself is written as an entity, with # for &.
func quoteMermaid(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString("<br/>")
		case r < ' ' || r == 0x7f:
			b.WriteRune('\uFFFD')
		case strings.ContainsRune("\"#&<>[](){}|\\`*_~;$%", r):
			fmt.Fprintf(&b, "#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (m *mermaidEncoder) number(cluster, id string) int {
	key := nodeID(cluster, id)
	n, ok := m.numbers[key]
	if !ok {
		n = len(m.numbers) + 1
		m.numbers[key] = n
	}
	return n
}

func (m *mermaidEncoder) node(n *query.GraphNode) error {
	label := n.Kind + "\n" + n.Name
	if n.Status != "" {
		label += "\n" + n.Status
	}
	class := healthOf(n.Health).Name
	if n.Presence == absent {
		class = "missing"
	}
	text := fmt.Sprintf("n%d[%s]:::%s", m.number(n.Cluster, n.ID), quoteMermaid(label), class)
	if n.Outside {
		text += fmt.Sprintf("\n  class n%d outside", m.number(n.Cluster, n.ID))
	}
	m.waiting = append(m.waiting, mermaidNode{m.box(n), text})
	if len(m.waiting) < mermaidChunk {
		return nil
	}
	return m.boxed()
}

// box is the title of the box that a node stands in; none for what is in no namespace, of one cluster.
func (m *mermaidEncoder) box(n *query.GraphNode) string {
	if len(m.o.Clusters) < 2 {
		return n.Namespace
	}
	return strings.TrimSuffix(m.o.box(n.Cluster)+" / "+n.Namespace, " / ")
}

// boxed writes what has waited.
func (m *mermaidEncoder) boxed() error {
	slices.SortStableFunc(m.waiting, func(a, b mermaidNode) int { return cmp.Compare(a.box, b.box) })
	open := ""
	for _, n := range m.waiting {
		if n.box != open {
			m.closeBox(open)
			m.boxes++
			fmt.Fprintf(m.w, "  subgraph b%d[%s]\n", m.boxes, quoteMermaid(n.box))
			open = n.box
		}
		fmt.Fprintf(m.w, "  %s\n", n.text)
	}
	m.closeBox(open)
	m.waiting = m.waiting[:0]
	return m.flushed()
}

func (m *mermaidEncoder) closeBox(open string) {
	if open != "" {
		fmt.Fprint(m.w, "  end\n")
	}
}

func (m *mermaidEncoder) edge(e *query.Edge) error {
	arrow := "-->"
	if len(lookOf(e.Type).Dash) > 0 {
		arrow = "-.->"
	}
	fmt.Fprintf(m.w, "  n%d %s|%s| n%d\n", m.number(e.Cluster, e.Source.ID), arrow, quoteMermaid(e.Type), m.number(e.Cluster, e.Target.ID))
	return m.flushed()
}

func (m *mermaidEncoder) end(whole *query.Graph) error {
	if err := m.boxed(); err != nil {
		return err
	}
	if note := leftOut(whole); note != "" {
		fmt.Fprintf(m.w, "  leftout[%s]:::missing\n", quoteMermaid("left out: "+note))
	}
	return m.flushed()
}
