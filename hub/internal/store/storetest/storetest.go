// Package storetest holds what every body of the store must do: one suite, run by each. Semantics are changed here first.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Body is a store on a database of its own, and what the suite needs to get behind its back.
type Body struct {
	Store store.Store
	// Exec runs a statement that both databases understand, outside the store.
	Exec func(ctx context.Context, sql string) error
	// DropDays says that history goes by whole days, so that what was closed today stays.
	DropDays bool
	// Poison makes the database refuse resources with that name, in a way that the store can't foresee.
	Poison func(ctx context.Context, name string) error
}

// Exercise runs the suite; open gives a fresh store, closed by the test's clean-up.
func Exercise(t *testing.T, open func(t *testing.T) Body) {
	exercise(t, open, map[string]func(*testing.T, *house){
		"Tenants":            tenants,
		"Describe":           describe,
		"Clusters":           clusters,
		"Delete":             deleteAndPurge,
		"Isolation":          isolation,
		"Enrol":              enrol,
		"Renew":              renew,
		"Tokens":             tokens,
		"Sessions":           sessions,
		"Freshness":          freshness,
		"Share":              share,
		"Kinds":              kinds,
		"FleetKinds":         fleetKinds,
		"Apply":              apply,
		"ApplyFence":         applyFence,
		"FenceRace":          fenceRace,
		"Replaced":           replaced,
		"History":            history,
		"Resolve":            resolve,
		"PastRows":           pastRows,
		"PastFreshness":      pastFreshness,
		"PastIsForgotten":    pastIsForgotten,
		"ForgottenWhileRead": forgottenWhileRead,
		"PastOfDamage":       pastOfDamage,
		"LateChanges":        lateChanges,
		"ChangesOf":          changesOf,
		"Replay":             replay,
		"Load":               load,
		"LoadAbandoned":      loadAbandoned,
		"LoadFinal":          loadFinal,
		"Quarantine":         quarantine,
		"Poison":             poison,
		"Oracle":             oracle,
		"Digests":            digests,
		"Damage":             damage,
		"DamagedManifest":    damagedManifest,
		"Lists":              lists,
		"Selectors":          selectors,
		"Views":              views,
		"Edges":              edges,
		"Fans":               fans,
		"Manifests":          manifests,
		"Events":             events,
		"Terms":              terms,
		"Questions":          questions,
		"QuestionsThen":      questionsThen,
		"OwnerCycles":        ownerCycles,
		"GroupViews":         groupViews,
		"Search":             search,
		"SearchOracle":       searchOracle,
		"Values":             valuesTyped,
		"Check":              check,
		"Counts":             counts,
		"Snapshot":           snapshotIsOne,
		"Feed":               feed,
		"FeedIsGapSafe":      feedIsGapSafe,
		"Shared":             shared,
		"Texts":              texts,
		"Retold":             retold,
		"Trim":               trim,
		"Doorbell":           doorbell,
		"ContextThatEnded":   endedContext,
		"Followers":          followers,
		"Plugins":            plugins,
		"PluginsPurged":      pluginsPurged,
		"DeadLetters":        deadLetters,
		"Audit":              audit,
		"AuditFilters":       auditFilters,
		"AuditAbandoned":     auditAbandoned,
		"AuditDropped":       auditDropped,
	})
}

func exercise(t *testing.T, open func(t *testing.T) Body, tests map[string]func(*testing.T, *house)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			t.Cleanup(cancel)
			b := open(t)
			h := &house{T: t, Body: b, ctx: ctx}
			h.tenant = h.newTenant("default")
			test(t, h)
			if !t.Failed() {
				h.intact(ctx, broken[name]...)
			}
		})
	}
}

// house is a store with a tenant in it.
type house struct {
	*testing.T
	Body
	ctx    context.Context
	tenant fleet.TenantID
	names  int
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) wantCode(err error, code fault.Code) {
	h.Helper()
	if !fault.Is(err, code) {
		h.Fatalf("got error %v, want one of code %s", err, code)
	}
}

func (h *house) equal(got, want any) {
	h.Helper()
	if !reflect.DeepEqual(got, want) {
		h.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func (h *house) newTenant(slug string) fleet.TenantID {
	h.Helper()
	tenant, err := h.Store.EnsureTenant(h.ctx, slug)
	h.must(err)
	return tenant.ID
}

// newCluster enrols nothing: the cluster merely exists.
func (h *house) newCluster(tenant fleet.TenantID) store.Scope {
	h.Helper()
	h.names++
	c := fleet.Cluster{Tenant: tenant, ID: fleet.NewClusterID(), Name: fmt.Sprintf("cluster-%d", h.names), Created: time.Now().UTC().Truncate(time.Microsecond)}
	h.must(h.Store.CreateCluster(h.ctx, c))
	return store.Scope{Tenant: tenant, Cluster: c.ID}
}

// session is one agent's session, counting its batches.
type session struct {
	h     *house
	at    store.Scope
	epoch int64
	seq   int64
}

func (h *house) open(at store.Scope) *session {
	h.Helper()
	c, err := h.Store.OpenSession(h.ctx, at, store.Hello{Instance: "i", Agent: "v0", Version: "v1.37.2", Provider: "kwok", Share: fleet.ShareManifests, KubeUID: "uid-" + at.Cluster.String()})
	h.must(err)
	return &session{h: h, at: at, epoch: c.Epoch}
}

// loaded is a session of a new cluster whose first load brought that.
func (h *house) loaded(d store.Delta) *session {
	h.Helper()
	s := h.open(h.newCluster(h.tenant))
	s.load(d)
	return s
}

func (s *session) load(d store.Delta) store.Applied {
	s.h.Helper()
	l, err := s.h.Store.BeginLoad(s.h.ctx, s.at, s.epoch)
	s.h.must(err)
	_, err = l.Add(s.h.ctx, d)
	s.h.must(err)
	s.seq++
	a, err := l.Commit(s.h.ctx, s.seq, store.Delta{})
	s.h.must(err)
	return a
}

func (s *session) apply(d store.Delta) store.Applied {
	s.h.Helper()
	s.seq++
	a, err := s.h.Store.Apply(s.h.ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: s.seq, Delta: d})
	s.h.must(err)
	return a
}

// read runs fn on a snapshot of the tenant.
func (h *house) read(fn func(store.Snapshot) error) {
	h.Helper()
	h.must(h.Store.Read(h.ctx, h.tenant, func(_ context.Context, s store.Snapshot) error { return fn(s) }))
}

func (h *house) everything() fleet.View { return fleet.View{Tenant: h.tenant, Everything: true} }

// list gives every row a filter means, by pages of three.
func (h *house) list(f store.Filter) (all []store.Row) {
	h.Helper()
	if f.View.Tenant == 0 {
		f.View = h.everything()
	}
	h.read(func(s store.Snapshot) error {
		var after *store.Key
		for {
			page, err := s.Resources(h.ctx, f, after, 3)
			if err != nil || len(page) == 0 {
				return err
			}
			all = append(all, page...)
			last := page[len(page)-1]
			after = &store.Key{Ref: last.Node.Ref, Cluster: last.Cluster}
		}
	})
	return all
}

func (h *house) nodes(f store.Filter) (nodes []topo.Node) {
	h.Helper()
	f.Placeholders = true
	for _, r := range h.list(f) {
		nodes = append(nodes, r.Node)
	}
	return nodes
}

func (h *house) allEdges(at store.Scope) (edges []topo.Edge) {
	h.Helper()
	h.read(func(s store.Snapshot) error {
		rows, err := s.Resources(h.ctx, store.Filter{View: h.everything(), Clusters: []fleet.ClusterID{at.Cluster}, Placeholders: true}, nil, 10000)
		if err != nil {
			return err
		}
		ids := make([]topo.ID, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		found, err := s.EdgesOf(h.ctx, at, ids, store.Both, nil, 100000)
		for _, r := range found {
			edges = append(edges, r.Edge)
		}
		return err
	})
	slices.SortFunc(edges, func(a, b topo.Edge) int { return a.Key().Compare(b.Key()) })
	return edges
}

func ref(kind, name string) topo.Ref { return topo.Ref{Kind: kind, Namespace: "shop", Name: name} }

// pod is a node with labels, attributes and a UID of its own.
func pod(name string, labels ...string) topo.Node {
	n := topo.Node{Ref: ref("Pod", name), UID: "uid-" + name, Version: "v1", Created: 1_700_000_000, Health: topo.OK, Status: "Running",
		Attrs: []topo.Pair{{Key: "ready", Value: "1/1"}}}
	for i := 0; i+1 < len(labels); i += 2 {
		n.Labels = append(n.Labels, topo.Pair{Key: labels[i], Value: labels[i+1]})
	}
	return n
}

func with(n topo.Node, change func(*topo.Node)) topo.Node {
	change(&n)
	return n
}

func edge(from, to topo.Ref, rule string) topo.Edge {
	return topo.Edge{Source: from, Target: to, Rule: rule, Type: topo.Mounts, Path: "spec.volumes[0]"}
}

func sorted(nodes ...topo.Node) []topo.Node {
	slices.SortFunc(nodes, func(a, b topo.Node) int { return a.Ref.Compare(b.Ref) })
	return nodes
}
