package relational

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// AuditColumns are the columns of both tables of records, in the order of AuditRow's cells.
const AuditColumns = `tenant_id, id, at, hub, request, who, groups, token, address, agent, via, cluster_id, verb, api_group, version, resource, namespace,
	name, path, command, dry_run, outcome, status, reason, took`

// MeetAudit ends an INSERT of records that have ended, some of which may be there. One that is unknown may turn out to have ended after all.
const MeetAudit = ` ON CONFLICT (tenant_id, id) DO UPDATE SET outcome = excluded.outcome, status = excluded.status, reason = excluded.reason,
	took = excluded.took, name = CASE WHEN audit.name = '' THEN excluded.name ELSE audit.name END`

// auditWrites is the condition of the partial indexes, word for word.
const auditWrites = `verb NOT IN ('get', 'list', 'watch')`

// abandoned is why nobody knows how a request ended.
const abandoned = "the hub that took it is gone"

// AuditRow is a record in the form that columns take.
type AuditRow struct {
	ID              topo.ID
	Groups, Command string // JSON lists, or nothing
	*store.AuditRecord
}

// Cells gives the row in the order of AuditColumns.
func (r *AuditRow) Cells() []any {
	dry := int64(0)
	if r.DryRun {
		dry = 1
	}
	return []any{
		int64(r.Tenant), r.ID, r.At, r.Hub, r.Request, r.Who, r.Groups, r.Token, r.From, r.Agent, r.Via, int64(r.Cluster), r.Verb, r.Group, r.Version,
		r.Resource, r.Namespace, r.Name, r.Path, r.Command, dry, string(r.Outcome), int64(r.Status), r.Reason, r.Took.Microseconds(),
	}
}

// AuditBatch is a tenant's records, each once, in the order of their ids: what is under way, and what has ended.
type AuditBatch struct {
	Tenant      fleet.TenantID
	Open, Ended []AuditRow
}

// IDs gives the keys of what has ended.
func (b *AuditBatch) IDs() []topo.ID {
	ids := make([]topo.ID, len(b.Ended))
	for i := range b.Ended {
		ids[i] = b.Ended[i].ID
	}
	return ids
}

// PrepareAudit sorts records by tenant and state. It refuses those that no database would take, with BadRequest.
func PrepareAudit(records []store.AuditRecord) ([]AuditBatch, error) {
	byTenant := map[fleet.TenantID][]AuditRow{}
	for i := range records {
		row, err := auditRow(&records[i])
		if err != nil {
			return nil, err
		}
		byTenant[row.Tenant] = append(byTenant[row.Tenant], row)
	}
	var out []AuditBatch
	for _, tenant := range slices.Sorted(maps.Keys(byTenant)) {
		b := AuditBatch{Tenant: tenant}
		for _, row := range newest(byTenant[tenant], func(a, b AuditRow) int { return a.ID.Compare(b.ID) }) {
			if row.Outcome == store.AuditOpen {
				b.Open = append(b.Open, row)
			} else {
				b.Ended = append(b.Ended, row)
			}
		}
		out = append(out, b)
	}
	return out, nil
}

func auditRow(r *store.AuditRecord) (AuditRow, error) {
	id, err := auditID(r.ID)
	if err != nil {
		return AuditRow{}, err
	}
	row := AuditRow{ID: id, AuditRecord: r, Groups: jsonList(r.Groups), Command: jsonList(r.Command)}
	var c checker
	for _, s := range []string{r.Hub, r.Token, r.From, r.Agent, r.Via, r.Group, r.Version, r.Path, r.Reason, string(r.Outcome)} {
		c.text("a text", s)
	}
	for _, list := range [][]string{r.Groups, r.Command} {
		for _, s := range list {
			c.text("a text of a list", s)
		}
	}
	for _, s := range []string{r.Who, r.Request, r.Verb, r.Resource, r.Namespace, r.Name} {
		c.key("a name", s)
	}
	if why := c.verdict(); why != "" {
		return row, fault.New(fault.BadRequest, "the record %s can't be kept: %s", r.ID, why)
	}
	return row, nil
}

func auditID(text string) (topo.ID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return topo.ID{}, fault.New(fault.BadRequest, "%q is no id of a record", cleaned(text, 100))
	}
	return topo.ID(id), nil
}

func jsonList(list []string) string {
	if len(list) == 0 {
		return ""
	}
	text, _ := json.Marshal(list) // lists of texts always have a JSON form
	return string(text)
}

// auditRows is how many records one statement writes: a statement of its own for each costs a quarter more.
const auditRows = 16

// auditInsert is an INSERT of one row, or of auditRows; the latter has parameters without numbers, for SQLite looks up the names of parameters
// along a list for each.
type auditInsert struct{ one, many string }

func newAuditInsert(table, meet string) auditInsert {
	columns := strings.Count(AuditColumns, ",") + 1
	numbered := make([]string, columns)
	for i := range numbered {
		numbered[i] = "$" + strconv.Itoa(i+1)
	}
	text := func(rows string) string {
		return `INSERT INTO ` + table + ` (` + AuditColumns + `) VALUES ` + rows + meet
	}
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return auditInsert{one: text("(" + strings.Join(numbered, ", ") + ")"), many: text(row + strings.Repeat(", "+row, auditRows-1))}
}

var (
	openAudit = newAuditInsert("audit_open", ` ON CONFLICT (tenant_id, id) DO NOTHING`)
	endAudit  = newAuditInsert("audit", MeetAudit)
)

// write inserts rows, as many at a time as there are.
func (i auditInsert) write(ctx context.Context, c Conn, rows []AuditRow) error {
	for len(rows) > 0 {
		text, n := i.one, 1
		if len(rows) >= auditRows {
			text, n = i.many, auditRows
		}
		cells := make([]any, 0, 512)
		for r := range rows[:n] {
			cells = append(cells, rows[r].Cells()...)
		}
		if _, err := c.Exec(ctx, text, cells...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// PutAudit implements store.Audit.
func (b *Base) PutAudit(ctx context.Context, records []store.AuditRecord) error {
	batches, err := PrepareAudit(records)
	if err != nil || len(batches) == 0 {
		return err
	}
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		for i := range batches {
			if err := b.putAudit(ctx, c, &batches[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *Base) putAudit(ctx context.Context, c Conn, batch *AuditBatch) error {
	if err := openAudit.write(ctx, c, batch.Open); err != nil || len(batch.Ended) == 0 {
		return err
	}
	if _, err := c.Exec(ctx, `DELETE FROM audit_open WHERE tenant_id = $1 AND `+b.sql.InIDs("id", 2), int64(batch.Tenant), batch.IDs()); err != nil {
		return err
	}
	return endAudit.write(ctx, c, batch.Ended)
}

// Audit implements store.Audit.
func (b *Base) Audit(ctx context.Context, tenant fleet.TenantID, f store.AuditFilter, before string, limit int) (list []store.AuditRecord, err error) {
	q := auditQuestion{base: b, tenant: tenant, filter: &f, limit: limit}
	if before != "" {
		if q.before, err = auditID(before); err != nil {
			return nil, err
		}
	}
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		list, err = q.answer(ctx, c)
		return err
	})
	return list, err
}

// auditQuestion is one page of records. What is open and what has ended stand in two tables, and clusters that are few are asked for one by one,
// each along its own index: so a page is the newest of several lists.
type auditQuestion struct {
	base   *Base
	tenant fleet.TenantID
	filter *store.AuditFilter
	before topo.ID
	limit  int
}

func (q *auditQuestion) answer(ctx context.Context, c Conn) ([]store.AuditRecord, error) {
	tables := []string{"audit", "audit_open"}
	switch q.filter.Outcome {
	case "":
	case store.AuditOpen:
		tables = tables[1:]
	default:
		tables = tables[:1]
	}
	var found []AuditRow
	for _, table := range tables {
		for _, part := range auditParts(q.filter) {
			rows, err := q.list(ctx, c, table, part)
			if err != nil {
				return nil, err
			}
			found = append(found, rows...)
		}
	}
	// A record that stands in both has ended. The sort is stable, and that table came first.
	slices.SortStableFunc(found, func(a, b AuditRow) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	found = slices.CompactFunc(found, func(a, b AuditRow) bool { return a.ID == b.ID })
	var out []store.AuditRecord
	for i := range found[:min(len(found), q.limit)] {
		out = append(out, *found[i].AuditRecord)
	}
	return out, nil
}

func (q *auditQuestion) list(ctx context.Context, c Conn, table string, part auditPart) ([]AuditRow, error) {
	f, w := q.filter, &where{dialect: &q.base.sql}
	w.and(w.equal("tenant_id", int64(q.tenant)))
	for _, x := range []struct{ column, value string }{
		{"who", f.Who}, {"verb", f.Verb}, {"resource", f.Resource}, {"namespace", f.Namespace}, {"name", f.Name}, {"request", f.Request}, {"via", f.Via}, {"outcome", string(f.Outcome)},
	} {
		if x.value != "" {
			w.and(w.equal(x.column, x.value))
		}
	}
	if f.Writes || f.Verb != "" && !slices.Contains(reads, f.Verb) {
		w.and(auditWrites)
	}
	w.auditTimes(f)
	if q.before != (topo.ID{}) {
		w.and("id < " + w.param(q.before))
	}
	part(w)
	return queryAll(ctx, c, scanAudit, `SELECT `+AuditColumns+` FROM `+table+` WHERE `+w.String()+` ORDER BY id DESC LIMIT `+w.param(q.limit), w.args...)
}

var reads = []string{"get", "list", "watch"}

// auditTimes bounds the ids too, so that only the days that are meant are looked at; a little wider, since an id is made a moment after its record's time.
func (w *where) auditTimes(f *store.AuditFilter) {
	if !f.From.IsZero() {
		w.and("at >= " + w.param(f.From) + " AND id >= " + w.param(AuditFloor(f.From.Add(-time.Second))))
	}
	if !f.To.IsZero() {
		w.and("at < " + w.param(f.To) + " AND id < " + w.param(AuditFloor(f.To.Add(time.Minute))))
	}
}

// AuditFloor is below every id made at that time or later, and above those made in milliseconds before.
func AuditFloor(t time.Time) (id topo.ID) {
	ms := max(t.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// auditPart adds the condition of which clusters and namespaces.
type auditPart func(w *where)

// auditParts gives the parts that together are what the view shows of what is asked for. A part that nothing belongs to is left out.
func auditParts(f *store.AuditFilter) (parts []auditPart) {
	if f.View == nil || f.View.Everything {
		return []auditPart{func(w *where) {
			if f.Cluster != 0 {
				w.and(w.equal("cluster_id", int64(f.Cluster)))
			}
		}}
	}
	if f.Cluster != 0 {
		if some, all, ok := f.View.Namespaces(f.Cluster); ok {
			parts = append(parts, clusterPart(f.Cluster, some, all))
		}
		return parts
	}
	named := slices.Sorted(maps.Keys(f.View.Clusters))
	for _, id := range named {
		if some, all, ok := f.View.Namespaces(id); ok && id != 0 {
			parts = append(parts, clusterPart(id, some, all))
		}
	}
	if some := f.View.Clusters[0]; len(some) > 0 {
		parts = append(parts, func(w *where) {
			w.and("cluster_id <> 0")
			for _, id := range named {
				w.and("cluster_id <> " + w.param(int64(id)))
			}
			w.and(w.strings("namespace", some))
		})
	}
	if len(parts) > 8 {
		return []auditPart{anyPart(parts)}
	}
	return parts
}

func clusterPart(id fleet.ClusterID, some []string, all bool) auditPart {
	return func(w *where) {
		w.and(w.equal("cluster_id", int64(id)))
		if !all {
			w.and(w.strings("namespace", some))
		}
	}
}

// anyPart joins parts into one condition.
func anyPart(parts []auditPart) auditPart {
	return func(w *where) {
		before := w.conditions
		var each []string
		for _, part := range parts {
			w.conditions = nil
			part(w)
			each = append(each, "("+strings.Join(w.conditions, " AND ")+")")
		}
		w.conditions = append(before, anyOf(each))
	}
}

func scanAudit(rows Rows, row *AuditRow) error {
	r := &store.AuditRecord{}
	row.AuditRecord = r
	var dry, status, took int64
	var outcome string
	err := rows.Scan((*int64)(&r.Tenant), &row.ID, &r.At, &r.Hub, &r.Request, &r.Who, &row.Groups, &r.Token, &r.From, &r.Agent, &r.Via, (*int64)(&r.Cluster),
		&r.Verb, &r.Group, &r.Version, &r.Resource, &r.Namespace, &r.Name, &r.Path, &row.Command, &dry, &outcome, &status, &r.Reason, &took)
	if err != nil {
		return err
	}
	r.ID, r.DryRun, r.Outcome, r.Status, r.Took = uuid.UUID(row.ID).String(), dry != 0, store.AuditOutcome(outcome), int(status), time.Duration(took)*time.Microsecond
	r.Groups, r.Command = textList(row.Groups), textList(row.Command)
	return nil
}

// textList reads what jsonList wrote; what is damaged is left out, so that it doesn't hide the row.
func textList(text string) (list []string) {
	if text != "" {
		_ = json.Unmarshal([]byte(text), &list)
	}
	return list
}
