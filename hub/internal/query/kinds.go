package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Kinds resolves what people call kinds, from what agents report of theirs and from what the store holds. Answers are
// kept for a while; a name that isn't found is looked for anew, at most every few seconds.
type Kinds struct {
	store  Store
	kept   *lru.Cache[store.Scope, keptKinds]
	flight singleflight.Group
	now    func() time.Time
}

const (
	kindsKept    = 30 * time.Second
	kindsRetry   = 2 * time.Second
	kindsTimeout = 15 * time.Second
	kindScopes   = 2048 // clusters whose kinds are kept, about 20 kB each
)

// keptKinds are the kinds by each of their names, in lower case.
type keptKinds struct {
	byName map[string][]topo.GroupKind
	at     time.Time
}

func newKinds(s Store) *Kinds {
	kept, err := lru.New[store.Scope, keptKinds](kindScopes)
	if err != nil {
		panic(err) // a size below one, which it is not
	}
	return &Kinds{store: s, kept: kept, now: time.Now}
}

// Resolve gives the kinds of that name (plural, singular or kind, in any case; with its group behind a dot, or in every
// group) in a cluster, or, for cluster 0, in the whole tenant. NotFound when there are none.
func (k *Kinds) Resolve(ctx context.Context, at store.Scope, name string) ([]topo.GroupKind, error) {
	found, err := k.find(ctx, at, name, func(topo.GroupKind) bool { return true })
	if err == nil && found == nil {
		err = fault.New(fault.NotFound, "no kind is known by the name %q", name)
	}
	return found, err
}

// find gives the kinds of a name. If none among them is one that fits, it looks whether there is news of kinds.
func (k *Kinds) find(ctx context.Context, at store.Scope, name string, fits func(topo.GroupKind) bool) (found []topo.GroupKind, err error) {
	for _, fresh := range []time.Duration{kindsKept, kindsRetry} {
		table, err := k.table(ctx, at, fresh)
		if err != nil {
			return nil, err
		}
		if found = table.byName[strings.ToLower(name)]; slices.ContainsFunc(found, fits) {
			break
		}
	}
	return found, nil
}

// ResolveIn gives the one kind of that name in that group ("" is the core group).
func (k *Kinds) ResolveIn(ctx context.Context, at store.Scope, group, name string) (topo.GroupKind, error) {
	fits := func(gk topo.GroupKind) bool { return strings.EqualFold(gk.Group, group) }
	found, err := k.find(ctx, at, name, fits)
	if err != nil {
		return topo.GroupKind{}, err
	}
	if i := slices.IndexFunc(found, fits); i >= 0 {
		return found[i], nil
	}
	if found == nil {
		return topo.GroupKind{}, fault.New(fault.NotFound, "no kind is known by the name %q", name)
	}
	return topo.GroupKind{}, fault.New(fault.NotFound, "no kind is known by the name %q in the group %q", name, cmp.Or(group, "-"))
}

func (k *Kinds) table(ctx context.Context, at store.Scope, fresh time.Duration) (keptKinds, error) {
	if t, ok := k.kept.Get(at); ok && k.now().Sub(t.at) < fresh {
		return t, nil
	}
	// Whoever asks at the same time gets the same answer. It is read for all of them, so it doesn't end with the one who came first.
	key := at.Tenant.String() + at.Cluster.String()
	t, err, _ := k.flight.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kindsTimeout)
		defer cancel()
		return k.load(ctx, at)
	})
	if err != nil {
		return keptKinds{}, err
	}
	return t.(keptKinds), nil
}

func (k *Kinds) load(ctx context.Context, at store.Scope) (keptKinds, error) {
	t := keptKinds{byName: map[string][]topo.GroupKind{}, at: k.now()}
	if at.Cluster != 0 {
		reports, err := k.store.Kinds(ctx, at)
		if err != nil {
			return t, err
		}
		for _, r := range reports {
			t.add(r.GroupKind, r.Plural)
		}
	}
	if len(t.byName) == 0 { // the whole tenant, or an agent that hasn't reported yet
		if err := k.fromCounts(ctx, at, t); err != nil {
			return t, err
		}
	}
	k.kept.Add(at, t)
	return t, nil
}

// fromCounts takes the kinds that there are objects of. Kinds are no secret within a tenant, so everybody's names may be kept.
func (k *Kinds) fromCounts(ctx context.Context, at store.Scope, t keptKinds) error {
	var clusters []fleet.ClusterID
	if at.Cluster != 0 {
		clusters = []fleet.ClusterID{at.Cluster}
	}
	return k.store.Read(ctx, at.Tenant, func(ctx context.Context, s store.Snapshot) error {
		counts, err := s.Counts(ctx, fleet.View{Tenant: at.Tenant, Everything: true}, clusters)
		for _, c := range counts {
			t.add(c.Kind, "")
		}
		return err
	})
}

// add enters a kind under its names; the plural is guessed where none was reported.
func (t keptKinds) add(gk topo.GroupKind, plural string) {
	guess, singular := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: gk.Group, Kind: gk.Kind})
	names := []string{cmp.Or(plural, guess.Resource), singular.Resource, strings.ToLower(gk.Kind)}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		t.enter(n, gk)
		t.enter(n+"."+strings.ToLower(gk.Group), gk) // "pods." is the core group's alone
	}
}

func (t keptKinds) enter(name string, gk topo.GroupKind) {
	if !slices.Contains(t.byName[name], gk) {
		t.byName[name] = append(t.byName[name], gk)
	}
}

// KindInfo is a kind of a cluster: how it is watched, and how many objects of it are visible.
type KindInfo struct {
	KindCount
	Version    string `json:"version,omitempty"`
	Plural     string `json:"plural"`
	Namespaced *bool  `json:"namespaced,omitempty" doc:"absent where the agent hasn't said"`
	Observed   bool   `json:"observed" doc:"it is watched"`
	Reason     string `json:"reason,omitempty" doc:"why it isn't"`
}

// KindList is the kinds of a cluster, custom ones included.
type KindList struct {
	Meta
	Items []KindInfo `json:"items"`
}

// APIResources lists the kinds of a cluster with their counts.
func (q *Querier) APIResources(ctx context.Context, p fleet.Principal, id fleet.ClusterID) (*KindList, error) {
	at := store.Scope{Tenant: p.Tenant, Cluster: id}
	var counts []store.Count
	out := &KindList{}
	err := q.read(ctx, "kinds", scope{p: p, verb: fleet.Get, clusters: []fleet.ClusterID{id}}, func(ctx context.Context, r *reading) (err error) {
		out.Meta = r.meta(nil)
		counts, err = r.Counts(ctx, r.view, r.named)
		return err
	})
	if err != nil {
		return nil, err
	}
	reports, err := q.store.Kinds(ctx, at)
	out.Items = joinKinds(reports, kindCounts(counts))
	return out, err
}

// joinKinds puts what is watched beside what is there. Something that is there and not reported was reported before.
func joinKinds(reports []topo.KindReport, counts []KindCount) []KindInfo {
	byKind := make(map[topo.GroupKind]KindCount, len(counts))
	for _, c := range counts {
		byKind[topo.GroupKind{Group: c.Group, Kind: c.Kind}] = c
	}
	out := make([]KindInfo, 0, len(reports))
	for _, r := range reports {
		c, ok := byKind[r.GroupKind]
		if !ok {
			c = KindCount{Group: r.Group, Kind: r.Kind}
		}
		delete(byKind, r.GroupKind)
		namespaced := r.Namespaced
		out = append(out, KindInfo{KindCount: c, Version: r.Version, Plural: r.Plural, Namespaced: &namespaced, Observed: r.Observed, Reason: r.Reason})
	}
	for gk, c := range byKind {
		guess, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: gk.Group, Kind: gk.Kind})
		out = append(out, KindInfo{KindCount: c, Plural: guess.Resource, Observed: true})
	}
	slices.SortFunc(out, func(a, b KindInfo) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind)) })
	return out
}
