package query

import (
	"cmp"
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// HealthCounts is how many resources fare how.
type HealthCounts struct {
	Error       int `json:"error"`
	Warning     int `json:"warning"`
	Progressing int `json:"progressing"`
	Unknown     int `json:"unknown"`
	OK          int `json:"ok"`
}

func (h *HealthCounts) add(of topo.Health, n int) {
	switch of {
	case topo.OK:
		h.OK += n
	case topo.Progressing:
		h.Progressing += n
	case topo.Warning:
		h.Warning += n
	case topo.Error:
		h.Error += n
	default:
		h.Unknown += n
	}
}

// Worst is the worst health that anything has; what is unknown is no green. Without any resource it is unknown.
func (h *HealthCounts) Worst() topo.Health {
	switch {
	case h.Error > 0:
		return topo.Error
	case h.Warning > 0:
		return topo.Warning
	case h.Progressing > 0:
		return topo.Progressing
	case h.OK > 0 && h.Unknown == 0:
		return topo.OK
	default:
		return topo.Unknown
	}
}

// KindCount is how many resources of a kind there are, and how they fare.
type KindCount struct {
	Group  string       `json:"group"`
	Kind   string       `json:"kind"`
	Count  int          `json:"count"`
	Health HealthCounts `json:"health"`
}

// Summary is a cluster in numbers.
type Summary struct {
	Cluster
	Resources int          `json:"resources"`
	Edges     int          `json:"edges"`
	Health    HealthCounts `json:"health"`
	Worst     string       `json:"worst" enum:"unknown,ok,progressing,warning,error" doc:"the worst health of its resources"`
}

// Info is all that is known of a cluster as such.
type Info struct {
	Meta
	Cluster Summary     `json:"cluster"`
	Kinds   []KindCount `json:"kinds"`
	// Unobserved are the kinds that the agent can't watch, and why.
	Unobserved []UnobservedKind `json:"unobserved" doc:"kinds that are not watched, and why"`
	Synced     bool             `json:"synced" doc:"its first load is complete"`
}

// UnobservedKind is a kind of which the hub sees nothing.
type UnobservedKind struct {
	Group   string `json:"group"`
	Kind    string `json:"kind"`
	Version string `json:"version,omitempty"`
	Reason  string `json:"reason"`
}

// FleetSummary is every visible cluster in numbers, and all of them together.
type FleetSummary struct {
	Meta
	Clusters  []Summary      `json:"clusters"`
	Resources int            `json:"resources"`
	Edges     int            `json:"edges"`
	Health    HealthCounts   `json:"health"`
	Worst     string         `json:"worst" enum:"unknown,ok,progressing,warning,error"`
	Versions  map[string]int `json:"versions" doc:"clusters by version of Kubernetes"`
}

// ClusterList is the clusters one may see, by name.
type ClusterList struct {
	Meta
	Items []Cluster `json:"items"`
}

// ClusterDetail is one cluster.
type ClusterDetail struct {
	Meta
	Cluster Cluster `json:"cluster"`
}

// Clusters lists the visible clusters.
func (q *Querier) Clusters(ctx context.Context, p fleet.Principal) (*ClusterList, error) {
	out := &ClusterList{Items: []Cluster{}}
	err := q.read(ctx, "clusters", scope{p: p, verb: fleet.List}, func(_ context.Context, r *reading) error {
		out.Meta = r.meta(nil)
		for _, c := range r.sorted() {
			out.Items = append(out.Items, ClusterOf(c))
			out.Freshness[c.ID.String()] = freshness(c)
		}
		return nil
	})
	return out, err
}

// Cluster gives one visible cluster.
func (q *Querier) Cluster(ctx context.Context, p fleet.Principal, id fleet.ClusterID) (*ClusterDetail, error) {
	var out *ClusterDetail
	err := q.read(ctx, "cluster", scope{p: p, verb: fleet.Get, clusters: []fleet.ClusterID{id}}, func(_ context.Context, r *reading) error {
		out = &ClusterDetail{Meta: r.meta(nil), Cluster: ClusterOf(r.known[id])}
		return nil
	})
	return out, err
}

// Info gives a cluster in numbers, by kind. Which kinds are watched is told as of now.
func (q *Querier) Info(ctx context.Context, p fleet.Principal, id fleet.ClusterID, at store.When) (*Info, error) {
	out := &Info{Unobserved: []UnobservedKind{}}
	err := q.read(ctx, "info", scope{p, fleet.Get, []fleet.ClusterID{id}, at}, func(ctx context.Context, r *reading) error {
		sums, counts, err := r.count(ctx)
		if err != nil {
			return err
		}
		if sums[id] == nil {
			return noCluster(id) // it wasn't there then
		}
		out.Meta, out.Cluster, out.Synced = r.meta(nil), *sums[id], r.known[id].Synced
		out.Kinds = kindCounts(counts)
		return nil
	})
	if err != nil {
		return nil, err
	}
	reports, err := q.store.Kinds(ctx, store.Scope{Tenant: p.Tenant, Cluster: id})
	for _, k := range reports {
		if !k.Observed {
			out.Unobserved = append(out.Unobserved, UnobservedKind{Group: k.Group, Kind: k.Kind, Version: k.Version, Reason: k.Reason})
		}
	}
	return out, err
}

// Summary gives every visible cluster in numbers, from one query.
func (q *Querier) Summary(ctx context.Context, p fleet.Principal, at store.When) (*FleetSummary, error) {
	out := &FleetSummary{Clusters: []Summary{}, Versions: map[string]int{}}
	err := q.read(ctx, "summary", scope{p, fleet.List, nil, at}, func(ctx context.Context, r *reading) error {
		sums, _, err := r.count(ctx)
		if err != nil {
			return err
		}
		out.Meta = r.meta(nil)
		for _, c := range r.sorted() {
			out.add(*sums[c.ID])
		}
		out.Worst = out.Health.Worst().String()
		return nil
	})
	return out, err
}

func (f *FleetSummary) add(s Summary) {
	f.Clusters = append(f.Clusters, s)
	f.Resources += s.Resources
	f.Edges += s.Edges
	f.Health.Error += s.Health.Error
	f.Health.Warning += s.Health.Warning
	f.Health.Progressing += s.Health.Progressing
	f.Health.Unknown += s.Health.Unknown
	f.Health.OK += s.Health.OK
	f.Freshness[s.ID] = s.Cluster.Freshness
	if s.Version != "" {
		f.Versions[s.Version]++
	}
}

// count sums up the clusters of the reading, and gives the counts that the sums are made of.
func (r *reading) count(ctx context.Context) (map[fleet.ClusterID]*Summary, []store.Count, error) {
	counts, err := r.Counts(ctx, r.view, r.named)
	if err != nil {
		return nil, nil, err
	}
	edges, err := r.EdgeCounts(ctx, r.view, r.named)
	if err != nil {
		return nil, nil, err
	}
	sums := make(map[fleet.ClusterID]*Summary, len(r.known))
	for id, c := range r.known {
		sums[id] = &Summary{Cluster: ClusterOf(c), Edges: edges[id]}
	}
	for _, c := range counts {
		if s := sums[c.Cluster]; s != nil {
			s.Resources += c.Number
			s.Health.add(c.Health, c.Number)
		}
	}
	for _, s := range sums {
		s.Worst = s.Health.Worst().String()
	}
	return sums, counts, nil
}

// kindCounts joins counts by kind, in the order of group and kind.
func kindCounts(counts []store.Count) []KindCount {
	at := map[topo.GroupKind]*KindCount{}
	for _, c := range counts {
		k := at[c.Kind]
		if k == nil {
			k = &KindCount{Group: c.Kind.Group, Kind: c.Kind.Kind}
			at[c.Kind] = k
		}
		k.Count += c.Number
		k.Health.add(c.Health, c.Number)
	}
	out := make([]KindCount, 0, len(at))
	for _, k := range at {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b KindCount) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind)) })
	return out
}
