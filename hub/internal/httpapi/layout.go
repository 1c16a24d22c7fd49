package httpapi

import (
	"github.com/kubilitics/kubilitics/hub/internal/layout"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// LayoutParam asks for places.
type LayoutParam struct {
	Layout string `query:"layout" enum:"layered,packed,grid,radial" doc:"where nodes stand, worked out by the hub: the same for the same graph, and stable where it changes a little. layered: up to 2000 nodes; radial: around the focus"`
}

// PlacedGraph is a graph, with the places of its nodes where they were asked for.
type PlacedGraph struct {
	query.Graph
	Layout *Layout `json:"layout,omitempty" doc:"present where it was asked for"`
}

// Layout is places, in units of which a node takes 150 by 50; y grows downwards. Lists are in the order of the graph's nodes and edges.
type Layout struct {
	Width  float32       `json:"width"`
	Height float32       `json:"height"`
	X      []float32     `json:"x" doc:"centres of the nodes"`
	Y      []float32     `json:"y"`
	Boxes  []LayoutBox   `json:"boxes" doc:"clusters, namespaces and applications, outermost first"`
	Bends  [][][]float32 `json:"bends,omitempty" doc:"of each edge, the points it passes between its ends; with layered"`
}

// LayoutBox encloses what has a cluster, a namespace or an application in common.
type LayoutBox struct {
	Path   []string `json:"path" doc:"cluster, namespace, application, as far as it goes"`
	X      float32  `json:"x" doc:"left end"`
	Y      float32  `json:"y" doc:"upper end"`
	Width  float32  `json:"width"`
	Height float32  `json:"height"`
	Count  int      `json:"count" doc:"nodes in it"`
}

const (
	nodeWidth  = 150
	nodeHeight = 50
)

// placed gives a graph the places that are asked for. Groups have none.
func (p LayoutParam) placed(g *query.Graph, err error) (*PlacedGraph, error) {
	if err != nil {
		return nil, err
	}
	out := &PlacedGraph{Graph: *g}
	if p.Layout == "" || g.Aggregate != nil {
		return out, nil
	}
	in, focus := plan(g)
	var at *layout.Placed
	switch p.Layout {
	case "packed":
		at = layout.Packed(in)
	case "grid":
		at = layout.Grid(in)
	case "radial":
		at, err = layout.Radial(in, focus)
	case "layered":
		at, err = layout.Layered(in)
	default:
		err = fault.New(fault.BadRequest, "there is no layout %q", p.Layout).WithField("layout", "must be layered, packed, grid or radial")
	}
	if err == nil {
		out.Layout = layoutOf(at)
	}
	return out, err
}

// plan is a graph as layouts take it, and the place of its focus, -1 where there is none.
func plan(g *query.Graph) (in layout.Graph, focus int) {
	focus = -1
	places := map[[2]string]int{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		places[[2]string{n.Cluster, n.ID}] = i
		if n.Depth != nil && *n.Depth == 0 {
			focus = i
		}
		path := []string{n.Cluster}
		if n.Namespace != "" {
			path = append(path, n.Namespace)
			if app := n.Attrs["app"]; app != "" {
				path = append(path, app)
			}
		}
		in.Nodes = append(in.Nodes, layout.Node{Key: n.Cluster + " " + n.ID, Width: nodeWidth, Height: nodeHeight, Path: path})
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		source, ok := places[[2]string{e.Cluster, e.Source.ID}]
		target, ok2 := places[[2]string{e.Cluster, e.Target.ID}]
		if !ok || !ok2 { // an end beyond this page: the edge has no line, and its bends stay empty
			source, target = 0, 0
		}
		in.Edges = append(in.Edges, [2]int{source, target})
	}
	return in, focus
}

func layoutOf(at *layout.Placed) *Layout {
	out := &Layout{Width: at.Width, Height: at.Height, X: at.X, Y: at.Y, Boxes: make([]LayoutBox, 0, len(at.Boxes))}
	for _, b := range at.Boxes {
		out.Boxes = append(out.Boxes, LayoutBox{Path: b.Path, X: b.X, Y: b.Y, Width: b.Width, Height: b.Height, Count: b.Count})
	}
	for _, bends := range at.Bends {
		points := make([][]float32, 0, len(bends))
		for _, p := range bends {
			points = append(points, []float32{p.X, p.Y})
		}
		out.Bends = append(out.Bends, points)
	}
	return out
}
