package query

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Level is how far health is rolled up.
type Level string

// The levels, from the whole to the parts.
const (
	OfTenant      Level = "tenant"
	OfCluster     Level = "cluster"
	OfNamespace   Level = "namespace"
	OfApplication Level = "application"
	OfWorkload    Level = "workload"
)

var levels = map[Level][]store.Dimension{
	OfTenant: {}, OfCluster: {store.ByCluster}, OfNamespace: {store.ByCluster, store.ByNamespace},
	OfApplication: {store.ByCluster, store.ByNamespace, store.ByApplication}, OfWorkload: {},
}

// Bounds of the objects told with a group.
const (
	DefaultBad = 3
	maxBad     = 20
	badScan    = 1000 // of all groups together
)

// HealthQuestion asks how the resources that are meant fare, rolled up to a level.
type HealthQuestion struct {
	Where
	Level Level // "" is OfCluster
	Bad   int   // objects told with each group; 0: DefaultBad, negative: none
	Page        // workloads are paged, groups have a limit
}

// Health is how resources fare, rolled up.
type Health struct {
	Meta
	Level     string           `json:"level" enum:"tenant,cluster,namespace,application,workload"`
	Health    HealthCounts     `json:"health" doc:"of all that is meant; at the level of workloads, of those on this page and what they own"`
	Worst     string           `json:"worst" enum:"unknown,ok,progressing,warning,error"`
	Stale     bool             `json:"stale" doc:"what is known of one of the clusters isn't current"`
	Groups    []Group          `json:"groups,omitempty"`
	Workloads []WorkloadHealth `json:"workloads,omitempty"`
	Continue  string           `json:"continue,omitempty" doc:"gives the next page of workloads; absent on the last"`
	Truncated *Truncation      `json:"truncated,omitempty" doc:"present where something is left out: what, and how to get it"`
}

// BadObject is a resource that fares badly, and why.
type BadObject struct {
	Cluster string `json:"cluster"`
	Ref
	Health string `json:"health" enum:"unknown,ok,progressing,warning,error"`
	Why    string `json:"why" doc:"in words"`
}

// Health answers a HealthQuestion.
func (q *Querier) Health(ctx context.Context, p fleet.Principal, h HealthQuestion) (*Health, error) {
	if h.Level == "" {
		h.Level = OfCluster
	}
	by, ok := levels[h.Level]
	if !ok {
		return nil, fault.New(fault.BadRequest, "there is no level %q", h.Level).WithField("level", "must be one of tenant, cluster, namespace, application and workload")
	}
	if h.Bad > maxBad {
		return nil, fault.New(fault.BadRequest, "too many objects are asked for").WithField("bad", "must be at most %d", maxBad)
	}
	if h.Bad == 0 {
		h.Bad = DefaultBad
	}
	if h.Level == OfWorkload {
		return q.workloads(ctx, p, h)
	}
	if h.Continue != "" {
		return nil, fault.New(fault.BadRequest, "groups have no pages").WithField("continue", "is possible at the level of workloads only")
	}
	limit, err := h.limit(DefaultGroups, MaxGroups)
	if err != nil {
		return nil, err
	}
	var out *Health
	err = q.read(ctx, "health", scope{p, fleet.List, h.Clusters, h.At}, func(ctx context.Context, r *reading) error {
		out, err = r.health(ctx, h, by, limit)
		return err
	})
	return out, err
}

func (r *reading) health(ctx context.Context, h HealthQuestion, by []store.Dimension, limit int) (*Health, error) {
	f, err := h.filter(r.view)
	if err != nil {
		return nil, err
	}
	counted := f
	counted.Placeholders = true
	groups, _, left, err := r.group(ctx, counted, GroupQuestion{By: by, Plain: true}, limit)
	if err != nil {
		return nil, err
	}
	out := &Health{Level: string(h.Level), Meta: r.meta(r.clustersOf(groups)), Stale: r.anyStale(), Groups: r.grouping(by, groups, nil).Groups}
	for _, g := range out.Groups {
		out.Health.sum(g.Health)
	}
	out.Worst = out.Health.Worst().String()
	if left != nil {
		out.Truncated = &Truncation{Reason: "there are more groups than fit into one answer; the counts are of these", Hint: "raise limit, ask for a higher level, or restrict by cluster or namespace"}
	}
	if h.Bad > 0 {
		err = r.worst(ctx, f, by, groups, out.Groups, h.Bad)
	}
	return out, err
}

func (h *HealthCounts) sum(o HealthCounts) {
	h.Error += o.Error
	h.Warning += o.Warning
	h.Progressing += o.Progressing
	h.Unknown += o.Unknown
	h.OK += o.OK
}

// worst tells with each group whose worst is an error or a warning a few of the objects that are so: those of all groups are looked for together.
func (r *reading) worst(ctx context.Context, f store.Filter, by []store.Dimension, groups []store.Group, out []Group, each int) error {
	place := map[store.Group]int{}
	for i := range groups {
		place[keyOfGroup(groups[i])] = i
	}
	for _, health := range []topo.Health{topo.Error, topo.Warning} {
		wanted := 0
		for i := range out {
			if out[i].Worst == health.String() {
				wanted++
			}
		}
		if wanted == 0 {
			continue
		}
		bad := f
		bad.Fields = append([]store.Requirement{{Key: "health", Op: store.In, Values: []string{health.String()}}}, f.Fields...)
		rows, err := r.Resources(ctx, bad, nil, badScan)
		if err != nil {
			return err
		}
		for i := range rows {
			at, ok := place[groupKey(by, &rows[i])]
			if ok && out[at].Worst == health.String() && len(out[at].Bad) < each {
				out[at].Bad = append(out[at].Bad, badObject(&rows[i]))
			}
		}
	}
	return nil
}

// keyOfGroup is a group without what is counted.
func keyOfGroup(g store.Group) store.Group {
	return store.Group{Cluster: g.Cluster, Namespace: g.Namespace, Application: g.Application, Kind: g.Kind}
}

// groupKey is the group that a resource is in.
func groupKey(by []store.Dimension, row *store.Row) (g store.Group) {
	for _, d := range by {
		switch d {
		case store.ByCluster:
			g.Cluster = row.Cluster
		case store.ByNamespace:
			g.Namespace = row.Node.Ref.Namespace
		case store.ByApplication:
			g.Application, _ = topo.Value(row.Node.Attrs, "app")
		case store.ByKind:
			g.Kind = row.Node.Ref.GroupKind()
		}
	}
	return g
}

func badObject(row *store.Row) BadObject {
	return BadObject{Cluster: row.Cluster.String(), Ref: refOf(row.Node.Ref, row.ID), Health: row.Node.Health.String(), Why: whyBad(&row.Node)}
}

// whyBad words what an object says of itself.
func whyBad(n *topo.Node) string {
	parts := []string{n.Status}
	if n.Status == "" {
		parts[0] = n.Health.String()
	}
	if ready, ok := topo.Value(n.Attrs, "ready"); ok {
		parts = append(parts, ready+" ready")
	}
	if restarts, ok := topo.Value(n.Attrs, "restarts"); ok && restarts != "0" {
		parts = append(parts, restarts+" restarts")
	}
	for _, key := range []string{"reason", "message"} {
		if text, ok := topo.Value(n.Attrs, key); ok && text != n.Status {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}
