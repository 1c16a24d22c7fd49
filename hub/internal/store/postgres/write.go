package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// The statements of a batch are on their way before the position is known. So it is left where they find it, for this transaction: looking it up
// in the feed's row again would cost each of them an index scan.
const (
	place = `WITH t AS (` + tick + `) SELECT pos, at, set_config('kubilitics.pos', pos::text, TRUE), set_config('kubilitics.day', (at AT TIME ZONE 'UTC')::date::text, TRUE) FROM t`
	here  = `(SELECT current_setting('kubilitics.pos')::bigint)`
	today = `(SELECT current_setting('kubilitics.day')::date)`
)

const (
	insertRefs = `INSERT INTO refs (tenant_id, cluster_id, id, api_group, kind, namespace, name)
		SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[]) u ON CONFLICT DO NOTHING`

	// An update is an insert that meets its row: it goes by the key, whatever the planner believes.
	upsertNodes = `INSERT INTO resources (tenant_id, cluster_id, id, api_group, kind, namespace, name, uid, version, presence, health, status, created,
		labels, attrs, app, hash, origin, valid_from, born)
		SELECT $1, $2, u.*, 'agent', ` + here + `, ` + here + ` FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
		$10::smallint[], $11::smallint[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::uuid[]) u
		ON CONFLICT (tenant_id, cluster_id, id) DO UPDATE SET uid = excluded.uid, version = excluded.version, presence = excluded.presence,
		health = excluded.health, status = excluded.status, created = excluded.created, labels = excluded.labels, attrs = excluded.attrs,
		app = excluded.app, hash = excluded.hash, origin = excluded.origin, valid_from = excluded.valid_from`
	deleteNodes = `DELETE FROM resources WHERE tenant_id = $1 AND cluster_id = $2 AND id = ANY($3)`
	closeNodes  = `INSERT INTO resources_history (tenant_id, cluster_id, id, uid, valid_from, created, state, version, odd_uid, status, labels, attrs, valid_to, closed)
		SELECT $1, $2, u.*, ` + here + `, ` + today + ` FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::smallint[], $8::text[], $9::text[],
		$10::text[], $11::text[], $12::text[]) u`

	insertLabels = `INSERT INTO labels (tenant_id, cluster_id, id, key, value, valid_from)
		SELECT $1, $2, u.*, ` + here + ` FROM unnest($3::uuid[], $4::text[], $5::text[]) u`
	meetLabels   = insertLabels + ` ON CONFLICT DO NOTHING`
	deleteLabels = `DELETE FROM labels l WHERE l.ctid = ANY(ARRAY(SELECT x.ctid FROM unnest($3::uuid[], $4::text[], $5::text[]) u(id, key, value)
		CROSS JOIN LATERAL (SELECT l.ctid FROM labels l WHERE l.tenant_id = $1 AND l.key = u.key AND l.value = u.value AND l.cluster_id = $2 AND l.id = u.id LIMIT 1) x))`
	removeLabels = `WITH gone AS (` + deleteLabels + ` RETURNING l.*) INSERT INTO labels_history (tenant_id, cluster_id, id, key, value, valid_from, valid_to, closed)
		SELECT tenant_id, cluster_id, id, key, value, valid_from, ` + here + `, ` + today + ` FROM gone`

	upsertEdges = `INSERT INTO edges (tenant_id, cluster_id, source, id, target, rule, type, disc, path, attrs, hash, origin, valid_from, born)
		SELECT $1, $2, u.*, 'agent', ` + here + `, ` + here + ` FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::uuid[]) u
		ON CONFLICT (tenant_id, cluster_id, source, id) DO UPDATE SET target = excluded.target, rule = excluded.rule, type = excluded.type, disc = excluded.disc,
		path = excluded.path, attrs = excluded.attrs, hash = excluded.hash, origin = excluded.origin, valid_from = excluded.valid_from`
	deleteEdges = `DELETE FROM edges x WHERE x.ctid = ANY(ARRAY(SELECT e.ctid` + fromEdgeKeys + `))`
	edgeVersion = `e.tenant_id, e.cluster_id, e.source, e.id, e.valid_from, e.target, e.rule, e.type, e.disc, e.path, e.attrs, e.born`
	closeEdges  = `INSERT INTO edges_history (tenant_id, cluster_id, source, id, valid_from, target, rule, type, disc, path, attrs, born, valid_to, closed)
		SELECT ` + edgeVersion + `, ` + here + `, ` + today
	keepEdges   = closeEdges + fromEdgeKeys
	removeEdges = `WITH gone AS (` + deleteEdges + ` RETURNING x.*) ` + closeEdges + ` FROM gone e`

	upsertManifests = `INSERT INTO manifests (tenant_id, cluster_id, id, hash, body, valid_from)
		SELECT $1, $2, u.*, ` + here + ` FROM unnest($3::uuid[], $4::uuid[], $5::bytea[]) u
		ON CONFLICT (tenant_id, cluster_id, id) DO UPDATE SET hash = excluded.hash, body = excluded.body, valid_from = excluded.valid_from`
	deleteManifests = `DELETE FROM manifests x WHERE x.ctid = ANY(ARRAY(SELECT m.ctid` + fromManifestKeys + `))`
	closeManifests  = `INSERT INTO manifests_history (tenant_id, cluster_id, id, valid_from, hash, body, valid_to, closed)
		SELECT m.tenant_id, m.cluster_id, m.id, m.valid_from, m.hash, m.body, ` + here + `, ` + today
	keepManifests   = closeManifests + fromManifestKeys
	removeManifests = `WITH gone AS (` + deleteManifests + ` RETURNING x.*) ` + closeManifests + ` FROM gone m`

	upsertEvents = `INSERT INTO events (tenant_id, cluster_id, uid, namespace, name, regarding, about_group, about_kind, about_ns, about_name, type, reason,
		message, source, count, first, last, seen)
		SELECT $1, $2, u.*, clock_timestamp() FROM unnest($3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[],
		$11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[]) u
		ON CONFLICT (tenant_id, cluster_id, uid) DO UPDATE SET namespace = excluded.namespace, name = excluded.name, regarding = excluded.regarding,
		about_group = excluded.about_group, about_kind = excluded.about_kind, about_ns = excluded.about_ns, about_name = excluded.about_name,
		type = excluded.type, reason = excluded.reason, message = excluded.message, source = excluded.source, count = excluded.count,
		first = excluded.first, last = excluded.last, seen = excluded.seen`

	addSums = `INSERT INTO digests (tenant_id, cluster_id, tbl, bucket, s0, s1, s2, s3)
		SELECT $1, $2, u.* FROM unnest($3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) u
		ON CONFLICT (tenant_id, cluster_id, tbl, bucket) DO UPDATE SET s0 = digests.s0 + excluded.s0, s1 = digests.s1 + excluded.s1,
		s2 = digests.s2 + excluded.s2, s3 = digests.s3 + excluded.s3`

	addCounts = `INSERT INTO counts (tenant_id, cluster_id, api_group, kind, namespace, unknown, ok, progressing, warning, error, missing, unobserved)
		SELECT $1, $2, u.* FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
		$12::bigint[]) u`
	addEdgeCounts = `INSERT INTO edge_counts (tenant_id, cluster_id, type, number) SELECT $1, $2, u.* FROM unnest($3::text[], $4::bigint[]) u`

	insertEntry = `INSERT INTO feed (tenant_id, pos, at, kind, cluster_id, gap_since, payload) SELECT $1, pos, at, $3, $2, $4, $5 FROM tenant_feed WHERE tenant_id = $1`
)

var (
	meetCounts     = addCounts + relational.MeetCount
	meetEdgeCounts = addEdgeCounts + relational.MeetEdgeCount
)

// writes collects the statements that write rows of one cluster at one position, to be sent in one go.
type writes struct {
	batch           pgx.Batch
	tenant, cluster int64
	keep            bool // closed versions go to history
	careful         bool // labels may be there already
}

func newWrites(at store.Scope, keep bool) *writes {
	return &writes{tenant: int64(at.Tenant), cluster: int64(at.Cluster), keep: keep, careful: !keep}
}

func (w *writes) queue(text string, args ...any) { w.batch.Queue(text, args...) }

// rows queues a statement on rows of the cluster.
func (w *writes) rows(text string, columns ...any) {
	w.batch.Queue(text, append([]any{w.tenant, w.cluster}, columns...)...)
}

// closes queues the form of a statement that fits whether closed versions are kept.
func (w *writes) closes(keeping, forgetting string, columns ...any) {
	if w.keep {
		w.rows(keeping, columns...)
		return
	}
	w.rows(forgetting, columns...)
}

func (w *writes) tick(pos *topo.Position, at *time.Time) {
	w.batch.Queue(place, w.tenant).QueryRow(func(row pgx.Row) error { return row.Scan((*int64)(pos), instant{at}, nil, nil) })
}

func (w *writes) entry(kind store.EntryKind, gap time.Time, payload any) {
	w.rows(insertEntry, string(kind), encode(gap), payload)
}

// packing is a payload that another goroutine is at: it is waited for when the statement is encoded, which is after all others of the batch.
type packing chan packed

type packed struct {
	payload []byte
	err     error
}

func pack(p *relational.Plan) packing {
	done := make(packing, 1)
	go func() {
		b, err := relational.EncodePayload(&p.Diff, p.FeedEvents(), p.FeedTexts())
		done <- packed{b, err}
	}()
	return done
}

// BytesValue implements pgtype.BytesValuer.
func (p packing) BytesValue() ([]byte, error) {
	done := <-p
	p <- done // for whoever asks again
	return done.payload, done.err
}

// plan queues a plan's rows.
func (w *writes) plan(p *relational.Plan) {
	w.refs(p.Refs)
	if len(p.Misnamed) > 0 {
		w.rows(deleteNodes, keys(p.Misnamed))
	}
	w.nodes(p)
	w.labels(p)
	w.edges(p)
	w.manifests(p)
	w.events(p.Events)
}

func (w *writes) refs(rows []relational.RefRow) {
	if len(rows) == 0 {
		return
	}
	n := len(rows)
	ids, groups, kinds, spaces, names := make(keys, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range rows {
		r := &rows[i].Ref
		ids[i], groups[i], kinds[i], spaces[i], names[i] = rows[i].ID, r.Group, r.Kind, r.Namespace, r.Name
	}
	w.rows(insertRefs, ids, groups, kinds, spaces, names)
}

func nodeColumns(rows []relational.NodeRow) []any {
	n := len(rows)
	ids, hashes := make(keys, n), make(keys, n)
	var texts [10][]string // group, kind, namespace, name, uid, version, status, labels, attrs, app
	for i := range texts {
		texts[i] = make([]string, n)
	}
	presences, healths, created := make([]int16, n), make([]int16, n), make([]int64, n)
	for i := range rows {
		x := rows[i].Node
		ids[i], hashes[i] = rows[i].ID, rows[i].Hash
		texts[0][i], texts[1][i], texts[2][i], texts[3][i] = x.Ref.Group, x.Ref.Kind, x.Ref.Namespace, x.Ref.Name
		texts[4][i], texts[5][i], texts[6][i] = x.UID, x.Version, x.Status
		texts[7][i], texts[8][i] = relational.EncodePairs(x.Labels), relational.EncodePairs(x.Attrs)
		texts[9][i] = relational.AppOf(x)
		presences[i], healths[i], created[i] = int16(x.Presence), int16(x.Health), x.Created
	}
	return []any{ids, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], presences, healths, texts[6], created, texts[7], texts[8], texts[9], hashes}
}

func (w *writes) nodes(p *relational.Plan) {
	if len(p.ClosedNodes) > 0 && w.keep {
		w.rows(closeNodes, versionColumns(p)...)
	}
	if rows := slices.Concat(p.UpdateNodes, p.AddNodes); len(rows) > 0 {
		w.rows(upsertNodes, nodeColumns(rows)...)
	}
	if len(p.GoneNodes) > 0 {
		w.rows(deleteNodes, keys(p.GoneNodes))
	}
}

func labelColumns(rows []relational.LabelRow) []any {
	ids, names, values := make(keys, len(rows)), make([]string, len(rows)), make([]string, len(rows))
	for i := range rows {
		ids[i], names[i], values[i] = rows[i].ID, rows[i].Key, rows[i].Value
	}
	return []any{ids, names, values}
}

func (w *writes) labels(p *relational.Plan) {
	if len(p.GoneLabels) > 0 {
		w.closes(removeLabels, deleteLabels, labelColumns(p.GoneLabels)...)
	}
	if len(p.AddLabels) > 0 {
		statement := insertLabels
		if w.careful {
			statement = meetLabels
		}
		w.rows(statement, labelColumns(p.AddLabels)...)
	}
}

func edgeColumns(rows []relational.EdgeRow) []any {
	n := len(rows)
	sources, ids, targets, hashes := make(keys, n), make(keys, n), make(keys, n), make(keys, n)
	rules, types, discs, paths, attrs := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range rows {
		r, e := &rows[i], rows[i].Edge
		sources[i], ids[i], targets[i], hashes[i] = r.Key.Source, r.Key.ID, r.Target, r.Hash
		rules[i], types[i], discs[i], paths[i], attrs[i] = e.Rule, string(e.Type), e.Disc, e.Path, relational.EncodePairs(e.Attrs)
	}
	return []any{sources, ids, targets, rules, types, discs, paths, attrs, hashes}
}

func (w *writes) edges(p *relational.Plan) {
	if len(p.UpdateEdges) > 0 && w.keep {
		old := make([]topo.EdgeID, len(p.UpdateEdges))
		for i := range p.UpdateEdges {
			old[i] = p.UpdateEdges[i].Key
		}
		sources, ids := halves(old)
		w.rows(keepEdges, sources, ids)
	}
	if rows := slices.Concat(p.UpdateEdges, p.AddEdges); len(rows) > 0 {
		w.rows(upsertEdges, edgeColumns(rows)...)
	}
	if len(p.GoneEdges) > 0 {
		sources, ids := halves(p.GoneEdges)
		w.closes(removeEdges, deleteEdges, sources, ids)
	}
}

func manifestColumns(rows []relational.ManifestRow) []any {
	ids, hashes, bodies := make(keys, len(rows)), make(keys, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		ids[i], hashes[i], bodies[i] = rows[i].ID, rows[i].Manifest.Hash, rows[i].Manifest.Body
		if bodies[i] == nil {
			bodies[i] = []byte{} // nil would be NULL
		}
	}
	return []any{ids, hashes, bodies}
}

func (w *writes) manifests(p *relational.Plan) {
	if len(p.NewManifests) > 0 && w.keep {
		old := make(keys, len(p.NewManifests))
		for i := range p.NewManifests {
			old[i] = p.NewManifests[i].ID
		}
		w.rows(keepManifests, old)
	}
	if rows := slices.Concat(p.NewManifests, p.AddManifests); len(rows) > 0 {
		w.rows(upsertManifests, manifestColumns(rows)...)
	}
	if len(p.GoneManifests) > 0 {
		w.closes(removeManifests, deleteManifests, keys(p.GoneManifests))
	}
}

func (w *writes) events(rows []*topo.Event) {
	if len(rows) == 0 {
		return
	}
	var texts [11][]string // uid, namespace, name, about's group, kind, namespace, name, type, reason, message, source
	abouts := make(keys, len(rows))
	var numbers [3][]int64
	for i, e := range rows {
		abouts[i] = e.Regarding.ID()
		for j, s := range []string{e.UID, e.Namespace, e.Name, e.Regarding.Group, e.Regarding.Kind, e.Regarding.Namespace, e.Regarding.Name, e.Type, e.Reason, e.Message, e.Source} {
			texts[j] = append(texts[j], s)
		}
		for j, n := range []int64{e.Count, e.First, e.Last} {
			numbers[j] = append(numbers[j], n)
		}
	}
	w.rows(upsertEvents, texts[0], texts[1], texts[2], abouts, texts[3], texts[4], texts[5], texts[6], texts[7], texts[8], texts[9], texts[10],
		numbers[0], numbers[1], numbers[2])
}

func (w *writes) sums(rows []relational.SumRow) {
	if len(rows) == 0 {
		return
	}
	tables, numbers := make([]int16, len(rows)), make([]int16, len(rows))
	var words [4][]int64
	for i := range words {
		words[i] = make([]int64, len(rows))
	}
	for i := range rows {
		tables[i], numbers[i] = int16(rows[i].Table), int16(rows[i].Number)
		for j, n := range rows[i].Words() {
			words[j][i] = n
		}
	}
	w.rows(addSums, tables, numbers, words[0], words[1], words[2], words[3])
}

func (w *writes) counts(rows []relational.CountRow, edges []relational.EdgeCount) {
	if len(rows) > 0 {
		var texts [3][]string
		var numbers [relational.States][]int64
		for i := range rows {
			for j, s := range []string{rows[i].Kind.Group, rows[i].Kind.Kind, rows[i].Namespace} {
				texts[j] = append(texts[j], s)
			}
			for j, n := range rows[i].Numbers {
				numbers[j] = append(numbers[j], n)
			}
		}
		columns := []any{texts[0], texts[1], texts[2]}
		for j := range numbers {
			columns = append(columns, numbers[j])
		}
		w.rows(meetCounts, columns...)
	}
	if len(edges) > 0 {
		types, numbers := make([]string, len(edges)), make([]int64, len(edges))
		for i, e := range edges {
			types[i], numbers[i] = string(e.Type), e.Number
		}
		w.rows(meetEdgeCounts, types, numbers)
	}
}
