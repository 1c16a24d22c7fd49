package sqlite

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	insertRef = `INSERT INTO refs (tenant_id, cluster_id, id, api_group, kind, namespace, name) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

	insertNode = `INSERT INTO resources (tenant_id, cluster_id, id, api_group, kind, namespace, name, uid, version, presence, health, status, created,
		labels, attrs, app, hash, origin, valid_from, born) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, 'agent', ?18, ?18)`
	updateNode = `UPDATE resources SET uid = ?4, version = ?5, presence = ?6, health = ?7, status = ?8, created = ?9, labels = ?10, attrs = ?11, app = ?12, hash = ?13,
		origin = 'agent', valid_from = ?14 WHERE tenant_id = ?1 AND cluster_id = ?2 AND id = ?3`
	closeNode = `INSERT INTO resources_history (tenant_id, cluster_id, id, valid_to, valid_from, uid, version, presence, health, status, created, attrs, born, labels)
		SELECT tenant_id, cluster_id, id, ?5, valid_from, uid, version, presence, health, status, created, attrs, born, ?4 FROM resources
		WHERE tenant_id = ?1 AND cluster_id = ?2 AND id = ?3`
	deleteNode = `DELETE FROM resources WHERE tenant_id = ? AND cluster_id = ? AND id = ?`

	insertLabel = `INSERT INTO labels (tenant_id, key, value, cluster_id, id, valid_from) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	closeLabel  = `INSERT INTO labels_history (tenant_id, cluster_id, id, key, valid_to, valid_from, value)
		SELECT tenant_id, cluster_id, id, key, ?6, valid_from, value FROM labels WHERE tenant_id = ?1 AND key = ?2 AND value = ?3 AND cluster_id = ?4 AND id = ?5`
	deleteLabel = `DELETE FROM labels WHERE tenant_id = ? AND key = ? AND value = ? AND cluster_id = ? AND id = ?`

	insertEdge = `INSERT INTO edges (tenant_id, cluster_id, source, id, target, rule, type, disc, path, attrs, hash, origin, valid_from, born)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'agent', ?12, ?12)`
	updateEdge = `UPDATE edges SET target = ?5, rule = ?6, type = ?7, disc = ?8, path = ?9, attrs = ?10, hash = ?11, origin = 'agent', valid_from = ?12
		WHERE tenant_id = ?1 AND cluster_id = ?2 AND source = ?3 AND id = ?4`
	closeEdge = `INSERT INTO edges_history (tenant_id, cluster_id, source, id, valid_to, valid_from, target, rule, type, disc, path, attrs, born)
		SELECT tenant_id, cluster_id, source, id, ?5, valid_from, target, rule, type, disc, path, attrs, born FROM edges
		WHERE tenant_id = ?1 AND cluster_id = ?2 AND source = ?3 AND id = ?4`
	deleteEdge = `DELETE FROM edges WHERE tenant_id = ? AND cluster_id = ? AND source = ? AND id = ?`

	insertManifest = `INSERT INTO manifests (tenant_id, cluster_id, id, hash, body, valid_from) VALUES (?, ?, ?, ?, ?, ?)`
	updateManifest = `UPDATE manifests SET hash = ?4, body = ?5, valid_from = ?6 WHERE tenant_id = ?1 AND cluster_id = ?2 AND id = ?3`
	closeManifest  = `INSERT INTO manifests_history (tenant_id, cluster_id, id, valid_to, valid_from, hash, body)
		SELECT tenant_id, cluster_id, id, ?4, valid_from, hash, body FROM manifests WHERE tenant_id = ?1 AND cluster_id = ?2 AND id = ?3`
	deleteManifest = `DELETE FROM manifests WHERE tenant_id = ? AND cluster_id = ? AND id = ?`

	upsertEvent = `INSERT OR REPLACE INTO events (tenant_id, cluster_id, uid, namespace, name, regarding, about_group, about_kind, about_ns, about_name,
		type, reason, message, source, count, first, last, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// batch writes rows of one cluster at one position. After the first failure it does nothing more.
type batch struct {
	ctx             context.Context
	w               *writer
	tenant, cluster int64
	pos             int64
	keep            bool // closed versions go to history
	err             error
}

func (b *batch) run(text string, args ...any) {
	if b.err != nil {
		return
	}
	s, err := b.w.prepare(b.ctx, text)
	if err == nil {
		_, err = s.ExecContext(b.ctx, args...)
	}
	b.err = err
}

// closes runs a statement that moves versions to history.
func (b *batch) closes(text string, args ...any) {
	if b.keep {
		b.run(text, append(args, b.pos)...)
	}
}

// write puts a plan's rows in, those that refer to others' last.
func (w *writer) write(ctx context.Context, at store.Scope, p *relational.Plan, pos topo.Position, keep bool) error {
	b := &batch{ctx: ctx, w: w, tenant: int64(at.Tenant), cluster: int64(at.Cluster), pos: int64(pos), keep: keep}
	b.refs(p.Refs)
	for i := range p.Misnamed {
		b.run(deleteNode, b.tenant, b.cluster, p.Misnamed[i][:])
	}
	b.addNodes(p.AddNodes)
	b.updateNodes(p)
	for i := range p.GoneNodes {
		b.closes(closeNode, b.tenant, b.cluster, p.GoneNodes[i][:], p.ClosedLabels(len(p.UpdateNodes)+i))
		b.run(deleteNode, b.tenant, b.cluster, p.GoneNodes[i][:])
	}
	for i := range p.GoneLabels {
		l := &p.GoneLabels[i]
		b.closes(closeLabel, b.tenant, l.Key, l.Value, b.cluster, l.ID[:])
		b.run(deleteLabel, b.tenant, l.Key, l.Value, b.cluster, l.ID[:])
	}
	b.addLabels(p.AddLabels)
	b.edges(p)
	b.manifests(p)
	b.events(p.Events)
	return b.err
}

func (b *batch) refs(rows []relational.RefRow) {
	for i := range rows {
		r := &rows[i]
		b.run(insertRef, b.tenant, b.cluster, r.ID[:], r.Ref.Group, r.Ref.Kind, r.Ref.Namespace, r.Ref.Name)
	}
}

func (b *batch) addNodes(rows []relational.NodeRow) {
	for i := range rows {
		r := &rows[i]
		n := r.Node
		b.run(insertNode, b.tenant, b.cluster, r.ID[:], n.Ref.Group, n.Ref.Kind, n.Ref.Namespace, n.Ref.Name, n.UID, n.Version, int64(n.Presence),
			int64(n.Health), n.Status, n.Created, relational.EncodePairs(n.Labels), relational.EncodePairs(n.Attrs), relational.AppOf(n), r.Hash[:], b.pos)
	}
}

func (b *batch) updateNodes(p *relational.Plan) {
	for i := range p.UpdateNodes {
		r := &p.UpdateNodes[i]
		n := r.Node
		b.closes(closeNode, b.tenant, b.cluster, r.ID[:], p.ClosedLabels(i))
		b.run(updateNode, b.tenant, b.cluster, r.ID[:], n.UID, n.Version, int64(n.Presence), int64(n.Health), n.Status, n.Created,
			relational.EncodePairs(n.Labels), relational.EncodePairs(n.Attrs), relational.AppOf(n), r.Hash[:], b.pos)
	}
}

func (b *batch) addLabels(rows []relational.LabelRow) {
	for i := range rows {
		l := &rows[i]
		b.run(insertLabel, b.tenant, l.Key, l.Value, b.cluster, l.ID[:], b.pos)
	}
}

func (b *batch) addEdges(rows []relational.EdgeRow) {
	for i := range rows {
		r := &rows[i]
		e := r.Edge
		b.run(insertEdge, b.tenant, b.cluster, r.Key.Source[:], r.Key.ID[:], r.Target[:], e.Rule, string(e.Type), e.Disc, e.Path,
			relational.EncodePairs(e.Attrs), r.Hash[:], b.pos)
	}
}

func (b *batch) edges(p *relational.Plan) {
	b.addEdges(p.AddEdges)
	for i := range p.UpdateEdges {
		r := &p.UpdateEdges[i]
		e := r.Edge
		b.closes(closeEdge, b.tenant, b.cluster, r.Key.Source[:], r.Key.ID[:])
		b.run(updateEdge, b.tenant, b.cluster, r.Key.Source[:], r.Key.ID[:], r.Target[:], e.Rule, string(e.Type), e.Disc, e.Path,
			relational.EncodePairs(e.Attrs), r.Hash[:], b.pos)
	}
	for i := range p.GoneEdges {
		key := &p.GoneEdges[i]
		b.closes(closeEdge, b.tenant, b.cluster, key.Source[:], key.ID[:])
		b.run(deleteEdge, b.tenant, b.cluster, key.Source[:], key.ID[:])
	}
}

func (b *batch) addManifests(rows []relational.ManifestRow) {
	for i := range rows {
		r := &rows[i]
		b.run(insertManifest, b.tenant, b.cluster, r.ID[:], r.Manifest.Hash[:], r.Manifest.Body, b.pos)
	}
}

func (b *batch) manifests(p *relational.Plan) {
	b.addManifests(p.AddManifests)
	for i := range p.NewManifests {
		r := &p.NewManifests[i]
		b.closes(closeManifest, b.tenant, b.cluster, r.ID[:])
		b.run(updateManifest, b.tenant, b.cluster, r.ID[:], r.Manifest.Hash[:], r.Manifest.Body, b.pos)
	}
	for i := range p.GoneManifests {
		b.closes(closeManifest, b.tenant, b.cluster, p.GoneManifests[i][:])
		b.run(deleteManifest, b.tenant, b.cluster, p.GoneManifests[i][:])
	}
}

func (b *batch) events(rows []*topo.Event) {
	seen := nowMicro()
	for _, e := range rows {
		about := e.Regarding.ID()
		b.run(upsertEvent, b.tenant, b.cluster, e.UID, e.Namespace, e.Name, about[:], e.Regarding.Group, e.Regarding.Kind, e.Regarding.Namespace,
			e.Regarding.Name, e.Type, e.Reason, e.Message, e.Source, e.Count, e.First, e.Last, seen)
	}
}

// sums adds to sums of buckets.
func (w *writer) sums(ctx context.Context, at store.Scope, rows []relational.SumRow) error {
	b := &batch{ctx: ctx, w: w}
	for i := range rows {
		s := rows[i].Words()
		b.run(relational.AddSum, int64(at.Tenant), int64(at.Cluster), int64(rows[i].Table), int64(rows[i].Number), s[0], s[1], s[2], s[3])
	}
	return b.err
}

// counts adds to counts of kinds and edges.
func (w *writer) counts(ctx context.Context, at store.Scope, rows []relational.CountRow, edges []relational.EdgeCount) error {
	b := &batch{ctx: ctx, w: w}
	for i := range rows {
		args := []any{int64(at.Tenant), int64(at.Cluster), rows[i].Kind.Group, rows[i].Kind.Kind, rows[i].Namespace}
		for _, n := range rows[i].Numbers {
			args = append(args, n)
		}
		b.run(relational.AddCount, args...)
	}
	for _, e := range edges {
		b.run(relational.AddEdgeCount, int64(at.Tenant), int64(at.Cluster), string(e.Type), e.Number)
	}
	return b.err
}
