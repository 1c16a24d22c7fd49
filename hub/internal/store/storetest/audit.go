package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// auditIDAt is an id made at that time; n tells those of one time apart, in order.
func auditIDAt(at time.Time, n int) string {
	var id uuid.UUID
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8], id[14], id[15] = 0x70, 0x80, byte(n>>8), byte(n)
	return id.String()
}

// Record is a record of that time with everything in it.
func Record(tenant fleet.TenantID, at time.Time, n int, change ...func(*store.AuditRecord)) store.AuditRecord {
	r := store.AuditRecord{
		ID: auditIDAt(at, n), Tenant: tenant, At: at.UTC().Truncate(time.Microsecond), Hub: "hub-1", Request: fmt.Sprint("request-", n), Who: "ada",
		Groups: []string{"dev", "ops"}, Token: "t1", From: "192.0.2.7", Agent: "kubectl/v1", Via: "kubernetes", Cluster: 7, Verb: "create", Group: "apps", Version: "v1",
		Resource: "deployments", Namespace: "shop", Name: "web", Path: "/p", Command: []string{"sh", "-c", "é \"x\""}, DryRun: true,
		Outcome: store.AuditDone, Status: 201, Reason: "Created", Took: 1500 * time.Microsecond,
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func opened(r *store.AuditRecord) {
	r.Outcome, r.Status, r.Reason, r.Took = store.AuditOpen, 0, "", 0
}

func (h *house) audit(f store.AuditFilter) []store.AuditRecord {
	h.Helper()
	var all []store.AuditRecord
	for before := ""; ; before = all[len(all)-1].ID { // by pages of three
		page, err := h.Store.Audit(h.ctx, h.tenant, f, before, 3)
		h.must(err)
		all = append(all, page...)
		if len(page) < 3 {
			return all
		}
	}
}

// auditNames gives the names of the records that a filter means, newest first.
func (h *house) auditNames(f store.AuditFilter) string {
	h.Helper()
	var names []string
	for _, r := range h.audit(f) {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

func audit(_ *testing.T, h *house) {
	now := time.Now()
	whole := Record(h.tenant, now, 1)
	bare := store.AuditRecord{ID: auditIDAt(now, 2), Tenant: h.tenant, At: whole.At, Outcome: store.AuditFailed}
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{bare, whole}))
	h.must(h.Store.PutAudit(h.ctx, nil))
	h.equal(h.audit(store.AuditFilter{}), []store.AuditRecord{bare, whole})

	// What is open is completed in its place, with a name if it had none, and isn't opened again.
	began := Record(h.tenant, now, 3, opened, func(r *store.AuditRecord) { r.Name = "" })
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{began}))
	h.equal(h.audit(store.AuditFilter{Outcome: store.AuditOpen}), []store.AuditRecord{began})
	ended := Record(h.tenant, now, 3, func(r *store.AuditRecord) { r.Name = "web-x7" })
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{ended}))
	h.equal(h.count("audit_open"), 0)
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{began}))
	h.equal(h.audit(store.AuditFilter{}), []store.AuditRecord{ended, bare, whole})
	late := ended
	late.Outcome, late.Status, late.Reason, late.Took, late.Name = store.AuditFailed, 500, "late", time.Second, "other"
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{late}))
	late.Name = ended.Name
	h.equal(h.audit(store.AuditFilter{Outcome: store.AuditFailed}), []store.AuditRecord{late, bare})
	h.equal(h.count("audit_open"), 0)

	// Twice in one call: the last counts.
	again := Record(h.tenant, now, 4)
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{Record(h.tenant, now, 4, opened), again}))
	h.equal(h.audit(store.AuditFilter{})[0], again)

	// Neither database sees what one of them would refuse; and then nothing of the call is kept.
	for _, bad := range []func(*store.AuditRecord){
		func(r *store.AuditRecord) { r.ID = "no id" },
		func(r *store.AuditRecord) { r.Who = "a\x00b" },
		func(r *store.AuditRecord) { r.Command = []string{"\xff"} },
		func(r *store.AuditRecord) { r.Name = strings.Repeat("x", 2500) },
	} {
		h.wantCode(h.Store.PutAudit(h.ctx, []store.AuditRecord{Record(h.tenant, now, 5), Record(h.tenant, now, 6, bad)}), fault.BadRequest)
	}
	_, err := h.Store.Audit(h.ctx, h.tenant, store.AuditFilter{}, "no id", 1)
	h.wantCode(err, fault.BadRequest)
	h.equal(len(h.audit(store.AuditFilter{})), 4)

	other := h.newTenant("other")
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{Record(other, now, 9), Record(h.tenant, now, 10)}))
	h.equal(len(h.audit(store.AuditFilter{})), 5)
	theirs, err := h.Store.Audit(h.ctx, other, store.AuditFilter{}, "", 10)
	h.equal([]any{len(theirs), err}, []any{1, nil})
}

func auditFilters(_ *testing.T, h *house) {
	now := time.Now().Truncate(time.Second)
	var records []store.AuditRecord
	add := func(name string, change func(*store.AuditRecord)) {
		n := len(records)
		records = append(records, Record(h.tenant, now.Add(time.Duration(n-20)*time.Minute), n, func(r *store.AuditRecord) { r.Name = name }, change))
	}
	add("a", func(r *store.AuditRecord) { r.Who, r.Verb = "bob", "list" })
	add("b", func(r *store.AuditRecord) { r.Cluster, r.Namespace = 8, "bank" })
	add("c", func(r *store.AuditRecord) { r.Cluster, r.Namespace = 9, "team" })
	add("d", func(r *store.AuditRecord) { r.Cluster, r.Namespace, r.Resource, r.Via = 0, "", "tokens", "api" })
	add("e", func(r *store.AuditRecord) { r.Verb, r.Outcome, r.Namespace = "delete", store.AuditRefused, "" })
	add("f", func(r *store.AuditRecord) { opened(r); r.Verb, r.Request = "watch", "request-0" })
	h.must(h.Store.PutAudit(h.ctx, records))
	view := func(clusters map[fleet.ClusterID][]string) *fleet.View {
		return &fleet.View{Tenant: h.tenant, Clusters: clusters}
	}
	many := map[fleet.ClusterID][]string{7: {"shop"}, 8: nil}
	for i := range fleet.ClusterID(10) {
		many[100+i] = nil
	}
	for _, c := range []struct {
		filter store.AuditFilter
		want   string
	}{
		{store.AuditFilter{}, "f e d c b a"},
		{store.AuditFilter{Who: "bob"}, "a"},
		{store.AuditFilter{Verb: "delete"}, "e"},
		{store.AuditFilter{Verb: "watch"}, "f"},
		{store.AuditFilter{Verb: "list", Writes: true}, ""},
		{store.AuditFilter{Resource: "tokens"}, "d"},
		{store.AuditFilter{Namespace: "bank"}, "b"},
		{store.AuditFilter{Name: "c"}, "c"},
		{store.AuditFilter{Name: "c", Writes: true}, "c"},
		{store.AuditFilter{Request: "request-0"}, "f a"},
		{store.AuditFilter{Via: "api"}, "d"},
		{store.AuditFilter{Cluster: 7}, "f e a"},
		{store.AuditFilter{Outcome: store.AuditRefused}, "e"},
		{store.AuditFilter{Outcome: store.AuditOpen}, "f"},
		{store.AuditFilter{Writes: true}, "e d c b"},
		{store.AuditFilter{From: records[1].At, To: records[3].At}, "c b"},
		{store.AuditFilter{To: records[0].At}, ""},
		{store.AuditFilter{View: &fleet.View{Tenant: h.tenant, Everything: true}}, "f e d c b a"},
		{store.AuditFilter{View: view(nil)}, ""},
		{store.AuditFilter{View: view(map[fleet.ClusterID][]string{7: nil})}, "f e a"},
		{store.AuditFilter{View: view(map[fleet.ClusterID][]string{7: {"shop"}, 8: nil})}, "f b a"},
		{store.AuditFilter{View: view(map[fleet.ClusterID][]string{7: {"shop"}, 8: nil}), Cluster: 8}, "b"},
		{store.AuditFilter{View: view(map[fleet.ClusterID][]string{7: {"shop"}, 8: nil}), Cluster: 9}, ""},
		{store.AuditFilter{View: view(map[fleet.ClusterID][]string{0: {"team"}, 7: {"shop", "team"}})}, "f c a"},
		{store.AuditFilter{View: view(map[fleet.ClusterID][]string{0: {"bank"}}), Cluster: 8}, "b"},
		{store.AuditFilter{View: view(many)}, "f b a"},
		{store.AuditFilter{View: view(many), Writes: true, Verb: "create"}, "b"},
	} {
		if got := h.auditNames(c.filter); got != c.want {
			h.Errorf("%+v gives %q, want %q", c.filter, got, c.want)
		}
	}
}

// auditAbandoned: what a dead hub left open is told as what nobody knows; a living one's isn't.
func auditAbandoned(_ *testing.T, h *house) {
	now := time.Now().Add(-time.Hour)
	of := func(hub string) func(*store.AuditRecord) {
		return func(r *store.AuditRecord) { r.Hub, r.Name = hub, hub }
	}
	dead, alive := Record(h.tenant, now, 1, opened, of("dead")), Record(h.tenant, now, 2, opened, of("alive"))
	young := Record(h.tenant, time.Now(), 3, opened, of("unseen"))
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{dead, alive, young}))
	h.must(h.Store.SeeHub(h.ctx, "dead"))
	h.must(h.Exec(h.ctx, `UPDATE audit_hubs SET seen = (SELECT o.at FROM audit_open o WHERE o.hub = 'dead')`))
	h.must(h.Store.SeeHub(h.ctx, "alive"))
	h.must(h.Store.SeeHub(h.ctx, "alive"))
	n, err := h.Store.AbandonAudit(h.ctx, time.Minute, 100)
	h.equal([]any{n, err}, []any{1, nil})
	h.equal(h.auditNames(store.AuditFilter{Outcome: store.AuditUnknown}), "dead")
	h.equal(h.auditNames(store.AuditFilter{Outcome: store.AuditOpen}), "unseen alive")
	h.equal(h.count("audit_hubs"), 1)
	// It was only cut off, and knows after all.
	late := Record(h.tenant, now, 1, of("dead"))
	h.must(h.Store.PutAudit(h.ctx, []store.AuditRecord{late}))
	h.equal(h.audit(store.AuditFilter{Outcome: store.AuditDone}), []store.AuditRecord{late})
	n, err = h.Store.AbandonAudit(h.ctx, 0, 1)
	h.equal([]any{n, err}, []any{1, nil})
	n, err = h.Store.AbandonAudit(h.ctx, 0, 1)
	h.equal([]any{n, err}, []any{1, nil})
	h.equal(h.auditNames(store.AuditFilter{Outcome: store.AuditUnknown}), "unseen alive")
}

// auditDropped: by whole days, as far as bodies differ in how exactly they go by the time.
func auditDropped(_ *testing.T, h *house) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var records []store.AuditRecord
	for i, age := range []int{-75, -74, -73, -48, 0, 1, 24} {
		records = append(records, Record(h.tenant, today.Add(time.Duration(age)*time.Hour), i, func(r *store.AuditRecord) { r.Name = fmt.Sprint(i) }))
	}
	records = append(records, Record(h.tenant, today.Add(-90*time.Hour), 9, opened, func(r *store.AuditRecord) { r.Name = "open" }))
	h.must(h.Store.PutAudit(h.ctx, records))
	h.equal(h.auditNames(store.AuditFilter{}), "6 5 4 3 2 1 0 open")
	drop := func(before time.Time) {
		h.Helper()
		steps := 0
		for more := true; more; steps++ {
			var err error
			more, err = h.Store.DropAudit(h.ctx, before, 2)
			h.must(err)
		}
		if steps > 5 {
			h.Errorf("%d steps", steps)
		}
	}
	drop(today.Add(-72 * time.Hour))
	h.equal(h.auditNames(store.AuditFilter{}), "6 5 4 3 open")
	drop(today.Add(24 * time.Hour))
	h.equal(h.auditNames(store.AuditFilter{}), "6 open")
	h.must(h.Store.PutAudit(h.ctx, records[5:6])) // of a day that was dropped
	h.equal(h.auditNames(store.AuditFilter{}), "6 5 open")
}

// HotRecords fills the record with so many requests, one in ten of which changes something.
func HotRecords(ctx context.Context, t testing.TB, s store.Store, f Fleet, count int) {
	t.Helper()
	var page []store.AuditRecord
	begin := time.Now().Add(-time.Duration(count) * time.Millisecond)
	for i := range count {
		page = append(page, Record(f.Tenant, begin.Add(time.Duration(i)*time.Millisecond), i%60000, func(r *store.AuditRecord) {
			r.Who, r.Cluster, r.Namespace, r.Name = fmt.Sprint("user-", i%97), f.At.Cluster, fmt.Sprint("team-", i%20), fmt.Sprint("web-", i%5000)
			r.Request = fmt.Sprint("request-", i/3)
			if r.Verb = "get"; i%10 == 0 {
				r.Verb = "delete"
			}
			if i%7 == 0 {
				r.Cluster = f.First
			}
			if i%100 == 99 {
				opened(r)
			}
		}))
		if len(page) == 1000 || i == count-1 {
			if err := s.PutAudit(ctx, page); err != nil {
				t.Fatal(err)
			}
			page = page[:0]
		}
	}
}

// AuditQueries asks the record what people ask it; name is told before each. No plan of theirs may walk the table or sort more than a page of it.
func AuditQueries(ctx context.Context, t testing.TB, a store.Audit, f Fleet, name func(string)) {
	t.Helper()
	newest, err := a.Audit(ctx, f.Tenant, store.AuditFilter{}, "", 500)
	if err != nil || len(newest) < 500 {
		t.Fatal(len(newest), err)
	}
	middle := newest[499].ID
	some := &fleet.View{Tenant: f.Tenant, Clusters: map[fleet.ClusterID][]string{f.At.Cluster: {"team-1", "team-3"}, f.First: nil}}
	for _, q := range []struct {
		name   string
		filter store.AuditFilter
	}{
		{"everything", store.AuditFilter{}},
		{"a cluster", store.AuditFilter{Cluster: f.First}},
		{"a principal", store.AuditFilter{Who: "user-5"}},
		{"a request", store.AuditFilter{Request: "request-77"}},
		{"what changed something", store.AuditFilter{Writes: true}},
		{"what was deleted", store.AuditFilter{Verb: "delete"}},
		{"who changed an object", store.AuditFilter{Name: "web-4990", Writes: true}},
		{"two clusters", store.AuditFilter{View: some}},
		{"an hour", store.AuditFilter{From: time.Now().Add(-time.Hour)}},
	} {
		for _, before := range []string{"", middle} {
			name(q.name)
			if rows, err := a.Audit(ctx, f.Tenant, q.filter, before, 50); err != nil || len(rows) == 0 {
				t.Errorf("%s: %d rows, %v", q.name, len(rows), err)
			}
		}
	}
}
