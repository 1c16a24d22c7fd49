package relational

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Check implements store.Checker, on one state of the cluster.
func (b *Base) Check(ctx context.Context, at store.Scope, limit int) (found []store.Violation, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		cl, err := cluster(ctx, c, at, "")
		if err != nil || !cl.Synced {
			return err // a first load is checked when it is complete
		}
		k := &inspection{b: b, c: c, at: at, limit: limit}
		for _, table := range topo.Tables {
			if err := k.columns(ctx, table); err != nil {
				return err
			}
		}
		if err := k.queries(ctx); err != nil {
			return err
		}
		found = k.found
		return nil
	})
	return found, err
}

// inspection is one Check under way.
type inspection struct {
	b     *Base
	c     Conn
	at    store.Scope
	limit int
	found []store.Violation
}

func (k *inspection) add(rule, key, detail string) {
	if len(k.found) < k.limit {
		k.found = append(k.found, store.Violation{Rule: rule, Key: key, Detail: detail})
	}
}

// columns looks at what each row of a table tells, as Verify does.
func (k *inspection) columns(ctx context.Context, table topo.Table) error {
	a, err := k.b.audit(ctx, k.c, k.at, table, "")
	if err != nil {
		return err
	}
	for _, s := range a.off {
		k.add("digest", fmt.Sprintf("%s, bucket %d", table, s.Number), "the kept sum is not that of the rows")
	}
	for _, w := range a.wrong {
		rule, detail := "hash", "the stored hash is not that of the columns"
		if w.Hash == w.Key.Source || w.Hash == w.Key.ID {
			rule, detail = "key", "the row stands under a key that is not its own"
		}
		if err := k.named(ctx, rule, w.Key.Source, detail); err != nil {
			return err
		}
	}
	for _, r := range a.refs {
		k.add("refs", r.Ref.String(), "its identity is missing, or another's")
	}
	for _, list := range []struct {
		ids          []topo.ID
		rule, detail string
	}{
		{a.broken, "damaged", "labels or attributes can't be read"},
		{a.unlabelled, "labels", "a label that the row has is not in the labels' table"},
		{a.apps, "app", "the application is not that of the attributes"},
	} {
		for _, id := range list.ids {
			if err := k.named(ctx, list.rule, id, list.detail); err != nil {
				return err
			}
		}
	}
	if a.miscounted > 0 {
		return k.counts(ctx, a.tally, table)
	}
	return nil
}

// named adds a violation of the row with that key, by its name where that is known.
func (k *inspection) named(ctx context.Context, rule string, id topo.ID, detail string) error {
	if len(k.found) >= k.limit {
		return nil
	}
	key, r := id.String(), topo.Ref{}
	known, err := queryOne(ctx, k.c, `SELECT api_group, kind, namespace, name FROM refs WHERE tenant_id = $1 AND cluster_id = $2 AND id = $3`,
		[]any{int64(k.at.Tenant), int64(k.at.Cluster), id}, &r.Group, &r.Kind, &r.Namespace, &r.Name)
	if known {
		key = r.String()
	}
	k.add(rule, key, detail)
	return err
}

// counts tells which kept counts aren't those of the rows.
func (k *inspection) counts(ctx context.Context, t *tally, table topo.Table) error {
	nodes, edges, err := keptCounts(ctx, k.c, k.at)
	if err != nil {
		return err
	}
	lines := func(nodes []CountRow, edges []EdgeCount) map[string]string {
		all := map[string]string{}
		if table == topo.Edges {
			for _, e := range edges {
				all["edges "+string(e.Type)] = fmt.Sprint(e.Number)
			}
			return all
		}
		for _, n := range nodes {
			all[n.Kind.String()+" in "+n.Namespace] = strings.Trim(fmt.Sprint(n.Numbers), "[]")
		}
		return all
	}
	kept, right := lines(nodes, edges), lines(t.rows())
	for key := range right {
		if _, ok := kept[key]; !ok {
			kept[key] = "none"
		}
	}
	keys := make([]string, 0, len(kept))
	for key := range kept {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if kept[key] != right[key] {
			k.add("counts", key, fmt.Sprintf("%s kept, the rows say %s", kept[key], right[key]))
		}
	}
	return nil
}

// rule is a query whose rows are violations: each answers a key, and texts that tell more.
type rule struct {
	name, detail, sql string
	more              int // texts after the key
}

func of(alias string) string { return alias + `.tenant_id = $1 AND ` + alias + `.cluster_id = $2` }

func lacksRef(from, key string) string {
	return `SELECT x.` + key + ` FROM ` + from + ` x WHERE ` + of("x") + `
		AND NOT EXISTS (SELECT 1 FROM refs f WHERE f.tenant_id = $1 AND f.cluster_id = $2 AND f.id = x.` + key + `)`
}

func lacksEnd(end string) string {
	return `SELECT e.source, e.rule, e.path FROM edges e WHERE ` + of("e") + `
		AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = e.` + end + `)`
}

// overlap finds versions that end before they begin, or after the next one began. The first key column is an identity's.
func overlap(table, key string) string {
	return `SELECT ` + strings.Split(key, ",")[0] + ` FROM (SELECT ` + key + `, valid_from, valid_to, lead(valid_from) OVER (PARTITION BY ` + key + ` ORDER BY valid_from, valid_to) AS next FROM
		(SELECT ` + key + `, valid_from, valid_to FROM ` + table + `_history h WHERE ` + of("h") + ` UNION ALL SELECT ` + key + `, valid_from, 9223372036854775807 FROM ` + table + ` c WHERE ` + of("c") + `) AS v)
		AS w WHERE valid_to <= valid_from OR next < valid_to`
}

func (k *inspection) rules() []rule {
	legal := make([]string, len(topo.EdgeTypes))
	for i, t := range topo.EdgeTypes {
		legal[i] = "'" + string(t) + "'"
	}
	rules := []rule{
		{"edge-ends", "an edge of the rule %s at %s has no source", lacksEnd("source"), 2},
		{"edge-ends", "an edge of the rule %s at %s has no target", lacksEnd("target"), 2},
		{"edge-type", "an edge of the rule %s has the type %q, which doesn't exist",
			`SELECT e.source, e.rule, e.type FROM edges e WHERE ` + of("e") + ` AND e.type NOT IN (` + strings.Join(legal, ", ") + `)`, 2},
		{"duplicate", "there is more than one row of it", `SELECT d.id FROM (SELECT r.id, row_number() OVER (PARTITION BY r.api_group, r.kind, r.namespace, r.name ORDER BY r.id) AS n
			FROM resources r WHERE ` + of("r") + `) AS d WHERE d.n = 2`, 0},
		{"duplicate", "there is more than one edge of the rule %s to the same target",
			`SELECT e.source, e.rule FROM edges e WHERE ` + of("e") + ` GROUP BY e.source, e.target, e.rule, e.disc HAVING count(*) > 1`, 1},
		{"value", "presence or health is no known value",
			fmt.Sprintf(`SELECT r.id FROM resources r WHERE `+of("r")+` AND (r.presence NOT BETWEEN 0 AND %d OR r.health NOT BETWEEN 0 AND %d)`, topo.Unobserved, topo.Error), 0},
		{"labels", "the labels' table has %s=%s, which the row doesn't have", `SELECT l.id, l.key, l.value FROM labels l WHERE ` + of("l") + ` AND NOT EXISTS (SELECT 1 FROM resources r CROSS JOIN ` +
			k.b.sql.Lateral + k.b.sql.Pairs("r.labels") + ` WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = l.id AND kv.key = l.key AND kv.value = l.value)`, 2},
	}
	for _, h := range []struct{ table, key string }{{"resources", "id"}, {"edges", "source, id"}, {"labels", "id, key"}, {"manifests", "id"}} {
		rules = append(rules, rule{"history", "versions in " + h.table + " overlap", overlap(h.table, h.key), 0})
	}
	for _, r := range [][2]string{{"resources_history", "id"}, {"labels_history", "id"}, {"edges", "source"}, {"edges", "target"}, {"edges_history", "source"},
		{"edges_history", "target"}, {"manifests", "id"}, {"manifests_history", "id"}} {
		rules = append(rules, rule{"refs", "the identity of a key in " + r[0] + " is missing", lacksRef(r[0], r[1]), 0})
	}
	return rules
}

func (k *inspection) queries(ctx context.Context) error {
	type violation struct {
		id    topo.ID
		texts [2]string
	}
	for _, r := range k.rules() {
		if len(k.found) >= k.limit {
			return nil
		}
		rows, err := queryAll(ctx, k.c, func(rows Rows, v *violation) error {
			return rows.Scan([]any{&v.id, &v.texts[0], &v.texts[1]}[:1+r.more]...)
		}, r.sql+` LIMIT $3`, int64(k.at.Tenant), int64(k.at.Cluster), k.limit)
		if err != nil {
			return err
		}
		for _, v := range rows {
			texts := []any{v.texts[0], v.texts[1]}[:r.more]
			if err := k.named(ctx, r.name, v.id, fmt.Sprintf(r.detail, texts...)); err != nil {
				return err
			}
		}
	}
	return nil
}
