package plugin

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	contract "github.com/kubilitics/kubilitics/shared/plugin"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	batchEdges = 4000 // edges read for a batch at once
	nodeEdges  = 200  // edges of a node that has so many
	// A node on which the plugin fails is given up after so many attempts if the plugin does well on others meanwhile, and after so many otherwise.
	triesAlone, triesAtMost = 3, 10
)

// enrichAll asks about nodes of several clusters, cluster by cluster, in batches.
func (t *tenantEnricher) enrichAll(ctx context.Context, due map[fleet.ClusterID]map[topo.ID]topo.Ref) error {
	for c, nodes := range due {
		name, err := t.name(ctx, c)
		if fault.Is(err, fault.NotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		ids := make([]topo.ID, 0, len(nodes))
		for id := range nodes {
			ids = append(ids, id)
		}
		for len(ids) > 0 {
			n := min(batchNodes, len(ids))
			if err := t.enrich(ctx, c, name, ids[:n], nodes); err != nil {
				return err
			}
			ids = ids[n:]
		}
	}
	return nil
}

func (t *tenantEnricher) name(ctx context.Context, c fleet.ClusterID) (string, error) {
	if name, ok := t.names[c]; ok {
		return name, nil
	}
	cluster, err := t.host.cfg.Store.Cluster(ctx, store.Scope{Tenant: t.tenant.ID, Cluster: c})
	if err == nil {
		t.names[c] = cluster.Name
	}
	return cluster.Name, err
}

// batch is what is asked about at once.
type batch struct {
	cluster  fleet.ClusterID
	name     string
	subjects []subject
}

// enrich asks about nodes as they are now. What was added to those that are gone is removed.
func (t *tenantEnricher) enrich(ctx context.Context, c fleet.ClusterID, name string, ids []topo.ID, refs map[topo.ID]topo.Ref) error {
	b := batch{cluster: c, name: name}
	var err error
	if b.subjects, err = t.gather(ctx, c, ids); err != nil {
		return err
	}
	there := map[topo.ID]bool{}
	for _, s := range b.subjects {
		there[s.id] = true
	}
	var gone []store.Addition
	for _, id := range ids {
		if !there[id] {
			gone = append(gone, store.Addition{Ref: refs[id]})
		}
	}
	if err := t.keep(ctx, c, gone); err != nil || len(b.subjects) == 0 {
		return err
	}
	return t.put(ctx, b)
}

// gather reads nodes and their edges from one snapshot.
func (t *tenantEnricher) gather(ctx context.Context, c fleet.ClusterID, ids []topo.ID) (subjects []subject, err error) {
	at := store.Scope{Tenant: t.tenant.ID, Cluster: c}
	err = t.host.cfg.Store.Read(ctx, t.tenant.ID, func(ctx context.Context, s store.Snapshot) error {
		rows, err := s.Nodes(ctx, at, ids)
		if err != nil {
			return err
		}
		places := map[topo.ID]int{}
		for _, r := range rows {
			if r.Node.Presence == topo.Present {
				places[r.ID] = len(subjects)
				subjects = append(subjects, subject{id: r.ID, ref: r.Node.Ref, uid: r.Node.UID, message: nodeMessage(&r.Node)})
			}
		}
		return t.edges(ctx, s, at, subjects, places)
	})
	return subjects, err
}

// edges gives the subjects their edges: all at once, or one by one where there are very many.
func (t *tenantEnricher) edges(ctx context.Context, s store.Snapshot, at store.Scope, subjects []subject, places map[topo.ID]int) error {
	ids := make([]topo.ID, len(subjects))
	for i := range subjects {
		ids[i] = subjects[i].id
	}
	found, err := s.EdgesOf(ctx, at, ids, store.Both, nil, batchEdges)
	if err != nil {
		return err
	}
	if len(found) < batchEdges {
		for i := range found {
			give(subjects, places, &found[i].Edge)
		}
		return nil
	}
	for i := range subjects {
		own, err := s.EdgesOf(ctx, at, ids[i:i+1], store.Both, nil, nodeEdges+1)
		if err != nil {
			return err
		}
		for j := range own[:min(len(own), nodeEdges)] {
			give(subjects[i:i+1], map[topo.ID]int{ids[i]: 0}, &own[j].Edge)
		}
		subjects[i].message.EdgesCut = len(own) > nodeEdges
	}
	return nil
}

// give puts an edge to those of its ends that are subjects.
func give(subjects []subject, places map[topo.ID]int, e *topo.Edge) {
	add := func(own, other topo.Ref, incoming bool) {
		if i, ok := places[own.ID()]; ok {
			m := subjects[i].message
			if len(m.Edges) >= nodeEdges {
				m.EdgesCut = true
				return
			}
			m.Edges = append(m.Edges, &pluginv1.Edge{Other: refMessage(other), Incoming: incoming, Type: string(e.Type), Rule: e.Rule})
		}
	}
	add(e.Source, e.Target, false)
	if e.Source != e.Target {
		add(e.Target, e.Source, true)
	}
}

func refMessage(r topo.Ref) *pluginv1.Ref {
	return &pluginv1.Ref{Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

func nodeMessage(n *topo.Node) *pluginv1.Node {
	return &pluginv1.Node{
		Ref: refMessage(n.Ref), Uid: n.UID, Version: n.Version, Health: pluginv1.Health(n.Health), Status: n.Status, Created: n.Created,
		Labels: pairMap(n.Labels), Attributes: pairMap(n.Attrs),
	}
}

func pairMap(ps []topo.Pair) map[string]string {
	m := make(map[string]string, len(ps))
	for _, p := range ps {
		m[p.Key] = p.Value
	}
	return m
}

func (t *tenantEnricher) keep(ctx context.Context, c fleet.ClusterID, additions []store.Addition) error {
	return t.host.cfg.Store.Enrich(ctx, t.place.Lease(), c, t.plugin.spec.Name, additions)
}

// put asks about a batch until there is an answer that can be kept. Where the plugin fails on it, halves of it are tried, down to the node on which
// it fails.
func (t *tenantEnricher) put(ctx context.Context, b batch) error {
	first := t.wellSince()
	for tries := 1; ; tries++ {
		additions, session, err := t.ask(ctx, b)
		switch {
		case err == nil:
			return t.keep(ctx, b.cluster, additions)
		case ctx.Err() != nil:
			return ctx.Err()
		case session != nil && busy(ctx, session, err):
			tries--
		case len(b.subjects) > 1:
			return t.halves(ctx, b)
		case errors.Is(err, errTooLarge), tries >= triesAlone && t.wellSince().After(first), tries >= triesAtMost:
			t.giveUp(b, err)
			return nil
		}
	}
}

func (t *tenantEnricher) halves(ctx context.Context, b batch) error {
	n := len(b.subjects) / 2
	a, c := b, b
	a.subjects, c.subjects = b.subjects[:n], b.subjects[n:]
	if err := t.put(ctx, a); err != nil {
		return err
	}
	return t.put(ctx, c)
}

// wellSince is when the plugin last did well.
func (t *tenantEnricher) wellSince() time.Time {
	t.plugin.mu.Lock()
	defer t.plugin.mu.Unlock()
	return t.plugin.well
}

// giveUp passes over a node on which the plugin fails; what was added to it stays.
func (t *tenantEnricher) giveUp(b batch, err error) {
	r := t.plugin
	r.mu.Lock()
	r.status.Skipped++
	r.mu.Unlock()
	r.host.metrics.skipped.WithLabelValues(r.spec.Name).Inc()
	r.log.Warn("the plugin fails on an object, which is passed over", zap.Stringer("cluster", b.cluster), zap.Stringer("object", b.subjects[0].ref), zap.Error(err))
}

var errTooLarge = fault.New(fault.BadRequest, "the object is too large to ask about")

// ask has the plugin enrich a batch, and checks its answer.
func (t *tenantEnricher) ask(ctx context.Context, b batch) ([]store.Addition, *session, error) {
	request := &pluginv1.EnrichRequest{Tenant: t.tenant.Slug, Cluster: b.cluster.String(), ClusterName: b.name}
	for _, s := range b.subjects {
		request.Nodes = append(request.Nodes, s.message)
	}
	if proto.Size(request) > contract.MaxMessage {
		return nil, nil, errTooLarge
	}
	session, err := t.plugin.await(ctx)
	if err != nil {
		return nil, nil, err
	}
	var reply *pluginv1.EnrichReply
	err = t.plugin.call(ctx, session, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		reply, err = pluginv1.NewEnricherClient(conn).Enrich(ctx, request)
		return err
	})
	if err != nil {
		return nil, session, err
	}
	t.plugin.enriched(len(b.subjects))
	return answers(reply, b.cluster.String(), b.subjects, t.plugin.refuse), session, nil
}
