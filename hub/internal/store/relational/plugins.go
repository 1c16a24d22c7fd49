package relational

import (
	"cmp"
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// enrichment is what one call of Enrich changes. Only what differs from what there is gets written: most calls change nothing.
type enrichment struct {
	b       *Base
	c       Conn
	at      store.Scope
	plugin  string
	ids     []topo.ID
	wanted  map[topo.ID]*store.Addition
	learned []store.FindingNews
}

// Enrich implements store.Plugins.
func (b *Base) Enrich(ctx context.Context, l store.Lease, cluster fleet.ClusterID, plugin string, additions []store.Addition) error {
	if len(additions) == 0 {
		return nil
	}
	e := &enrichment{b: b, at: store.Scope{Tenant: l.Tenant, Cluster: cluster}, plugin: plugin, wanted: map[topo.ID]*store.Addition{}}
	for i := range additions {
		if why := refuseAddition(&additions[i]); why != "" {
			return fault.New(fault.BadRequest, "what is added to %s can't be kept: %s", additions[i].Ref, why)
		}
		id := additions[i].Ref.ID()
		if e.wanted[id] == nil {
			e.ids = append(e.ids, id)
		}
		e.wanted[id] = &additions[i]
	}
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		if err := b.guard(ctx, c, l); err != nil {
			return err
		}
		e.c, e.learned = c, nil
		for _, step := range []func(context.Context) error{e.attrs, e.edges, e.findings, e.tell} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func refuseAddition(a *store.Addition) string {
	var c checker
	c.ref("the name", &a.Ref)
	c.text("the UID", a.UID)
	c.pairs("an attribute", a.Attrs)
	for i := range a.Edges {
		c.text("the type", string(a.Edges[i].Type))
		c.text("the reason", a.Edges[i].Reason)
	}
	for i := range a.Findings {
		c.key("the code", a.Findings[i].Code)
		c.text("the sentence", a.Findings[i].Sentence)
	}
	return c.verdict()
}

// key begins the arguments of a statement about this plugin's rows.
func (e *enrichment) key(more ...any) []any {
	return append([]any{int64(e.at.Tenant), int64(e.at.Cluster), e.plugin}, more...)
}

// exec runs a statement about this plugin's rows: $1 tenant, $2 cluster, $3 plugin, then the arguments.
func (e *enrichment) exec(ctx context.Context, sql string, more ...any) error {
	_, err := e.c.Exec(ctx, sql, e.key(more...)...)
	return err
}

// drop deletes the plugin's rows of those nodes.
func (e *enrichment) drop(ctx context.Context, table, column string, ids []topo.ID) error {
	if len(ids) == 0 {
		return nil
	}
	return e.exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1 AND cluster_id = $2 AND plugin = $3 AND `+e.b.sql.InIDs(column, 4), ids)
}

func (e *enrichment) attrs(ctx context.Context) error {
	type row struct {
		id         topo.ID
		uid, attrs string
	}
	rows, err := queryAll(ctx, e.c, func(rows Rows, r *row) error { return rows.Scan(&r.id, &r.uid, &r.attrs) },
		`SELECT id, uid, attrs FROM plugin_attrs WHERE tenant_id = $1 AND cluster_id = $2 AND plugin = $3 AND `+e.b.sql.InIDs("id", 4), e.key(e.ids)...)
	if err != nil {
		return err
	}
	have := map[topo.ID]row{}
	for _, r := range rows {
		have[r.id] = r
	}
	var gone []topo.ID
	for _, id := range e.ids {
		a := e.wanted[id]
		old, was := have[id]
		text := EncodePairs(a.Attrs)
		switch {
		case text == "" && was:
			gone = append(gone, id)
		case text == "" || (was && old.uid == a.UID && old.attrs == text):
		default:
			if err := e.exec(ctx, `INSERT INTO plugin_attrs (tenant_id, cluster_id, plugin, id, uid, attrs) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (tenant_id, cluster_id, id, plugin) DO UPDATE SET uid = excluded.uid, attrs = excluded.attrs`, id, a.UID, text); err != nil {
				return err
			}
		}
	}
	return e.drop(ctx, "plugin_attrs", "id", gone)
}

// edgeCells is an edge that a plugin added, without its place.
type edgeCells struct {
	id, source, target topo.ID
	kind, reason, uid  string
}

// edgesOf gives the rows that the edges of an addition make, by their keys.
func (e *enrichment) edgesOf(a *store.Addition) []edgeCells {
	rows := make([]edgeCells, len(a.Edges))
	for i, x := range a.Edges {
		key := topo.EdgeKey(x.Source, x.Target, store.PluginRule+e.plugin, string(x.Type))
		rows[i] = edgeCells{id: key.ID, source: x.Source, target: x.Target, kind: string(x.Type), reason: x.Reason, uid: a.UID}
	}
	slices.SortFunc(rows, compareEdgeCells)
	return slices.CompactFunc(rows, func(a, b edgeCells) bool { return a.id == b.id })
}

func compareEdgeCells(a, b edgeCells) int { return a.id.Compare(b.id) }

func (e *enrichment) edges(ctx context.Context) error {
	have := map[topo.ID][]edgeCells{}
	rows, err := e.c.Query(ctx, `SELECT about, id, source, target, type, reason, uid FROM plugin_edges
		WHERE tenant_id = $1 AND cluster_id = $2 AND plugin = $3 AND `+e.b.sql.InIDs("about", 4), e.key(e.ids)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var about topo.ID
		var r edgeCells
		if err := rows.Scan(&about, &r.id, &r.source, &r.target, &r.kind, &r.reason, &r.uid); err != nil {
			return err
		}
		have[about] = append(have[about], r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close() // now, since a connection serves one answer at a time
	return e.putEdges(ctx, have)
}

func (e *enrichment) putEdges(ctx context.Context, have map[topo.ID][]edgeCells) error {
	changed, fresh := []topo.ID{}, map[topo.ID][]edgeCells{}
	for _, id := range e.ids {
		want := e.edgesOf(e.wanted[id])
		slices.SortFunc(have[id], compareEdgeCells)
		if slices.Equal(want, have[id]) {
			continue
		}
		fresh[id] = want
		if len(have[id]) > 0 {
			changed = append(changed, id)
		}
	}
	if err := e.drop(ctx, "plugin_edges", "about", changed); err != nil {
		return err
	}
	for about, edges := range fresh {
		for _, r := range edges {
			if err := e.exec(ctx, `INSERT INTO plugin_edges (tenant_id, cluster_id, plugin, about, id, uid, source, target, type, reason)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, about, r.id, r.uid, r.source, r.target, r.kind, r.reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// findingCells is a finding as it is stored.
type findingCells struct {
	id  topo.ID
	uid string
	f   store.Finding
}

func (e *enrichment) findings(ctx context.Context) error {
	rows, err := queryAll(ctx, e.c, func(rows Rows, r *findingCells) error {
		return rows.Scan(&r.id, &r.f.Code, &r.uid, (*severityCell)(&r.f.Severity), &r.f.Sentence, &r.f.Confidence)
	}, `SELECT id, code, uid, severity, sentence, confidence FROM plugin_findings
		WHERE tenant_id = $1 AND cluster_id = $2 AND plugin = $3 AND `+e.b.sql.InIDs("id", 4), e.key(e.ids)...)
	if err != nil {
		return err
	}
	have := map[topo.ID]map[string]findingCells{}
	for _, r := range rows {
		if have[r.id] == nil {
			have[r.id] = map[string]findingCells{}
		}
		have[r.id][r.f.Code] = r
	}
	for _, id := range e.ids {
		if err := e.findingsOf(ctx, id, e.wanted[id], have[id]); err != nil {
			return err
		}
	}
	return nil
}

func (e *enrichment) findingsOf(ctx context.Context, id topo.ID, a *store.Addition, have map[string]findingCells) error {
	for _, f := range a.Findings {
		old, was := have[f.Code]
		delete(have, f.Code)
		if was && old.f == f && old.uid == a.UID {
			continue
		}
		// It began when it was first said of this object, however its words change.
		if err := e.exec(ctx, `INSERT INTO plugin_findings (tenant_id, cluster_id, plugin, id, code, uid, severity, sentence, confidence, since)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, cluster_id, id, plugin, code) DO UPDATE SET
			since = CASE WHEN plugin_findings.uid = excluded.uid THEN plugin_findings.since ELSE excluded.since END, uid = excluded.uid,
			severity = excluded.severity, sentence = excluded.sentence, confidence = excluded.confidence`,
			id, f.Code, a.UID, int64(f.Severity), f.Sentence, f.Confidence, now()); err != nil {
			return err
		}
		if !was || old.f.Severity != f.Severity || old.uid != a.UID {
			e.learned = append(e.learned, store.FindingNews{Ref: a.Ref, Finding: f})
		}
	}
	for _, old := range have {
		if err := e.exec(ctx, `DELETE FROM plugin_findings WHERE tenant_id = $1 AND cluster_id = $2 AND plugin = $3 AND id = $4 AND code = $5`, id, old.f.Code); err != nil {
			return err
		}
		e.learned = append(e.learned, store.FindingNews{Ref: a.Ref, Finding: old.f, Resolved: true})
	}
	return nil
}

// tell numbers the news. The counter's row, held to the commit, makes numbers visible in their order.
func (e *enrichment) tell(ctx context.Context) error {
	if len(e.learned) == 0 {
		return nil
	}
	slices.SortStableFunc(e.learned, func(a, b store.FindingNews) int {
		return cmp.Or(a.Ref.Compare(b.Ref), cmp.Compare(a.Finding.Code, b.Finding.Code))
	})
	var last int64
	if _, err := queryOne(ctx, e.c, `INSERT INTO finding_counters (tenant_id, seq) VALUES ($1, $2)
		ON CONFLICT (tenant_id) DO UPDATE SET seq = finding_counters.seq + excluded.seq RETURNING seq`,
		[]any{int64(e.at.Tenant), len(e.learned)}, &last); err != nil {
		return err
	}
	at, seq := now(), last-int64(len(e.learned))
	for _, n := range e.learned {
		seq++
		if err := e.exec(ctx, `INSERT INTO finding_news (tenant_id, cluster_id, plugin, seq, at, api_group, kind, namespace, name, code, resolved, severity, sentence, confidence)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, seq, at, n.Ref.Group, n.Ref.Kind, n.Ref.Namespace, n.Ref.Name,
			n.Finding.Code, n.Resolved, int64(n.Finding.Severity), n.Finding.Sentence, n.Finding.Confidence); err != nil {
			return err
		}
	}
	return nil
}

// severityCell is a severity as the databases give it.
type severityCell store.Severity

// Scan implements sql.Scanner; a damaged number is none of the severities.
func (s *severityCell) Scan(v any) error {
	n, _ := v.(int64)
	*s = severityCell(narrow(n))
	return nil
}
