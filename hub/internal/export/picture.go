package export

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// MaxDrawn is the number of nodes that a picture can show at most; Options may say less. A larger graph is drawn as groups.
const MaxDrawn = 1000

// Groups are the resources of a graph too large to be drawn, counted by what they have in common.
type Groups struct {
	query.Meta
	By     []store.Dimension // what members of a group have in common, outermost first
	Groups []Group
	Edges  []GroupEdge
	Note   string // what is left out, or how to see more; may be empty
}

// Group is resources that are alike in the dimensions asked for. Empty there means cluster-scoped or without application, elsewhere nothing.
type Group struct {
	Cluster, Namespace, Application, Kind string
	Health                                map[string]int // number of resources by health; not of missing ones
	Missing                               int
	Worst                                 string // health
}

// GroupEdge is the edges of a type between two groups, by their places in the list.
type GroupEdge struct {
	Source, Target int
	Type           string
	Count          int
}

// Draw draws a graph in SVG, PNG or PDF. Where it has more than MaxDrawn nodes, groups is asked for it in groups, at most as many as are given; without
// groups that is a BadRequest.
func Draw(w io.Writer, f Format, pages iter.Seq2[*query.Graph, error], groups func(most int) (*Groups, error), o Options) error {
	paint := painters[f]
	if paint == nil {
		return fault.New(fault.BadRequest, "%q is not a format of pictures", f).WithField("format", "must be svg, png or pdf")
	}
	held := gatherer{most: o.drawn()}
	switch err := newMerge(&held).all(pages); {
	case err == nil:
		return paint(w, compose(ofGraph(&held.graph, &o)))
	case !held.full:
		return err
	case groups == nil:
		return fault.New(fault.BadRequest, "a picture shows %d nodes at most, and these are more: restrict what is asked for, or choose a text format", held.most).
			WithField("format", "%s draws up to %d nodes", f, held.most)
	}
	g, err := groups(MaxDrawn)
	if err != nil {
		return err
	}
	if len(g.Groups) > MaxDrawn {
		return fault.New(fault.Internal, "there are %d groups to draw, more than %d", len(g.Groups), MaxDrawn)
	}
	return paint(w, compose(ofGroups(g, &o)))
}

var painters = map[Format]func(io.Writer, *scene) error{SVG: writeSVG, PNG: writePNG, PDF: writePDF}

// gatherer is an encoder that keeps the graph, as long as it can be drawn.
type gatherer struct {
	graph query.Graph
	most  int // nodes
	full  bool
}

func (g *gatherer) begin(*query.Graph) error { return nil }

func (g *gatherer) node(n *query.GraphNode) error {
	if len(g.graph.Nodes) == g.most {
		g.full = true
		return fault.New(fault.BadRequest, "too many nodes")
	}
	g.graph.Nodes = append(g.graph.Nodes, *n)
	return nil
}

func (g *gatherer) edge(e *query.Edge) error {
	g.graph.Edges = append(g.graph.Edges, *e)
	return nil
}

func (g *gatherer) end(whole *query.Graph) error {
	g.graph.Meta, g.graph.Truncated = whole.Meta, whole.Truncated
	return nil
}

// picture is what is to be seen, before anything has its place.
type picture struct {
	title string
	facts []string // of the line below the title
	stale string   // what is old about it; empty where nothing is
	notes []string
	marks []mark
	links []link
}

// mark is a node, or a group of nodes.
type mark struct {
	key     string
	path    []string // boxes around it
	kind    string
	name    string
	detail  string // the line below the name
	host    string // the node that a pod runs on
	health  string
	missing bool
	outside bool
	group   bool
	counts  map[string]int // of a group, by health
	absent  int            // of a group: missing ones
}

// link is an edge between two marks.
type link struct {
	from, to int
	kind     string // type of edge
	count    int
}

func ofGraph(g *query.Graph, o *Options) *picture {
	p := &picture{title: cmp.Or(o.Title, "Topology")}
	several := clustersOf(g) > 1
	place := map[string]int{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		place[nodeID(n.Cluster, n.ID)] = i
		m := mark{
			key: n.Kind + "/" + n.Name + "/" + n.Group + "/" + nodeID(n.Cluster, n.ID), kind: n.Kind, name: n.Name, health: n.Health, detail: detail(n),
			missing: n.Presence == absent, outside: n.Outside,
		}
		if n.Kind == "Pod" {
			m.host = n.Attrs["node"]
		}
		if several {
			m.path = append(m.path, o.box(n.Cluster))
		}
		if n.Namespace != "" {
			m.path = append(m.path, n.Namespace)
		}
		p.marks = append(p.marks, m)
	}
	seen := map[link]bool{}
	for i := range g.Edges {
		e := &g.Edges[i]
		from, ok := place[nodeID(e.Cluster, e.Source.ID)]
		to, also := place[nodeID(e.Cluster, e.Target.ID)]
		if l := (link{from, to, e.Type, 1}); ok && also && !seen[l] {
			seen[l] = true
			p.links = append(p.links, l)
		}
	}
	p.facts = append(p.facts, number(len(g.Nodes), "resource"), number(len(g.Edges), "relation"))
	if note := leftOut(g); note != "" {
		p.notes = append(p.notes, "Not everything is shown: "+note)
	}
	p.describe(&g.Meta, o)
	return p
}

func clustersOf(g *query.Graph) int {
	clusters := map[string]bool{}
	for i := range g.Nodes {
		clusters[g.Nodes[i].Cluster] = true
	}
	return len(clusters)
}

// detail is what stands below a name: the status, or what there is instead of one.
func detail(n *query.GraphNode) string {
	switch {
	case n.Presence == absent:
		return "missing"
	case n.Presence == topo.Unobserved.String():
		return "not watched"
	case n.Attrs["ready"] != "" && n.Kind != "Pod":
		return n.Attrs["ready"] + " ready"
	case n.Status != "":
		return n.Status
	}
	return n.Attrs["type"]
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

const factTime = "2 Jan 2006 15:04:05 UTC"

// describe says of which clusters the picture is, as of when, and how old that is.
func (p *picture) describe(m *query.Meta, o *Options) {
	clusters := slices.Sorted(maps.Keys(m.Freshness))
	if len(clusters) == 1 {
		p.facts = append([]string{"cluster " + o.cluster(clusters[0])}, p.facts...)
	} else if len(clusters) > 1 {
		p.facts = append([]string{number(len(clusters), "cluster")}, p.facts...)
	}
	if m.Position != 0 {
		p.facts = append(p.facts, fmt.Sprint("position ", m.Position))
	}
	if !m.At.IsZero() {
		p.facts = append(p.facts, m.At.UTC().Format(factTime))
	}
	var stale []string
	for _, c := range clusters {
		switch f := m.Freshness[c]; f.State {
		case fleet.Stale:
			stale = append(stale, o.cluster(c)+" since "+f.Since.UTC().Format(factTime))
		case fleet.Never:
			stale = append(stale, o.cluster(c)+", never seen whole")
		}
	}
	switch {
	case len(stale) > 3:
		p.stale = fmt.Sprintf("stale: %d of %d clusters", len(stale), len(clusters))
	case len(stale) > 0:
		p.stale = "stale: " + strings.Join(stale, "; ")
	case len(clusters) > 0:
		p.facts = append(p.facts, "live")
	}
}

func ofGroups(g *Groups, o *Options) *picture {
	p := &picture{title: cmp.Or(o.Title, "Topology")}
	clusters, total, edges := map[string]bool{}, 0, 0
	for i := range g.Groups {
		clusters[g.Groups[i].Cluster] = true
	}
	for i := range g.Groups {
		m := ofGroup(&g.Groups[i], g.By, len(clusters) > 1, o)
		for _, n := range m.counts {
			total += n
		}
		p.marks = append(p.marks, m)
	}
	for _, e := range g.Edges {
		edges += e.Count
		p.links = append(p.links, link{e.Source, e.Target, e.Type, e.Count})
	}
	p.facts = append(p.facts, number(total, "resource"), number(edges, "relation"), "in "+number(len(g.Groups), "group"))
	if g.Note != "" {
		p.notes = append(p.notes, g.Note)
	}
	p.describe(&g.Meta, o)
	return p
}

// ofGroup names a group by the innermost thing its members have in common, and puts it into boxes by the others, but for what all groups are in.
func ofGroup(g *Group, by []store.Dimension, several bool, o *Options) mark {
	m := mark{health: g.Worst, group: true, counts: g.Health, absent: g.Missing}
	m.kind, m.name = g.Kind, g.Kind
	for i, d := range by {
		var kind, name string
		switch d {
		case store.ByCluster:
			kind, name = "Cluster", o.box(g.Cluster)
		case store.ByNamespace:
			kind, name = "Namespace", cmp.Or(g.Namespace, "cluster-scoped")
		case store.ByApplication:
			kind, name = "Application", cmp.Or(g.Application, "no application")
		case store.ByKind:
			kind, name = g.Kind, g.Kind
		}
		if i == len(by)-1 {
			m.kind, m.name = kind, name
			break
		}
		if d == store.ByCluster && !several || d == store.ByNamespace && g.Namespace == "" || d == store.ByApplication && g.Application == "" {
			continue
		}
		m.path = append(m.path, name)
	}
	m.key = fmt.Sprint(strings.Join(m.path, "/"), "/", m.kind, "/", m.name)
	m.detail, m.missing = groupDetail(g)
	return m
}

// groupDetail counts a group's members, those that don't do well apart, and tells whether none of them is there.
func groupDetail(g *Group) (text string, missing bool) {
	total, bad := 0, []string{}
	for _, h := range g.Health {
		total += h
	}
	for _, h := range []topo.Health{topo.Error, topo.Warning, topo.Progressing, topo.Unknown} {
		if n := g.Health[h.String()]; n > 0 {
			bad = append(bad, fmt.Sprint(n, " ", h))
		}
	}
	if g.Missing > 0 {
		bad = append(bad, fmt.Sprint(g.Missing, " missing"))
	}
	return strings.Join(append([]string{fmt.Sprint("× ", total)}, bad...), ", "), total == 0 && g.Missing > 0
}
