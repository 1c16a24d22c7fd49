package export

import (
	"bufio"
	"encoding/csv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// csvEncoder writes one of the two tables of a graph, with a header. A cell that a spreadsheet would take for a formula begins with an apostrophe.
type csvEncoder struct {
	w     *csv.Writer
	o     *Options
	table Table
	cells []string
}

var csvColumns = map[Table][]string{
	NodesTable: {"cluster", "cluster_name", "id", "group", "kind", "namespace", "name", "presence", "health", "status", "application", "created", "uid", "version", "outside", "labels", "attrs"},
	EdgesTable: {
		"cluster", "cluster_name", "id", "type", "rule", "path", "source", "source_group", "source_kind", "source_namespace", "source_name",
		"target", "target_group", "target_kind", "target_namespace", "target_name", "attrs",
	},
}

func newCSV(w *bufio.Writer, o *Options) *csvEncoder {
	table := o.Table
	if table == "" {
		table = NodesTable
	}
	return &csvEncoder{w: csv.NewWriter(w), o: o, table: table}
}

func (c *csvEncoder) begin(*query.Graph) error { return c.w.Write(csvColumns[c.table]) }

func (c *csvEncoder) row(cells ...string) error {
	c.cells = c.cells[:0]
	for _, cell := range cells {
		c.cells = append(c.cells, Cell(cell))
	}
	return c.w.Write(c.cells)
}

// Cell keeps spreadsheets from running a cell: they do so with those that begin with one of these. Line ends are single, as CSV readers make them.
func Cell(cell string) string {
	cell = strings.ReplaceAll(cell, "\r\n", "\n")
	if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n|%") || strings.HasPrefix(cell, "＝") || strings.HasPrefix(cell, "＋") ||
		strings.HasPrefix(cell, "－") || strings.HasPrefix(cell, "＠") {
		return "'" + cell
	}
	return cell
}

func (c *csvEncoder) node(n *query.GraphNode) error {
	if c.table != NodesTable {
		return nil
	}
	return c.row(n.Cluster, c.o.cluster(n.Cluster), n.ID, n.Group, n.Kind, n.Namespace, n.Name, n.Presence, n.Health, n.Status, n.Attrs["app"], created(n), n.UID,
		n.Version, yes(n.Outside), object(n.Labels), object(n.Attrs))
}

func (c *csvEncoder) edge(e *query.Edge) error {
	if c.table != EdgesTable {
		return nil
	}
	s, t := &e.Source, &e.Target
	return c.row(e.Cluster, c.o.cluster(e.Cluster), e.ID, e.Type, e.Rule, e.Path, s.ID, s.Group, s.Kind, s.Namespace, s.Name,
		t.ID, t.Group, t.Kind, t.Namespace, t.Name, object(e.Attrs))
}

func (c *csvEncoder) end(*query.Graph) error {
	c.w.Flush()
	return c.w.Error()
}
