package export

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// graphmlEncoder writes GraphML, as yEd, Gephi and networkx read it. Labels and attributes, whose names are anything, stand as JSON.
type graphmlEncoder struct {
	w *bufio.Writer
	o *Options
}

// graphmlKeys are what nodes and edges carry, by domain.
var graphmlKeys = []struct{ domain, name, kind string }{
	{"graph", "title", "string"}, {"graph", "position", "long"}, {"graph", "at", "string"}, {"graph", "truncated", "string"},
	{"node", "label", "string"}, {"node", "cluster", "string"}, {"node", "group", "string"}, {"node", "kind", "string"}, {"node", "namespace", "string"},
	{"node", "name", "string"}, {"node", "health", "string"}, {"node", "status", "string"}, {"node", "presence", "string"}, {"node", "created", "string"},
	{"node", "uid", "string"}, {"node", "outside", "boolean"}, {"node", "labels", "string"}, {"node", "attrs", "string"},
	{"edge", "type", "string"}, {"edge", "rule", "string"}, {"edge", "path", "string"}, {"edge", "attrs", "string"},
}

func (g *graphmlEncoder) begin(first *query.Graph) error {
	fmt.Fprint(g.w, xml.Header, `<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`+
		` xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">`+"\n")
	for _, k := range graphmlKeys {
		fmt.Fprintf(g.w, `  <key id="%s-%s" for="%s" attr.name="%s" attr.type="%s"/>`+"\n", k.domain, k.name, k.domain, k.name, k.kind)
	}
	fmt.Fprintln(g.w, `  <graph id="topology" edgedefault="directed">`)
	g.data("graph", "title", g.o.Title)
	g.data("graph", "position", strconv.FormatInt(int64(first.Position), 10))
	g.data("graph", "at", instant(first.At))
	return g.flushed()
}

// flushed is the first error that the writer met.
func (g *graphmlEncoder) flushed() error {
	_, err := g.w.Write(nil)
	return err
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// data writes one value; an empty one says nothing.
func (g *graphmlEncoder) data(domain, name, value string) {
	if value != "" {
		fmt.Fprintf(g.w, `      <data key="%s-%s">%s</data>`+"\n", domain, name, escapeXML(value))
	}
}

// escapeXML escapes text for elements and attributes. What XML can't hold becomes U+FFFD.
func escapeXML(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "" // a strings.Builder doesn't fail
	}
	return b.String()
}

// object writes labels or attributes as JSON, sorted by name; none is nothing.
func object(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "" // strings can always be written
	}
	return string(text)
}

func (g *graphmlEncoder) node(n *query.GraphNode) error {
	fmt.Fprintf(g.w, `    <node id="%s">`+"\n", escapeXML(nodeID(n.Cluster, n.ID)))
	for _, d := range [][2]string{
		{"label", n.Kind + " " + n.Name}, {"cluster", g.o.cluster(n.Cluster)}, {"group", n.Group}, {"kind", n.Kind}, {"namespace", n.Namespace}, {"name", n.Name},
		{"health", n.Health}, {"status", n.Status}, {"presence", n.Presence}, {"created", created(n)}, {"uid", n.UID}, {"outside", yes(n.Outside)},
		{"labels", object(n.Labels)}, {"attrs", object(n.Attrs)},
	} {
		g.data("node", d[0], d[1])
	}
	fmt.Fprintln(g.w, `    </node>`)
	return g.flushed()
}

func nodeID(cluster, id string) string { return cluster + "/" + id }

func created(n *query.GraphNode) string {
	if n.Created == nil {
		return ""
	}
	return instant(*n.Created)
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func (g *graphmlEncoder) edge(e *query.Edge) error {
	fmt.Fprintf(g.w, `    <edge id="%s" source="%s" target="%s">`+"\n",
		escapeXML(nodeID(e.Cluster, e.ID)), escapeXML(nodeID(e.Cluster, e.Source.ID)), escapeXML(nodeID(e.Cluster, e.Target.ID)))
	for _, d := range [][2]string{{"type", e.Type}, {"rule", e.Rule}, {"path", e.Path}, {"attrs", object(e.Attrs)}} {
		g.data("edge", d[0], d[1])
	}
	fmt.Fprintln(g.w, `    </edge>`)
	return g.flushed()
}

func (g *graphmlEncoder) end(whole *query.Graph) error {
	g.data("graph", "truncated", leftOut(whole))
	fmt.Fprint(g.w, "  </graph>\n</graphml>\n")
	return g.flushed()
}

// leftOut says in a line what an export doesn't hold; nothing where it holds all.
func leftOut(g *query.Graph) string {
	if g.Truncated == nil {
		return ""
	}
	return g.Truncated.Reason + "; " + g.Truncated.Hint
}
