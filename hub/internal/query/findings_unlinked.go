package query

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// unlinked is a row of the table of what should have relationships: objects of a kind without any of those types, in that direction.
type unlinked struct {
	kind     topo.GroupKind
	dir      store.Direction
	types    []topo.EdgeType
	terms    []store.Term // what else must hold
	names    []string     // never told
	severity string
	sentence string // %s is the object
	// doubtful tells that something may use it without naming it.
	doubtful bool
}

// uses are the types of edges by which something uses what they lead to.
var uses = []topo.EdgeType{topo.Mounts, topo.References, topo.Routes, topo.Selects, topo.Scales}

var (
	idleSelector = unlinked{
		kind: topo.GroupKind{Kind: "Service"}, dir: store.Out, types: []topo.EdgeType{topo.Selects}, severity: SeverityWarning,
		terms:    []store.Term{{Key: store.AttrKey + "selector", Op: store.Like, Values: []string{"yes"}}},
		sentence: "%s has a selector that picks no Pod",
	}
	idlePolicy = unlinked{
		kind: topo.GroupKind{Group: "networking.k8s.io", Kind: "NetworkPolicy"}, dir: store.Out, types: []topo.EdgeType{topo.Selects}, severity: SeverityInfo,
		sentence: "%s governs no Pod",
	}
	idleBudget = unlinked{
		kind: topo.GroupKind{Group: "policy", Kind: "PodDisruptionBudget"}, dir: store.Out, types: []topo.EdgeType{topo.Protects}, severity: SeverityWarning,
		sentence: "%s protects no Pod",
	}
	unusedConfigMap = unlinked{
		kind: topo.GroupKind{Kind: "ConfigMap"}, dir: store.Into, types: uses, severity: SeverityInfo, doubtful: true,
		names:    []string{"istio-ca-root-cert", "kube-root-ca.crt", "openshift-service-ca.crt"},
		sentence: "nothing that is watched mounts %s or refers to it",
	}
	unusedSecret = unlinked{
		kind: topo.GroupKind{Kind: "Secret"}, dir: store.Into, types: uses, severity: SeverityInfo, doubtful: true,
		terms: []store.Term{{
			Key: store.AttrKey + "type", Op: store.Like, Not: true,
			Values: []string{"helm.sh/release.v1", "kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"},
		}},
		sentence: "nothing that is watched mounts %s or refers to it",
	}
	unusedClaim = unlinked{
		kind: topo.GroupKind{Kind: "PersistentVolumeClaim"}, dir: store.Into, types: uses, severity: SeverityWarning, doubtful: true,
		sentence: "nothing mounts %s: it keeps its volume for nobody",
	}
)

// exclusions says what the table leaves out, for people.
var exclusions = []Exclusion{
	{Unused, "ConfigMaps kube-root-ca.crt, openshift-service-ca.crt, istio-ca-root-cert", "they are put into every namespace, needed or not"},
	{Unused, "Secrets of the type helm.sh/release.v1", "Helm keeps its releases in them"},
	{Unused, "Secrets of the type kubernetes.io/service-account-token", "they are read from outside the cluster"},
	{Unused, "Secrets of the type bootstrap.kubernetes.io/token", "nodes join the cluster with them"},
	{SelectsNothing, "Services without a selector", "their endpoints are given by somebody else"},
	{DanglingBinding, "missing subjects of bindings whose names begin with system:", "Kubernetes makes them for its own components, which need not be there"},
	{MissingTarget, "optional references", "what they name need not be there"},
	{MissingTarget, "the nodes of leases, requesters of certificates, targets of endpoint slices", "they may be gone before what names them"},
	{MissingTarget, "what Pods and their like name, where their owner names it too", "the owner's finding says it for all of them"},
	{OwnerCycle, "fleets of more than 50 clusters", "who owns whom must be read for it; ask for clusters by id"},
}

func unlinkedSource(u unlinked, kind string) func(*finder, context.Context, *findingPlace, int) ([]Finding, bool, error) {
	return func(f *finder, ctx context.Context, at *findingPlace, rows int) ([]Finding, bool, error) {
		return f.unlinked(ctx, &u, kind, at, rows)
	}
}

func (f *finder) unlinked(ctx context.Context, u *unlinked, kind string, at *findingPlace, rows int) ([]Finding, bool, error) {
	filter, ok := f.only(u.kind)
	if !ok || (len(f.ask.Severities) > 0 && !slices.Contains(f.ask.Severities, u.severity)) {
		return nil, true, nil
	}
	filter.Terms = append(filter.Terms, u.terms...)
	if len(u.names) > 0 {
		filter.Fields = append(filter.Fields, store.Requirement{Key: "name", Op: store.NotIn, Values: u.names})
	}
	found, err := f.Unlinked(ctx, filter, u.dir, u.types, at.Key, rows)
	if err != nil || len(found) == 0 {
		return nil, true, err
	}
	at.Key = new(keyOf(&found[len(found)-1]))
	owners := map[nodeKey]topo.Ref{}
	if u.doubtful {
		if owners, err = f.owners(ctx, found); err != nil {
			return nil, false, err
		}
	}
	var out []Finding
	for i := range found {
		row := &found[i]
		x := about(kind, u.severity, row)
		x.Sentence = fmt.Sprintf(u.sentence, nameOf(row.Node.Ref))
		if u.doubtful {
			f.doubtUse(&x, row, owners[nodeKey{row.Cluster, row.ID}])
		}
		x.unseen = row.Cluster
		out = append(out, x)
	}
	return out, len(found) < rows, nil
}

// owners gives one owner of each row that has any.
func (f *finder) owners(ctx context.Context, rows []store.Row) (map[nodeKey]topo.Ref, error) {
	out := map[nodeKey]topo.Ref{}
	for c, ids := range idsByCluster(rows) {
		edges, err := f.EdgesOf(ctx, f.scope(c), ids, store.Into, []topo.EdgeType{topo.Owns}, len(ids)*4)
		if err != nil {
			return nil, err
		}
		for _, e := range f.visibleEdges(edges) {
			out[nodeKey{c, e.Edge.Target.ID()}] = e.Edge.Source
		}
	}
	return out, nil
}

// systemSpaces are namespaces in which components read what nothing names.
var systemSpaces = []string{"kube-node-lease", "kube-public", "kube-system"}

// readByLabel are the labels by which programs find objects through the API, without anything naming these.
var readByLabel = []string{
	"argocd.argoproj.io/secret-type", "cluster.x-k8s.io/cluster-name", "control-plane.alpha.kubernetes.io/leader", "dashboard", "external-secrets.io/type",
	"grafana_dashboard", "grafana_datasource", "k8s-sidecar-target", "owner", "prometheus", "sealedsecrets.bitnami.com/sealed-secrets-key", "strimzi.io/kind",
}

const newObject = time.Hour

// doubtUse lowers the confidence that an object is unused, where something may well use it without naming it.
func (f *finder) doubtUse(x *Finding, row *store.Row, owner topo.Ref) {
	n := &row.Node
	if n.Created != 0 && f.At().Sub(time.Unix(n.Created, 0)) < newObject {
		x.doubt(ConfidenceLow, "it is younger than an hour: what uses it may still come")
	}
	if slices.Contains(systemSpaces, n.Ref.Namespace) {
		x.doubt(ConfidenceLow, "components of the system read what is in the namespace %s through the API", n.Ref.Namespace)
	}
	for _, key := range readByLabel {
		if _, ok := topo.Value(n.Labels, key); ok {
			x.doubt(ConfidenceLow, "programs look for objects with the label %s through the API", key)
		}
	}
	if owner.Kind != "" {
		x.doubt(ConfidenceMedium, "it belongs to %s, which may read it through the API", nameOf(owner))
	} else if by, ok := topo.Value(n.Labels, "app.kubernetes.io/managed-by"); ok && !strings.EqualFold(by, "helm") {
		x.doubt(ConfidenceMedium, "it is managed by %s, which may read it through the API", by)
	}
}
