package httpapi

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/export"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func (a *API) exports() {
	handle(a, exporting("/api/v1/topology/export", "export-fleet-topology"), a.exportFleet)
	handle(a, exporting(clusterRoot+"/topology/export", "export-topology"), a.exportCluster)
}

func exporting(path, id string) huma.Operation {
	op := route(http.MethodGet, path, id, "A graph as a file: for other tools, or as a picture", "topology")
	media := map[string]*huma.MediaType{}
	for _, f := range export.Formats {
		name, _, _ := strings.Cut(f.MediaType(), ";")
		media[name] = &huma.MediaType{}
	}
	op.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: media}}
	return op
}

// ExportParams say what is exported, and how.
type ExportParams struct {
	KindParam
	Namespace []string `query:"namespace,explode" doc:"namespaces"`
	Selector  string   `query:"selector" doc:"label selector, as in Kubernetes"`
	Type      []string `query:"type,explode" doc:"edge types"`
	QueryParam
	AtParam
	Format string `query:"format" required:"true" enum:"json,graphml,dot,mermaid,csv,svg,png,pdf" doc:"pictures show up to 400 nodes, and groups where there are more; up to 1000 around a focus"`
	What   string `query:"what" enum:"nodes,edges" doc:"which table of csv; nodes where it isn't given"`
}

type exportFleetInput struct {
	ClustersParam
	ExportParams
}

func (a *API) exportFleet(ctx context.Context, in *exportFleetInput) (*huma.StreamResponse, error) {
	return a.export(ctx, in.ClustersParam, &in.ExportParams, nil)
}

type exportInput struct {
	ClusterPath
	ExportParams
	Focus     string `query:"focus" doc:"a node, as Kind.group/namespace/name, Kind/name, or by its id: what is within depth steps of it is exported"`
	Depth     int    `query:"depth" minimum:"1" maximum:"10" doc:"steps from the focus; 1 where it isn't given"`
	Direction string `query:"direction" enum:"out,in,both" doc:"how edges are followed from the focus; both where it isn't given"`
}

func (a *API) exportCluster(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	p := principalOf(ctx)
	id, at, err := a.place(ctx, p, in.ClusterPath, in.AtParam)
	if err != nil {
		return nil, err
	}
	asked := graphInput{Focus: in.Focus, Depth: in.Depth, Direction: in.Direction, GraphParams: GraphParams{
		KindParam: in.KindParam, Namespace: in.Namespace, Selector: in.Selector, QueryParam: in.QueryParam,
	}}
	if err := asked.consistent(); err != nil {
		return nil, err
	}
	clusters := ClustersParam{Cluster: []string{in.Cluster}}
	if in.Focus == "" {
		return a.export(ctx, clusters, &in.ExportParams, nil)
	}
	n := query.Neighbourhood{Cluster: id, Depth: in.Depth, Direction: store.Direction(in.Direction), Limit: query.MaxNodes, At: at}
	if n.Types, err = query.ParseTypes(words(in.Type)); err != nil {
		return nil, err
	}
	if n.Focus, err = a.focus(ctx, p, id, "focus", in.Focus); err != nil {
		return nil, err
	}
	return a.export(ctx, clusters, &in.ExportParams, &exported{what: in.Focus, around: n})
}

// exported is a neighbourhood that is exported.
type exported struct {
	what   string
	around query.Neighbourhood
}

// export answers with a file. What is wrong with the question becomes a problem: so the first page is read, or the picture drawn, before the answer
// begins. What fails later breaks the file off, and its connection, so that nobody takes it for whole.
func (a *API) export(ctx context.Context, clusters ClustersParam, in *ExportParams, focus *exported) (*huma.StreamResponse, error) {
	format, err := export.ParseFormat(in.Format)
	if err != nil {
		return nil, err
	}
	table, err := export.ParseTable(in.What)
	if err != nil {
		return nil, err
	}
	which := WhichParams{ClustersParam: clusters, KindParam: in.KindParam, Namespace: in.Namespace, Selector: in.Selector, QueryParam: in.QueryParam, AtParam: in.AtParam}
	p, where, err := which.where(ctx, a, principalOf(ctx))
	if err != nil {
		return nil, err
	}
	e := &exporter{api: a, p: p, format: format, graph: query.GraphQuestion{Where: where}, focus: focus}
	if e.graph.Types, err = query.ParseTypes(words(in.Type)); err != nil {
		return nil, err
	}
	if e.options, err = a.exportOptions(ctx, p, where, in, focus); err != nil {
		return nil, err
	}
	e.options.Table = table
	if format.Drawn() {
		return e.drawn(ctx)
	}
	return e.written(ctx)
}

// exportOptions names the clusters, and says in a few words what was asked for.
func (a *API) exportOptions(ctx context.Context, p fleet.Principal, w query.Where, in *ExportParams, focus *exported) (export.Options, error) {
	o := export.Options{Clusters: map[string]string{}}
	list, err := a.cfg.Query.Clusters(ctx, p)
	if err != nil {
		return o, err
	}
	for _, c := range list.Items {
		o.Clusters[c.ID] = c.Name
	}
	var parts []string
	for _, c := range w.Clusters {
		parts = append(parts, o.Clusters[c.String()])
	}
	if len(parts) == 0 {
		parts = []string{"all clusters"}
	}
	if focus != nil {
		parts = append(parts, "around "+focus.what)
	}
	for _, text := range [][]string{words(in.Namespace), words(in.Kind), {in.Selector}, {in.Q}} {
		if t := strings.Join(text, ", "); t != "" {
			parts = append(parts, t)
		}
	}
	o.Title = strings.Join(parts, " · ")
	return o, nil
}

type exporter struct {
	api     *API
	p       fleet.Principal
	format  export.Format
	graph   query.GraphQuestion
	focus   *exported
	options export.Options
}

// pages gives the graph, page by page, of one snapshot.
func (e *exporter) pages(ctx context.Context) iter.Seq2[*query.Graph, error] {
	return func(yield func(*query.Graph, error) bool) {
		if e.focus != nil {
			yield(e.api.cfg.Query.Around(ctx, e.p, e.focus.around))
			return
		}
		err := e.api.cfg.Query.Walk(ctx, e.p, e.graph, func(g *query.Graph) error {
			if !yield(g, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && err != errEnough {
			yield(nil, err)
		}
	}
}

// errEnough ends a walk whose reader wants no more.
var errEnough = errors.New("enough")

func (e *exporter) drawn(ctx context.Context) (*huma.StreamResponse, error) {
	select {
	case e.api.painters <- struct{}{}:
		defer func() { <-e.api.painters }()
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "other pictures are being drawn").After(time.Second)
	}
	var file bytes.Buffer
	groups := func(most int) (*export.Groups, error) { return e.groups(ctx, most) }
	if e.options.Most = legible; e.focus != nil { // what is around something has no groups
		groups, e.options.Most = nil, export.MaxDrawn
	}
	if err := export.Draw(&file, e.format, e.pages(ctx), groups, e.options); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		e.headers(out)
		_, _ = out.BodyWriter().Write(file.Bytes()) // the client may be gone; there is nobody to tell
	}}, nil
}

// groups gives the graph in the finest groups that a picture can show.
func (e *exporter) groups(ctx context.Context, most int) (*export.Groups, error) {
	ways := [][]store.Dimension{{store.ByCluster, store.ByNamespace}, {store.ByCluster}}
	switch w := e.graph.Where; {
	case len(w.Clusters) == 1 && len(w.Namespaces) == 1:
		ways = [][]store.Dimension{{store.ByApplication, store.ByKind}, {store.ByApplication}, {store.ByKind}}
	case len(w.Clusters) == 1:
		ways = [][]store.Dimension{{store.ByNamespace, store.ByApplication}, {store.ByNamespace, store.ByKind}, {store.ByNamespace}}
	}
	var found *query.Groups
	var by []store.Dimension
	for _, by = range ways { // the last is the coarsest
		var err error
		found, err = e.api.cfg.Query.Groups(ctx, e.p, query.GroupQuestion{Where: e.graph.Where, Types: e.graph.Types, By: by, Limit: min(most, legible)})
		if err != nil {
			return nil, err
		}
		if found.Truncated == nil {
			break
		}
	}
	return drawable(found, by), nil
}

// legible is how many nodes or groups a picture shows that people are to read.
const legible = 400

func drawable(found *query.Groups, by []store.Dimension) *export.Groups {
	out := &export.Groups{Meta: found.Meta, By: by, Note: "Restrict the question by namespace or application to see the resources themselves."}
	if found.Truncated != nil {
		out.Note = found.Truncated.Reason + ": " + found.Truncated.Hint
	}
	for _, g := range found.Groups {
		kind := g.Kind
		if g.APIGroup != "" {
			kind += "." + g.APIGroup
		}
		out.Groups = append(out.Groups, export.Group{
			Cluster: g.Cluster, Namespace: g.Namespace, Application: g.Application, Kind: kind, Health: byName(g.Health), Missing: g.Missing, Worst: g.Worst,
		})
	}
	for _, x := range found.Edges {
		out.Edges = append(out.Edges, export.GroupEdge{Source: x.Source, Target: x.Target, Type: x.Type, Count: x.Number})
	}
	return out
}

func byName(h query.HealthCounts) map[string]int {
	return map[string]int{
		topo.Error.String(): h.Error, topo.Warning.String(): h.Warning, topo.Progressing.String(): h.Progressing, topo.Unknown.String(): h.Unknown, topo.OK.String(): h.OK,
	}
}

// written answers in a text format. The first page is read before anything is sent.
func (e *exporter) written(ctx context.Context) (*huma.StreamResponse, error) {
	next, stop := iter.Pull2(e.pages(ctx))
	first, err, ok := next()
	if !ok || err != nil {
		stop()
		return nil, err
	}
	rest := func(yield func(*query.Graph, error) bool) {
		for g, err, ok := first, error(nil), true; ok; g, err, ok = next() {
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer stop()
		e.headers(out)
		if err := export.Write(out.BodyWriter(), e.format, rest, e.options); err != nil {
			e.api.cfg.Log.Info("an export was broken off", obs.About(ctx), zap.Error(err))
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

func (e *exporter) headers(out huma.Context) {
	name := "topology-" + time.Now().UTC().Format("20060102-150405") + "." + e.format.Extension()
	out.SetHeader("Content-Type", e.format.MediaType())
	out.SetHeader("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": name}))
	out.SetHeader("X-Content-Type-Options", "nosniff")
	out.SetHeader("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
}
