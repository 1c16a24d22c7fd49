package export

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// dotEncoder writes the language of Graphviz. Nodes of a namespace stand in a cluster of their own, which is opened again on every page: Graphviz
// joins those of one name.
type dotEncoder struct {
	w *bufio.Writer
	o *Options
}

func (d *dotEncoder) begin(first *query.Graph) error {
	fmt.Fprintf(d.w, "digraph topology {\n  graph [label=%s, labelloc=t, rankdir=LR, fontname=\"Helvetica\", compound=true];\n", quoteDOT(headline(d.o, first)))
	fmt.Fprint(d.w, "  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"Helvetica\", fontsize=10];\n  edge [fontname=\"Helvetica\", fontsize=9, color=\"#6b7280\"];\n")
	return d.flushed()
}

// headline is the line that a text's picture is titled with.
func headline(o *Options, g *query.Graph) string {
	parts := []string{}
	if o.Title != "" {
		parts = append(parts, o.Title)
	}
	if g.Position != 0 {
		parts = append(parts, fmt.Sprint("position ", g.Position))
	}
	if at := instant(g.At); at != "" {
		parts = append(parts, at)
	}
	return strings.Join(parts, " · ")
}

func (d *dotEncoder) flushed() error {
	_, err := d.w.Write(nil)
	return err
}

// quoteDOT quotes an identifier or a label. Graphviz reads a backslash in a label as the beginning of an escape, so it stands twice.
func quoteDOT(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"':
			b.WriteString(`\"`)
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r < ' ' || r == 0x7f || r == '\uFFFD': // some readers don't know U+FFFD itself as a character
			b.WriteRune('\u25A1')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (d *dotEncoder) node(n *query.GraphNode) error {
	label := n.Kind + "\n" + n.Name
	if n.Status != "" {
		label += "\n" + n.Status
	}
	style := "rounded,filled"
	if n.Presence == absent || n.Outside {
		style = "rounded,filled,dashed"
	}
	node := fmt.Sprintf("%s [label=%s, color=%s, style=%s, tooltip=%s, class=%s]", quoteDOT(nodeID(n.Cluster, n.ID)), quoteDOT(label),
		quoteDOT(healthOf(n.Health).Colour), quoteDOT(style), quoteDOT(n.Health), quoteDOT(n.Kind))
	if n.Namespace == "" {
		fmt.Fprintf(d.w, "  %s;\n", node)
		return d.flushed()
	}
	fmt.Fprintf(d.w, "  subgraph %s { label=%s; color=\"#c3c9d2\"; %s; }\n", quoteDOT("cluster_"+n.Cluster+"/"+n.Namespace), quoteDOT(n.Namespace), node)
	return d.flushed()
}

func (d *dotEncoder) edge(e *query.Edge) error {
	look := lookOf(e.Type)
	fmt.Fprintf(d.w, "  %s -> %s [label=%s, color=%s, style=%s, tooltip=%s];\n", quoteDOT(nodeID(e.Cluster, e.Source.ID)), quoteDOT(nodeID(e.Cluster, e.Target.ID)),
		quoteDOT(e.Type), quoteDOT(look.Colour), look.style(), quoteDOT(e.Rule))
	return d.flushed()
}

func (d *dotEncoder) end(whole *query.Graph) error {
	if note := leftOut(whole); note != "" {
		fmt.Fprintf(d.w, "  \"left out\" [shape=note, label=%s];\n", quoteDOT("left out: "+note))
	}
	fmt.Fprint(d.w, "}\n")
	return d.flushed()
}
