package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// mayDangle are rules whose target need not be there: leases outlive their nodes, requests their requesters, slices their Pods for a moment.
var mayDangle = []string{"lease-node", "certificatesigningrequest-requester", "endpointslice-target", "csinode-node", "referencegrant-namespace"}

// dangling tells relationships whose target isn't there.
func (f *finder) dangling(ctx context.Context, at *findingPlace, rows int) ([]Finding, bool, error) {
	edges, err := f.Dangling(ctx, f.filter, at.Edge, rows)
	if err != nil {
		return nil, false, err
	}
	done := len(edges) < rows
	if len(edges) > 0 {
		last := &edges[len(edges)-1]
		at.Edge = &store.EdgePlace{Cluster: last.Cluster, ID: last.ID}
	}
	edges = slices.DeleteFunc(edges, func(e store.EdgeRow) bool {
		optional, _ := topo.Value(e.Edge.Attrs, "optional")
		return optional == "true" || slices.Contains(mayDangle, e.Edge.Rule) || ownBinding(&e.Edge) || !f.seesEdge(&e)
	})
	told, err := f.toldByOwner(ctx, edges)
	if err != nil {
		return nil, false, err
	}
	var out []Finding
	for i := range edges {
		if !told[edges[i].ID] {
			out = append(out, danglingFinding(&edges[i]))
		}
	}
	return out, done, nil
}

// ownBinding tells of the bindings that Kubernetes makes for its own components, whether these are there or not.
func ownBinding(e *topo.Edge) bool {
	return e.Rule == "binding-subject" && strings.HasPrefix(e.Source.Name, "system:")
}

// runsPods tells which kinds are Pods or have a pod template.
func runsPods(gk topo.GroupKind) bool {
	return slices.Contains(podKind, gk) || slices.Contains(controllerKinds, gk) || gk.Kind == "CronJob"
}

func danglingFinding(e *store.EdgeRow) Finding {
	s, t := e.Edge.Source, e.Edge.Target
	x := Finding{
		Kind: MissingTarget, Severity: SeverityWarning, Cluster: e.Cluster.String(), Object: refOf(s, e.ID.Source), Related: []Ref{RefOf(t)},
		Since: e.Since, Confidence: ConfidenceHigh, Edge: new(edge(e)),
	}
	x.Sentence = fmt.Sprintf("%s %s %s, which isn't there", nameOf(s), verbs[e.Edge.Type], nameOf(t))
	switch {
	case e.Edge.Rule == "binding-role":
		x.Kind, x.Sentence = DanglingBinding, fmt.Sprintf("%s gives what %s allows, which isn't there: it gives nothing", nameOf(s), nameOf(t))
	case e.Edge.Rule == "binding-subject":
		x.Kind, x.Sentence = DanglingBinding, fmt.Sprintf("%s gives rights to %s, which isn't there; whoever makes it has them", nameOf(s), nameOf(t))
	case e.Edge.Type == topo.Scales:
		x.Kind, x.Sentence = NothingToScale, fmt.Sprintf("%s has nothing to scale: %s isn't there", nameOf(s), nameOf(t))
	case e.Edge.Rule == "statefulset-persistentvolumeclaim": // made one by one, with its Pod
	case runsPods(s.GroupKind()) || e.Edge.Type == topo.Routes:
		x.Severity = SeverityError
	}
	return x
}

// verbs word the types of edges, from source to target.
var verbs = map[topo.EdgeType]string{
	topo.Owns: "owns", topo.Selects: "selects", topo.Mounts: "mounts", topo.References: "refers to", topo.Routes: "sends requests to", topo.RunsOn: "is placed on",
	topo.Binds: "is bound to", topo.Grants: "gives rights to", topo.Scales: "scales", topo.Protects: "protects", topo.Allows: "allows", topo.Defines: "defines",
	topo.Intercepts: "intercepts", topo.Reports: "reports on",
}

// toldByOwner tells which edges an owner of their source has as well: a Deployment whose template names something that isn't there says it for all its Pods.
func (f *finder) toldByOwner(ctx context.Context, edges []store.EdgeRow) (map[topo.EdgeID]bool, error) {
	by := map[fleet.ClusterID][]*store.EdgeRow{}
	for i := range edges {
		if runsPods(edges[i].Edge.Source.GroupKind()) {
			by[edges[i].Cluster] = append(by[edges[i].Cluster], &edges[i])
		}
	}
	told := map[topo.EdgeID]bool{}
	for c, of := range by {
		if err := f.toldIn(ctx, c, of, told); err != nil {
			return nil, err
		}
	}
	return told, nil
}

func (f *finder) toldIn(ctx context.Context, c fleet.ClusterID, edges []*store.EdgeRow, told map[topo.EdgeID]bool) error {
	var sources, ends []topo.ID
	for _, e := range edges {
		sources, ends = append(sources, e.ID.Source), append(ends, e.Edge.Target.ID())
	}
	owners, err := f.EdgesOf(ctx, f.scope(c), unique(sources), store.Into, []topo.EdgeType{topo.Owns}, len(sources)*4)
	if err != nil || len(owners) == 0 {
		return err
	}
	owner := map[topo.ID][]topo.ID{}
	for i := range owners {
		owned := owners[i].Edge.Target.ID()
		owner[owned] = append(owner[owned], owners[i].ID.Source)
		ends = append(ends, owners[i].ID.Source)
	}
	theirs, err := f.EdgesAmong(ctx, f.scope(c), unique(ends), nil, len(ends)*edgesPerNode)
	if err != nil {
		return err
	}
	has := map[[2]topo.ID]bool{}
	for i := range theirs {
		has[[2]topo.ID{theirs[i].ID.Source, theirs[i].Edge.Target.ID()}] = true
	}
	for _, e := range edges {
		if slices.ContainsFunc(owner[e.ID.Source], func(o topo.ID) bool { return has[[2]topo.ID{o, e.Edge.Target.ID()}] }) {
			told[e.ID] = true
		}
	}
	return nil
}

func unique(ids []topo.ID) []topo.ID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, topo.ID.Compare)
	return slices.Compact(ids)
}

// ownerless tells owners that aren't there, whose dependents wait to be deleted or were forgotten.
func (f *finder) ownerless(ctx context.Context, at *findingPlace, rows int) ([]Finding, bool, error) {
	filter := f.filter
	filter.Placeholders = true
	filter.Fields = append(slices.Clone(f.filter.Fields), store.Requirement{Key: "presence", Op: store.In, Values: []string{topo.Missing.String()}})
	missing, err := f.Resources(ctx, filter, at.Key, rows)
	if err != nil || len(missing) == 0 {
		return nil, true, err
	}
	at.Key = new(keyOf(&missing[len(missing)-1]))
	owned := map[nodeKey][]store.EdgeRow{}
	for c, ids := range idsByCluster(missing) {
		edges, err := f.EdgesOf(ctx, f.scope(c), ids, store.Out, []topo.EdgeType{topo.Owns}, max(minEdges, rows*edgesPerNode))
		if err != nil {
			return nil, false, err
		}
		for _, e := range f.visibleEdges(edges) {
			key := nodeKey{c, e.ID.Source}
			owned[key] = append(owned[key], e)
		}
	}
	var out []Finding
	for i := range missing {
		if edges := owned[nodeKey{missing[i].Cluster, missing[i].ID}]; len(edges) > 0 {
			x := about(MissingOwner, SeverityWarning, &missing[i])
			slices.SortFunc(edges, compareEdges)
			for _, e := range edges[:min(len(edges), maxRelatedObjects)] {
				x.Related = append(x.Related, RefOf(e.Edge.Target))
			}
			x.Sentence = fmt.Sprintf("%s isn't there, and owns %s%s", nameOf(missing[i].Node.Ref), nameOf(edges[0].Edge.Target), andMore(len(edges)-1))
			out = append(out, x)
		}
	}
	return out, len(missing) < rows, nil
}

func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

const gatewayGroup = "gateway.networking.k8s.io"

// grantedKinds are those that refer to other namespaces and must be granted it there.
var grantedKinds = []topo.GroupKind{
	{Group: gatewayGroup, Kind: "GRPCRoute"}, {Group: gatewayGroup, Kind: "Gateway"}, {Group: gatewayGroup, Kind: "HTTPRoute"},
	{Group: gatewayGroup, Kind: "TCPRoute"}, {Group: gatewayGroup, Kind: "TLSRoute"}, {Group: gatewayGroup, Kind: "UDPRoute"},
}

// ungranted tells references to other namespaces that no ReferenceGrant allows there.
func (f *finder) ungranted(ctx context.Context, at *findingPlace, rows int) ([]Finding, bool, error) {
	filter, ok := f.only(grantedKinds...)
	if !ok {
		return nil, true, nil
	}
	routes, err := f.Resources(ctx, filter, at.Key, rows)
	if err != nil || len(routes) == 0 {
		return nil, true, err
	}
	at.Key = new(keyOf(&routes[len(routes)-1]))
	refused := map[nodeKey][]store.EdgeRow{}
	for c, ids := range idsByCluster(routes) {
		edges, err := f.EdgesOf(ctx, f.scope(c), ids, store.Out, []topo.EdgeType{topo.Routes, topo.References}, max(minEdges, rows*edgesPerNode))
		if err != nil {
			return nil, false, err
		}
		edges = slices.DeleteFunc(f.visibleEdges(edges), func(e store.EdgeRow) bool {
			cross, _ := topo.Value(e.Edge.Attrs, "crossNamespace")
			return cross != "true"
		})
		grants, err := f.grants(ctx, c, edges)
		if err != nil {
			return nil, false, err
		}
		for _, e := range edges {
			if !slices.ContainsFunc(grants, func(g store.EdgeRow) bool { return grantsEdge(&g.Edge, &e.Edge) }) {
				refused[nodeKey{c, e.ID.Source}] = append(refused[nodeKey{c, e.ID.Source}], e)
			}
		}
	}
	var out []Finding
	for i := range routes {
		if edges := refused[nodeKey{routes[i].Cluster, routes[i].ID}]; len(edges) > 0 {
			x := about(UngrantedRef, SeverityError, &routes[i])
			slices.SortFunc(edges, compareEdges)
			for _, e := range edges[:min(len(edges), maxRelatedObjects)] {
				x.Related = append(x.Related, RefOf(e.Edge.Target))
			}
			t := edges[0].Edge.Target
			x.Sentence = fmt.Sprintf("%s refers to %s in the namespace %s%s, which no ReferenceGrant there allows", nameOf(routes[i].Node.Ref), nameOf(t), t.Namespace, andMore(len(edges)-1))
			x.Edge = new(edge(&edges[0]))
			out = append(out, x)
		}
	}
	return out, len(routes) < rows, nil
}

// grants gives the grants to the namespaces of the edges' sources. They are looked at whoever asks: only whether a reference is granted is told.
func (f *finder) grants(ctx context.Context, c fleet.ClusterID, edges []store.EdgeRow) ([]store.EdgeRow, error) {
	var spaces []topo.ID
	for i := range edges {
		spaces = append(spaces, topo.Ref{Kind: "Namespace", Name: edges[i].Edge.Source.Namespace}.ID())
	}
	if len(spaces) == 0 {
		return nil, nil
	}
	return f.EdgesOf(ctx, f.scope(c), unique(spaces), store.Into, []topo.EdgeType{topo.Allows}, MaxNodes)
}

// grantsEdge tells whether a grant, drawn from the ReferenceGrant to the namespace that may refer, is for that edge.
func grantsEdge(grant, e *topo.Edge) bool {
	from, _ := topo.Value(grant.Attrs, "from")
	to, _ := topo.Value(grant.Attrs, "to")
	kind := e.Target.GroupKind().String()
	return grant.Source.Kind == "ReferenceGrant" && grant.Source.Namespace == e.Target.Namespace && grant.Target.Name == e.Source.Namespace &&
		from == e.Source.GroupKind().String() && (to == kind || to == kind+"/"+e.Target.Name)
}

// cycles tells owners in a circle, cluster by cluster: who owns whom must be read for that, so a whole fleet isn't looked at.
func (f *finder) cycles(ctx context.Context, at *findingPlace, rows int) ([]Finding, bool, error) {
	clusters := f.sorted()
	if len(clusters) > maxCycleClusters || at.Skip >= len(clusters) || f.narrowed() {
		return nil, true, nil
	}
	found, err := f.OwnerCycles(ctx, f.scope(clusters[at.Skip].ID), at.Told+rows)
	if err != nil {
		return nil, false, err
	}
	circles := found[min(at.Told, len(found)):]
	if at.Told += rows; len(found) < at.Told {
		at.Skip, at.Told = at.Skip+1, 0
	}
	var out []Finding
	for _, circle := range circles {
		if len(circle) == 0 || !slices.ContainsFunc(circle, f.meansRow) || slices.ContainsFunc(circle, func(r store.Row) bool { return !f.view.Sees(r.Cluster, r.Node.Ref.Namespace) }) {
			continue
		}
		x := about(OwnerCycle, SeverityWarning, &circle[0])
		for i := range circle[1:] {
			x.Related = append(x.Related, refOf(circle[i+1].Node.Ref, circle[i+1].ID))
		}
		x.Sentence = fmt.Sprintf("%s owns itself by way of %d others: none of them is ever collected", nameOf(circle[0].Node.Ref), len(circle)-1)
		out = append(out, x)
	}
	return out, at.Skip == len(clusters), nil
}

// narrowed tells whether the question restricts by more than what a row alone tells.
func (f *finder) narrowed() bool {
	return len(f.filter.Labels)+len(f.filter.Fields)+len(f.filter.Terms) > 0
}

func (f *finder) meansRow(r store.Row) bool {
	return (len(f.filter.Kinds) == 0 || slices.Contains(f.filter.Kinds, r.Node.Ref.GroupKind())) && (len(f.filter.Names) == 0 || slices.Contains(f.filter.Names, r.Node.Ref.Name)) &&
		(len(f.filter.Namespaces) == 0 || slices.Contains(f.filter.Namespaces, r.Node.Ref.Namespace))
}

// plugins tells what plugins found, which they say of the newest only.
func (f *finder) plugins(ctx context.Context) error {
	if f.place.Source != pluginSource || f.room() == 0 {
		return nil
	}
	if f.past || f.narrowed() || !f.wants([]string{PluginFinding}) {
		f.next()
		return nil
	}
	rows := f.room()
	filter := store.FindingFilter{View: f.view, Clusters: f.filter.Clusters, Namespaces: f.filter.Namespaces, Kinds: f.filter.Kinds}
	found, err := f.q.store.Findings(ctx, filter, f.place.Plugin, rows)
	if err != nil {
		return err
	}
	for i := range found {
		f.place.Plugin = &found[i].Key
		if len(f.filter.Names) == 0 || slices.Contains(f.filter.Names, found[i].Ref.Name) {
			f.keep([]Finding{pluginFinding(&found[i])})
		}
	}
	if len(found) < rows {
		f.next()
	}
	return nil
}
