// Package export writes graphs in the formats that other tools read, and draws them for people. Text formats are written as pages of the graph
// come, and hold only the keys of what was written. Pictures hold what they show, up to MaxDrawn nodes; what is larger is drawn as groups.
package export

import (
	"bufio"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Format is a form in which a graph leaves.
type Format string

// The formats.
const (
	JSON    Format = "json"
	GraphML Format = "graphml"
	DOT     Format = "dot"
	Mermaid Format = "mermaid"
	CSV     Format = "csv"
	SVG     Format = "svg"
	PNG     Format = "png"
	PDF     Format = "pdf"
)

// Formats lists all, text formats first.
var Formats = []Format{JSON, GraphML, DOT, Mermaid, CSV, SVG, PNG, PDF}

// ParseFormat reads a format's name; an unknown one is a BadRequest that names them all.
func ParseFormat(s string) (Format, error) {
	if f := Format(strings.ToLower(s)); slices.Contains(Formats, f) {
		return f, nil
	}
	return "", fault.New(fault.BadRequest, "there is no export format %q", s).WithField("format", "must be one of %v", Formats)
}

// Drawn tells whether the format is a picture, for Draw; the others are text, for Write.
func (f Format) Drawn() bool { return f == SVG || f == PNG || f == PDF }

// MediaType is the format's name in a Content-Type header.
func (f Format) MediaType() string {
	switch f {
	case JSON:
		return "application/json"
	case GraphML:
		return "application/graphml+xml; charset=utf-8"
	case DOT:
		return "text/vnd.graphviz; charset=utf-8"
	case Mermaid:
		return "text/vnd.mermaid; charset=utf-8"
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case SVG:
		return "image/svg+xml"
	case PNG:
		return "image/png"
	case PDF:
		return "application/pdf"
	}
	return "application/octet-stream"
}

// Extension is what names of files in the format end with, without the dot.
func (f Format) Extension() string {
	if f == Mermaid {
		return "mmd"
	}
	return string(f)
}

// Table is one of the two tables that a graph has as CSV.
type Table string

// The tables.
const (
	NodesTable Table = "nodes"
	EdgesTable Table = "edges"
)

// ParseTable reads a table's name; none is that of the nodes.
func ParseTable(s string) (Table, error) {
	switch t := Table(strings.ToLower(s)); t {
	case "":
		return NodesTable, nil
	case NodesTable, EdgesTable:
		return t, nil
	}
	return "", fault.New(fault.BadRequest, "there is no table %q", s).WithField("what", "must be nodes or edges")
}

// Options say what an export says of itself.
type Options struct {
	Title    string            // what was asked for, in a few words
	Clusters map[string]string // names of clusters, by id; one that is missing is shown by its id
	Table    Table             // of CSV
	Most     int               // nodes that a picture shows before it shows groups; 0: MaxDrawn
}

func (o *Options) drawn() int {
	if o.Most > 0 {
		return min(o.Most, MaxDrawn)
	}
	return MaxDrawn
}

func (o *Options) cluster(id string) string {
	if name := o.Clusters[id]; name != "" {
		return name
	}
	return id
}

// box is the name that tells a cluster from all others: two may have the same one.
func (o *Options) box(id string) string {
	name := o.cluster(id)
	for other, same := range o.Clusters {
		if other != id && same == name {
			return name + " " + id
		}
	}
	return name
}

// Write writes the pages of a graph in a text format. Nodes and edges that are on several pages are written once, and a node is outside only if all
// pages say so. What fails in the middle leaves a text that is broken off: the error says so.
func Write(w io.Writer, f Format, pages iter.Seq2[*query.Graph, error], o Options) error {
	out := bufio.NewWriterSize(w, 64<<10)
	e, err := newEncoder(f, out, &o)
	if err != nil {
		return err
	}
	if c, ok := e.(io.Closer); ok {
		defer c.Close() // an error of reading it was told already
	}
	if err := newMerge(e).all(pages); err != nil {
		return err
	}
	return out.Flush()
}

// encoder writes one format. Edges may come before the nodes at their ends.
type encoder interface {
	begin(first *query.Graph) error
	node(n *query.GraphNode) error
	edge(e *query.Edge) error
	end(whole *query.Graph) error // without nodes and edges: what is said of all pages
}

func newEncoder(f Format, w *bufio.Writer, o *Options) (encoder, error) {
	switch f {
	case JSON:
		return &jsonEncoder{w: w}, nil
	case GraphML:
		return &graphmlEncoder{w: w, o: o}, nil
	case DOT:
		return &dotEncoder{w: w, o: o}, nil
	case Mermaid:
		return &mermaidEncoder{w: w, o: o, numbers: map[string]int{}}, nil
	case CSV:
		return newCSV(w, o), nil
	}
	return nil, fault.New(fault.BadRequest, "%q is not a text format", f).WithField("format", "must be one of %v", Formats)
}
