package relational

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Counts are kept by the transactions that write the rows: what a plan adds to them is worked out from each row as it was and as it will be. There is one
// row for each namespace and kind of a cluster, with a number for each thing that a resource may be; and one for each type of edges.

// States is how many things a resource may be: a health where it is present, missing, unobserved.
const States = int(topo.Error) + 3

// stateColumns are those of counts, by state.
var stateColumns = func() []string { return append(healthWords(), "missing", "unobserved") }()

// StateColumns lists them.
var StateColumns = strings.Join(stateColumns, ", ")

func stateOf(p topo.Presence, h topo.Health) int {
	switch {
	case p == topo.Missing:
		return States - 2
	case p == topo.Unobserved:
		return States - 1
	case p != topo.Present || h > topo.Error:
		return -1 // damaged: nobody asks for it
	}
	return int(h)
}

// Numbers are those of one row of counts.
type Numbers [States]int64

func (n *Numbers) none() bool { return *n == Numbers{} }

// CountRow is what a row of counts has, or what is added to it.
type CountRow struct {
	Kind      topo.GroupKind
	Namespace string
	Numbers
}

// EdgeCount is what a row of edge_counts has, or what is added to it.
type EdgeCount struct {
	Type   topo.EdgeType
	Number int64
}

type countKey struct{ group, kind, namespace string }

// tally counts rows of one cluster.
type tally struct {
	nodes map[countKey]*Numbers
	edges map[topo.EdgeType]int64
}

func newTally() *tally { return &tally{map[countKey]*Numbers{}, map[topo.EdgeType]int64{}} }

func (t *tally) numbers(k countKey) *Numbers {
	n := t.nodes[k]
	if n == nil {
		n = new(Numbers)
		t.nodes[k] = n
	}
	return n
}

func (t *tally) node(n *topo.Node, by int64) {
	if state := stateOf(n.Presence, n.Health); state >= 0 {
		t.numbers(countKey{n.Ref.Group, n.Ref.Kind, n.Ref.Namespace})[state] += by
	}
}

func (t *tally) edge(e topo.EdgeType, by int64) { t.edges[e] += by }

// rows gives what isn't zero, in the order of the keys.
func (t *tally) rows() (nodes []CountRow, edges []EdgeCount) {
	for k, n := range t.nodes {
		if !n.none() {
			nodes = append(nodes, CountRow{topo.GroupKind{Group: k.group, Kind: k.kind}, k.namespace, *n})
		}
	}
	for e, n := range t.edges {
		if n != 0 {
			edges = append(edges, EdgeCount{e, n})
		}
	}
	slices.SortFunc(nodes, func(a, b CountRow) int {
		return cmp.Or(cmp.Compare(a.Kind.Group, b.Kind.Group), cmp.Compare(a.Kind.Kind, b.Kind.Kind), cmp.Compare(a.Namespace, b.Namespace))
	})
	slices.SortFunc(edges, func(a, b EdgeCount) int { return cmp.Compare(a.Type, b.Type) })
	return nodes, edges
}

// with adds what a plan adds.
func (t *tally) with(nodes []CountRow, edges []EdgeCount) *tally {
	sum := newTally()
	for k, n := range t.nodes {
		*sum.numbers(k) = *n
	}
	for e, n := range t.edges {
		sum.edges[e] = n
	}
	for _, r := range nodes {
		n := sum.numbers(countKey{r.Kind.Group, r.Kind.Kind, r.Namespace})
		for i := range r.Numbers {
			n[i] += r.Numbers[i]
		}
	}
	for _, r := range edges {
		sum.edges[r.Type] += r.Number
	}
	return sum
}

// The statements that add to counts, for bodies that write row by row.
var (
	AddCount = fmt.Sprintf(`INSERT INTO counts (tenant_id, cluster_id, api_group, kind, namespace, %s) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		StateColumns) + MeetCount
	MeetCount = ` ON CONFLICT (tenant_id, cluster_id, api_group, kind, namespace) DO UPDATE SET ` + func() string {
		sets := make([]string, States)
		for i, c := range stateColumns {
			sets[i] = c + ` = counts.` + c + ` + excluded.` + c
		}
		return strings.Join(sets, ", ")
	}()
	AddEdgeCount  = `INSERT INTO edge_counts (tenant_id, cluster_id, type, number) VALUES ($1, $2, $3, $4)` + MeetEdgeCount
	MeetEdgeCount = ` ON CONFLICT (tenant_id, cluster_id, type) DO UPDATE SET number = edge_counts.number + excluded.number`
)

// recount writes the counts of a cluster anew, from its rows.
func recount(ctx context.Context, c Conn, at store.Scope) error {
	sums := make([]string, States)
	for i := range sums {
		condition := fmt.Sprintf("presence = %d AND health = %d", topo.Present, i)
		if i > int(topo.Error) {
			condition = fmt.Sprintf("presence = %d", i-int(topo.Error))
		}
		sums[i] = `count(CASE WHEN ` + condition + ` THEN 1 END)`
	}
	const of = ` WHERE tenant_id = $1 AND cluster_id = $2`
	for _, sql := range []string{
		`DELETE FROM counts` + of,
		`DELETE FROM edge_counts` + of,
		`INSERT INTO counts (tenant_id, cluster_id, api_group, kind, namespace, ` + StateColumns + `)
			SELECT tenant_id, cluster_id, api_group, kind, namespace, ` + strings.Join(sums, ", ") + ` FROM resources` + of + ` GROUP BY 1, 2, 3, 4, 5`,
		`INSERT INTO edge_counts (tenant_id, cluster_id, type, number) SELECT tenant_id, cluster_id, type, count(*) FROM edges` + of + ` GROUP BY 1, 2, 3`,
	} {
		if _, err := c.Exec(ctx, sql, int64(at.Tenant), int64(at.Cluster)); err != nil {
			return err
		}
	}
	return nil
}

// keptCounts reads the counts of a cluster, without those that are zero.
func keptCounts(ctx context.Context, c Conn, at store.Scope) (nodes []CountRow, edges []EdgeCount, err error) {
	args := []any{int64(at.Tenant), int64(at.Cluster)}
	nodes, err = queryAll(ctx, c, func(rows Rows, r *CountRow) error {
		return rows.Scan(append([]any{&r.Kind.Group, &r.Kind.Kind, &r.Namespace}, r.dest()...)...)
	}, `SELECT api_group, kind, namespace, `+StateColumns+` FROM counts WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY api_group, kind, namespace`, args...)
	if err != nil {
		return nil, nil, err
	}
	edges, err = queryAll(ctx, c, func(rows Rows, r *EdgeCount) error { return rows.Scan((*string)(&r.Type), &r.Number) },
		`SELECT type, number FROM edge_counts WHERE tenant_id = $1 AND cluster_id = $2 AND number <> 0 ORDER BY type`, args...)
	return slices.DeleteFunc(nodes, func(r CountRow) bool { return r.none() }), edges, err
}

func (n *Numbers) dest() (all []any) {
	for i := range n {
		all = append(all, &n[i])
	}
	return all
}

// dropZeros deletes the counts of what a cluster has no more of; its lock is held.
func dropZeros(ctx context.Context, c Conn, at store.Scope) error {
	for _, table := range []string{`counts`, `edge_counts`} {
		zero := `number = 0`
		if table == `counts` {
			zero = `0 = ` + strings.Join(stateColumns, ` AND 0 = `)
		}
		if _, err := c.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1 AND cluster_id = $2 AND `+zero, int64(at.Tenant), int64(at.Cluster)); err != nil {
			return err
		}
	}
	return nil
}

// differ tells whether the kept counts of nodes, or of edges, aren't those of a tally.
func (t *tally) differ(ctx context.Context, c Conn, at store.Scope, table topo.Table) (bool, error) {
	nodes, edges, err := keptCounts(ctx, c, at)
	if err != nil {
		return false, err
	}
	rows, types := t.rows()
	return table == topo.Nodes && !slices.Equal(nodes, rows) || table == topo.Edges && !slices.Equal(edges, types), nil
}

// keeps tells whether the kept counts are those of this snapshot.
func (s *snapshot) keeps() bool { return s.tables.resources == current.resources }

// Counts implements store.Snapshot.
func (s *snapshot) Counts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) ([]store.Count, error) {
	groups, err := s.Groups(ctx, store.Filter{View: v, Clusters: clusters}, []store.Dimension{store.ByCluster, store.ByKind}, 1<<31-1)
	var all []store.Count
	for i := range groups {
		for h, n := range groups[i].Health {
			if n != 0 {
				all = append(all, store.Count{Cluster: groups[i].Cluster, Kind: groups[i].Kind, Health: topo.Health(h), Number: n})
			}
		}
	}
	return all, err
}

// EdgeCounts implements store.Snapshot: an edge is seen where both its ends are.
func (s *snapshot) EdgeCounts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) (map[fleet.ClusterID]int, error) {
	_, a, err := s.access(ctx, v, clusters)
	counts := map[fleet.ClusterID]int{}
	if err != nil || a.empty() {
		return counts, err
	}
	whole, partial := access{whole: a.whole, every: a.every}, access{partial: a.partial}
	if s.keeps() && (a.every || len(a.whole) > 0) {
		w := s.where("e")
		if !a.every {
			w.and(w.ints("e.cluster_id", whole.whole))
		}
		err = s.numbers(ctx, counts, `SELECT e.cluster_id, CAST(sum(e.number) AS bigint) FROM edge_counts e WHERE `+w.String()+` GROUP BY e.cluster_id HAVING sum(e.number) > 0`, w.args)
	} else if a.every || len(a.whole) > 0 {
		w := s.where("e")
		conditions := w.edgesWithin(&whole, nil)
		err = s.numbers(ctx, counts, `SELECT e.cluster_id, count(*) FROM `+s.tables.edges+` e WHERE `+conditions+` GROUP BY e.cluster_id`, w.args)
	}
	if err != nil || len(partial.partial) == 0 {
		return counts, err
	}
	w := s.where("e")
	w.and(partial.in(w, "e.cluster_id", "s.namespace"))
	w.and(partial.in(w, "e.cluster_id", "t.namespace"))
	return counts, s.numbers(ctx, counts, `SELECT e.cluster_id, count(*) FROM `+s.tables.edges+` e`+EdgeEnds+` WHERE `+w.String()+` GROUP BY e.cluster_id`, w.args)
}

// numbers reads a number for each cluster.
func (s *snapshot) numbers(ctx context.Context, into map[fleet.ClusterID]int, sql string, args []any) error {
	rows, err := s.conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, n int64
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		into[fleet.ClusterID(id)] = int(n)
	}
	return rows.Err()
}

// countable tells whether the counts know all that a filter asks for.
func countable(f *store.Filter) bool {
	for _, q := range f.Fields {
		if q.Key != "kind" && q.Key != "namespace" {
			return false
		}
	}
	for _, t := range f.Terms {
		if t.Op != store.Like || (t.Key != "kind" && t.Key != "namespace" && t.Key != "group") {
			return false
		}
	}
	return len(f.Names) == 0 && len(f.Labels) == 0
}

// keptGroups answers Groups from the kept counts.
func (s *snapshot) keptGroups(ctx context.Context, a *access, f store.Filter, dims grouping, limit int) ([]store.Group, error) {
	placeholders := f.Placeholders
	f.Placeholders = true // rows of counts are no placeholders
	w, err := s.filtered(a, &f)
	if err != nil {
		return nil, err
	}
	sums := make([]string, States)
	for i, c := range stateColumns {
		sums[i] = `CAST(sum(r.` + c + `) AS bigint)`
		if i > int(topo.Error) && !placeholders {
			sums[i] = `0`
		}
	}
	sql := `SELECT ` + listOf(dims.columns("r"), strings.Join(sums, ", ")) + ` FROM counts r WHERE ` + w.String()
	if len(dims) > 0 {
		sql += ` GROUP BY ` + dims.columns("r")
	}
	sql += ` HAVING ` + strings.Join(sums, " + ") + ` > 0`
	if len(dims) > 0 {
		sql += ` ORDER BY ` + dims.columns("r")
	}
	return s.groups(ctx, dims, sql+` LIMIT `+w.param(limit), w.args)
}
