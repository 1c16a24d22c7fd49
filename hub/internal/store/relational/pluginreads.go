package relational

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// onNode joins the node that a plugin's row hangs on, as long as it is the object that the plugin saw. It nearly always is; a planner that saw a plain
// comparison would expect next to no rows, and read all of both tables for a page.
func onNode(column string) string {
	return ` JOIN resources r ON r.tenant_id = p.tenant_id AND r.cluster_id = p.cluster_id AND r.id = p.` + column + ` AND coalesce(r.uid = p.uid, FALSE)`
}

// added runs fn for a cluster that readers see.
func (b *Base) added(ctx context.Context, at store.Scope, fn func(context.Context, *snapshot) error) error {
	return b.Read(ctx, at.Tenant, func(ctx context.Context, s store.Snapshot) error {
		own := s.(*snapshot)
		_, shown, err := own.shows(ctx, at)
		if err != nil || !shown {
			return err
		}
		return fn(ctx, own)
	})
}

// AddedAttrs implements store.Plugins.
func (b *Base) AddedAttrs(ctx context.Context, at store.Scope, ids []topo.ID) (list []store.AddedAttrs, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = b.added(ctx, at, func(ctx context.Context, s *snapshot) error {
		list, err = queryAll(ctx, s.conn, func(rows Rows, a *store.AddedAttrs) error {
			var text string
			if err := rows.Scan(&a.Node, &a.Plugin, &text); err != nil {
				return err
			}
			a.Attrs, _ = DecodePairs(text) // damaged: nothing was added, until the plugin is asked again
			return nil
		}, `SELECT p.id, p.plugin, p.attrs FROM plugin_attrs p`+onNode("id")+` WHERE p.tenant_id = $1 AND p.cluster_id = $2 AND `+b.sql.InIDs("p.id", 3)+
			` ORDER BY p.id, p.plugin`, int64(at.Tenant), int64(at.Cluster), ids)
		return err
	})
	return list, err
}

// AddedEdges implements store.Plugins.
func (b *Base) AddedEdges(ctx context.Context, at store.Scope, ids []topo.ID, d store.Direction, after *topo.EdgeID, limit int) (list []store.EdgeRow, err error) {
	err = b.added(ctx, at, func(ctx context.Context, s *snapshot) error {
		w := s.where("p")
		w.and(w.equal("p.cluster_id", int64(at.Cluster)))
		if len(ids) > 0 {
			condition, err := touching(w, ids, d)
			if err != nil {
				return err
			}
			w.and(condition)
		}
		if after != nil {
			w.and("(p.source, p.id) > (" + w.param(after.Source) + ", " + w.param(after.ID) + ")")
		}
		// An edge stands twice where the plugin told it of both ends.
		list, err = queryAll(ctx, s.conn, func(rows Rows, e *store.EdgeRow) error { return scanAdded(rows, at, e) }, `SELECT p.source, p.id, p.plugin, p.type, p.reason,
			s.api_group, s.kind, s.namespace, s.name, t.api_group, t.kind, t.namespace, t.name FROM plugin_edges p`+onNode("about")+`
			JOIN resources s ON s.tenant_id = p.tenant_id AND s.cluster_id = p.cluster_id AND s.id = p.source
			JOIN resources t ON t.tenant_id = p.tenant_id AND t.cluster_id = p.cluster_id AND t.id = p.target
			WHERE `+w.String()+` ORDER BY p.source, p.id LIMIT `+w.param(2*limit), w.args...)
		list = slices.CompactFunc(list, func(a, b store.EdgeRow) bool { return a.ID == b.ID })
		list = list[:min(limit, len(list))]
		return err
	})
	return list, err
}

func touching(w *where, ids []topo.ID, d store.Direction) (string, error) {
	switch d {
	case store.Out:
		return w.ids("p.source", ids), nil
	case store.Into:
		return w.ids("p.target", ids), nil
	case store.Both:
		return anyOf([]string{w.ids("p.source", ids), w.ids("p.target", ids)}), nil
	}
	return "", fault.New(fault.BadRequest, "there is no direction %q", d)
}

func scanAdded(rows Rows, at store.Scope, e *store.EdgeRow) error {
	var plugin, reason string
	x := &e.Edge
	err := rows.Scan(&e.ID.Source, &e.ID.ID, &plugin, (*string)(&x.Type), &reason, &x.Source.Group, &x.Source.Kind, &x.Source.Namespace, &x.Source.Name,
		&x.Target.Group, &x.Target.Kind, &x.Target.Namespace, &x.Target.Name)
	e.Cluster, x.Rule, x.Disc = at.Cluster, store.PluginRule+plugin, string(x.Type)
	if reason != "" {
		x.Attrs = []topo.Pair{{Key: "reason", Value: reason}}
	}
	return err
}

// Findings implements store.Plugins.
func (b *Base) Findings(ctx context.Context, f store.FindingFilter, after *store.FindingKey, limit int) (list []store.FindingRow, err error) {
	err = b.Read(ctx, f.View.Tenant, func(ctx context.Context, snap store.Snapshot) error {
		s := snap.(*snapshot)
		_, a, err := s.access(ctx, f.View, f.Clusters)
		if err != nil || a.empty() {
			return err
		}
		w, err := s.filtered(&a, &store.Filter{View: f.View, Clusters: f.Clusters, Kinds: f.Kinds, Namespaces: f.Namespaces, Placeholders: true})
		if err != nil {
			return err
		}
		narrowFindings(w, &f, after)
		list, err = queryAll(ctx, s.conn, scanFinding, `SELECT p.cluster_id, p.id, p.plugin, p.code, p.severity, p.sentence, p.confidence, p.since,
			r.api_group, r.kind, r.namespace, r.name FROM plugin_findings p`+onNode("id")+` WHERE p.tenant_id = $1 AND `+w.String()+`
			ORDER BY p.cluster_id, p.id, p.plugin, p.code LIMIT `+w.param(limit), w.args...)
		return err
	})
	return list, err
}

func narrowFindings(w *where, f *store.FindingFilter, after *store.FindingKey) {
	if len(f.Nodes) > 0 {
		w.and(w.ids("p.id", f.Nodes))
	}
	if len(f.Plugins) > 0 {
		w.and(w.strings("p.plugin", f.Plugins))
	}
	if f.Severity > store.Info {
		w.and("p.severity >= " + strconv.Itoa(int(f.Severity)))
	}
	if after != nil {
		w.and("(p.cluster_id, p.id, p.plugin, p.code) > (" + w.param(int64(after.Cluster)) + ", " + w.param(after.Node) + ", " + w.param(after.Plugin) + ", " + w.param(after.Code) + ")")
	}
}

func scanFinding(rows Rows, f *store.FindingRow) error {
	return rows.Scan((*int64)(&f.Key.Cluster), &f.Key.Node, &f.Key.Plugin, &f.Key.Code, (*severityCell)(&f.Finding.Severity), &f.Finding.Sentence, &f.Finding.Confidence, &f.Since,
		&f.Ref.Group, &f.Ref.Kind, &f.Ref.Namespace, &f.Ref.Name)
}

// FindingNews implements store.Plugins.
func (b *Base) FindingNews(ctx context.Context, tenant fleet.TenantID, after int64, limit int) (news []store.FindingNews, last int64, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		if _, err := queryOne(ctx, c, `SELECT seq FROM finding_counters WHERE tenant_id = $1`, []any{int64(tenant)}, &last); err != nil {
			return err
		}
		news, err = queryAll(ctx, c, func(rows Rows, n *store.FindingNews) error {
			return rows.Scan(&n.Seq, &n.At, (*int64)(&n.Cluster), &n.Ref.Group, &n.Ref.Kind, &n.Ref.Namespace, &n.Ref.Name, &n.Plugin, &n.Finding.Code, &n.Resolved,
				(*severityCell)(&n.Finding.Severity), &n.Finding.Sentence, &n.Finding.Confidence)
		}, `SELECT seq, at, cluster_id, api_group, kind, namespace, name, plugin, code, resolved, severity, sentence, confidence FROM finding_news
			WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`, int64(tenant), after, limit)
		return err
	})
	return news, last, err
}

// pluginTables are the tables of plugins' rows, with their keys, and the column of the node that a row hangs on.
var pluginTables = []struct{ name, key, node string }{
	{"plugin_attrs", "tenant_id, cluster_id, id, plugin", "id"},
	{"plugin_edges", "tenant_id, cluster_id, about, plugin, id", "about"},
	{"plugin_findings", "tenant_id, cluster_id, id, plugin, code", "id"},
}

// SweepPlugins implements store.Plugins.
func (b *Base) SweepPlugins(ctx context.Context, tenant fleet.TenantID, before time.Time, limit int) (more bool, err error) {
	for _, t := range pluginTables {
		sql := `DELETE FROM ` + t.name + ` WHERE (` + t.key + `) IN (SELECT ` + t.key + ` FROM ` + t.name + ` p WHERE p.tenant_id = $1
			AND (NOT EXISTS (SELECT 1 FROM followers f WHERE f.tenant_id = p.tenant_id AND f.name = '` + store.EnricherPrefix + `' || p.plugin)
			OR NOT EXISTS (SELECT 1 FROM resources r WHERE r.tenant_id = p.tenant_id AND r.cluster_id = p.cluster_id AND r.id = p.` + t.node + `)) LIMIT $2)`
		if more, err = b.sweepTable(ctx, sql, limit, int64(tenant), limit); err != nil || more {
			return more, err
		}
	}
	return b.sweepTable(ctx, `DELETE FROM finding_news WHERE tenant_id = $1 AND seq IN
		(SELECT seq FROM finding_news WHERE tenant_id = $1 AND at < $2 ORDER BY seq LIMIT $3)`, limit, int64(tenant), before, limit)
}

func (b *Base) sweepTable(ctx context.Context, sql string, limit int, args ...any) (more bool, err error) {
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		n, err := c.Exec(ctx, sql, args...)
		more = n >= int64(limit)
		return err
	})
	return more, err
}
