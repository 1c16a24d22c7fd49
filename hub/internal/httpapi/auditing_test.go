package httpapi

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// wrote puts records as they are, each a millisecond after the one before.
func (r *rig) wrote(records ...store.AuditRecord) {
	r.t.Helper()
	begin := time.Now().Add(-time.Duration(len(records)) * time.Millisecond)
	for i := range records {
		x := &records[i]
		x.ID, x.Tenant = uuid.Must(uuid.NewV7()).String(), or(x.Tenant, r.tenant)
		x.At, x.Outcome, x.Via = begin.Add(time.Duration(i)*time.Millisecond), or(x.Outcome, store.AuditDone), or(x.Via, "kubernetes")
	}
	if err := r.store.PutAudit(r.t.Context(), records); err != nil {
		r.t.Fatal(err)
	}
}

// told gives what an answer of the record holds as "who verb resource/name outcome status".
func (p reply) told() string {
	var out []string
	items, _ := p.json["items"].([]any)
	for _, item := range items {
		m := item.(map[string]any)
		text := func(key string) string {
			if v := m[key]; v != nil {
				return fmt.Sprint(v)
			}
			return "-"
		}
		out = append(out, fmt.Sprintf("%s %s %s/%s %s %s", text("who"), text("verb"), text("resource"), text("name"), text("outcome"), text("status")))
	}
	return strings.Join(out, "; ")
}

// settled asks until nothing is open and there are so many records.
func (r *rig) settled(token, path string, count int) reply {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		a := r.get(token, path)
		items, _ := a.json["items"].([]any)
		if len(items) == count && !strings.Contains(a.text, `"open"`) {
			return a
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d records, want %d: %s", len(items), count, a.text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestOwnChangesAreOnRecord: what is changed by this interface, and what was refused or wrong.
func TestOwnChangesAreOnRecord(t *testing.T) {
	r := newRig(t, options{})
	reader := r.token("reader", "get,list,watch * *")
	made := r.do(r.admin, "POST", "/api/v1/tokens", `{"name":"ci","bindings":[{"verbs":["get"],"clusters":["*"],"namespaces":["*"]}]}`, "X-Request-Id", "req-1", "Idempotency-Key", "k")
	made.expect(t, 201)
	r.do(r.admin, "POST", "/api/v1/tokens", `{"name":"ci","bindings":[{"verbs":["get"],"clusters":["*"],"namespaces":["*"]}]}`, "Idempotency-Key", "k").expect(t, 201)
	id := made.json["id"].(string)
	r.do(reader, "DELETE", "/api/v1/tokens/"+id, "").expect(t, 403)
	r.do(r.admin, "DELETE", "/api/v1/tokens/"+id, "").expect(t, 204)
	r.do(r.admin, "DELETE", "/api/v1/tokens/"+id, "").expect(t, 404)
	r.do(r.admin, "PATCH", "/api/v1/clusters/{shop}", `{"name":`).expect(t, 400)
	r.do(r.admin, "PATCH", "/api/v1/clusters/{shop}?nonsense=1", `{"name":"shop2"}`).expect(t, 400)
	r.do("nobody", "DELETE", "/api/v1/clusters/{shop}", "").expect(t, 401) // nobody to be told of
	r.get(r.admin, "/api/v1/tokens").expect(t, 200)                        // reads aren't

	shop := r.shop.ID.String()
	want := "bootstrap-admin patch clusters/" + shop + " failed 400; bootstrap-admin patch clusters/" + shop + " failed 400; bootstrap-admin delete tokens/" + id + " failed 404; " +
		"bootstrap-admin delete tokens/" + id + " done 204; reader delete tokens/" + id + " refused 403; bootstrap-admin create tokens/- done 201; " +
		"bootstrap-admin create tokens/" + id + " done 201"
	all := r.settled(r.admin, "/api/v1/audit", 7)
	if got := all.told(); got != want {
		t.Errorf("on record: %s\nwant %s", got, want)
	}
	all.expect(t, 200, `"shown":"everything"`, `"via":"api"`, `"from":"127.0.0.1"`, `"userAgent":"Go-http-client/1.1"`, `"path":"/api/v1/tokens"`, `"cluster":"`+shop+`"`)
	if one := r.get(r.admin, "/api/v1/audit?request=req-1"); one.told() != "bootstrap-admin create tokens/"+id+" done 201" {
		t.Error(one.text)
	}
	if secret := made.json["secret"].(string); strings.Contains(all.text, secret) {
		t.Error("a secret is on record")
	}
}

// deaf is a store whose record can't be written.
type deaf struct{ store.Store }

func (deaf) PutAudit(context.Context, []store.AuditRecord) error {
	return fault.New(fault.Unavailable, "no")
}

func TestNothingIsChangedThatIsNotOnRecord(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) {
		log := audit.New(audit.Config{Store: deaf{c.Store.(store.Store)}, Drain: 1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- log.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		c.Audit = log
	}})
	r.do(r.admin, "DELETE", "/api/v1/clusters/{shop}", "").expect(t, 503, "on record first")
	r.get(r.admin, "/api/v1/clusters/{shop}").expect(t, 200)
}

func TestWhoSeesWhichRecords(t *testing.T) {
	r := newRig(t, options{})
	other := querytest.New(t, r.store, r.tenant, "other")
	foreign, err := r.store.EnsureTenant(t.Context(), "foreign")
	if err != nil {
		t.Fatal(err)
	}
	on := func(who string, cluster fleet.ClusterID, namespace, name string) store.AuditRecord {
		return store.AuditRecord{Who: who, Verb: "delete", Resource: "pods", Cluster: cluster, Namespace: namespace, Name: name}
	}
	theirs := on("ada", r.shop.ID, "shop", "f")
	theirs.Tenant = foreign.ID
	r.wrote(on("ada", r.shop.ID, "shop", "a"), on("bob", r.shop.ID, "bank", "b"), on("ada", other.ID, "shop", "c"), on("bob", r.shop.ID, "", "d"), on("ada", 0, "", "e"), theirs)
	shop := r.shop.ID.String()
	for _, c := range []struct {
		name, bindings, path, shown, want string
	}{
		{"root", "* * *", "", "everything", "e d c b a"},
		{"keeper", "admin " + shop + " *", "", "part", "d b a"},
		{"keeper of a namespace", "admin " + shop + " shop", "", "part", "a"},
		{"keeper of a namespace everywhere", "admin * shop", "", "part", "c a"},
		{"keeper asks of another", "admin " + shop + " *", "&cluster=" + other.ID.String(), "part", ""},
		{"ada", "get,list,watch,delete * *", "", "own", "e c a"},
		{"ada", "get * *", "&who=ada&cluster=" + shop, "own", "a"},
		{"ada", "get * *", "&who=bob", "own", ""},
		{"nobody", "create * *", "", "own", ""},
		{"nobody", "admin " + shop + " shop", "&who=bob", "part", ""},
	} {
		a := r.get(r.token(c.name, c.bindings), "/api/v1/audit?resource=pods"+c.path)
		var names []string
		for item := range strings.SplitSeq(a.told(), "; ") {
			if _, name, ok := strings.Cut(item, "pods/"); ok {
				names = append(names, name[:1])
			}
		}
		if got := strings.Join(names, " "); got != c.want || a.json["shown"] != c.shown {
			t.Errorf("%s (%s) sees %q as %v, want %q as %s", c.name, c.bindings, got, a.json["shown"], c.want, c.shown)
		}
		lines := strings.Count(r.get(r.token(c.name, c.bindings), "/api/v1/audit/export?format=ndjson&resource=pods"+c.path).text, "\n")
		if lines != len(names) {
			t.Errorf("%s exports %d records", c.name, lines)
		}
	}
}

// A ticket for one cluster tells its holder nothing of what was done in others, not even by who had it made.
func TestATicketSeesTheRecordsOfItsCluster(t *testing.T) {
	r := newRig(t, options{})
	other := querytest.New(t, r.store, r.tenant, "other")
	on := func(cluster fleet.ClusterID, name string) store.AuditRecord {
		return store.AuditRecord{Who: "ada", Verb: "delete", Resource: "pods", Cluster: cluster, Namespace: "shop", Name: name}
	}
	r.wrote(on(r.shop.ID, "a"), on(other.ID, "b"), on(0, "c"))
	token := r.token("ada", "get,list * *")
	ticket := r.do(token, "POST", "/api/v1/me/ticket", `{"cluster":"`+r.shop.ID.String()+`"}`).json["token"].(string)
	const a, b, c = "ada delete pods/a done -", "ada delete pods/b done -", "ada delete pods/c done -"
	for _, q := range []struct{ token, path, want string }{
		{token, "", c + "; " + b + "; " + a}, {ticket, "", a}, {ticket, "&cluster={shop}", a}, {ticket, "&cluster=" + other.ID.String(), ""},
	} {
		if got := r.get(q.token, "/api/v1/audit?resource=pods"+q.path); got.told() != q.want {
			t.Errorf("%s: %s", q.path, got.text)
		}
	}
}

func TestAuditPagesAndFilters(t *testing.T) {
	r := newRig(t, options{})
	var records []store.AuditRecord
	for i := range 25 {
		x := store.AuditRecord{Who: "ada", Verb: "get", Resource: "pods", Name: fmt.Sprint("p", i), Status: 200, Took: 1500 * time.Microsecond}
		if i%5 == 0 {
			x.Verb, x.Outcome, x.Status = "delete", store.AuditRefused, 403
		}
		records = append(records, x)
	}
	r.wrote(records...)
	seen, pages := "", 0
	for next := ""; ; pages++ {
		a := r.get(r.admin, "/api/v1/audit?limit=10&from=-1h"+next)
		a.expect(t, 200, `"tookMs":1.5`)
		for item := range strings.SplitSeq(a.told(), "; ") {
			seen += strings.Fields(item)[2] + " "
		}
		token, more := a.json["continue"].(string)
		if !more {
			break
		}
		next = "&continue=" + token
	}
	if n := strings.Count(seen, "pods/"); n != 25 || pages != 2 || !strings.HasPrefix(seen, "pods/p24 pods/p23 ") || !strings.HasSuffix(seen, "pods/p0 ") {
		t.Errorf("%d pages, %d records: %s", pages+1, n, seen)
	}
	for query, count := range map[string]int{
		"writes=true": 5, "verb=get": 20, "outcome=refused": 5, "name=p3": 1, "who=bob": 0, "to=-1h": 0, "from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z": 25, "via=drain": 0,
	} {
		if items := r.get(r.admin, "/api/v1/audit?"+query).json["items"].([]any); len(items) != count {
			t.Errorf("%s gives %d records, want %d", query, len(items), count)
		}
	}
	for _, bad := range []string{"continue=x", "from=yesterday", "from=17", "cluster=x", "outcome=fine", "whom=ada", "limit=9999"} {
		r.get(r.admin, "/api/v1/audit?"+bad).expect(t, 400, "BAD_REQUEST")
	}
	r.get(r.admin, "/api/v1/audit/export").expect(t, 400)
	r.get(r.admin, "/api/v1/audit/export?format=csv&from=17").expect(t, 400)
}

func TestAuditExport(t *testing.T) {
	r := newRig(t, options{})
	evil := store.AuditRecord{
		Who: `=cmd|'/C calc'!A0`, Agent: "@x,\"y\"\nz", Verb: "create", Resource: "pods/exec", Groups: []string{"a", "b"}, Command: []string{"sh", "-c", "a,b"}, Cluster: r.shop.ID, Status: 101,
	}
	var records []store.AuditRecord
	for range 2*exportPage + 7 {
		records = append(records, store.AuditRecord{Who: "ada", Verb: "get", Resource: "pods"})
	}
	r.wrote(append(records, evil)...)
	file := r.get(r.admin, "/api/v1/audit/export?format=csv")
	file.expect(t, 200)
	rows, err := csv.NewReader(strings.NewReader(file.text)).ReadAll()
	if err != nil || len(rows) != len(records)+2 || !reflect.DeepEqual(rows[0], auditColumns) {
		t.Fatal(len(rows), err)
	}
	row := rows[1]
	if got := strings.Join([]string{row[3], row[4], row[7], row[9], row[17], row[20]}, "|"); got !=
		`'=cmd|'/C calc'!A0|a b|'@x,"y"`+"\n"+`z|`+r.shop.ID.String()+`|["sh","-c","a,b"]|101` {
		t.Error(got)
	}
	if kind := file.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/csv") || !strings.Contains(file.header.Get("Content-Disposition"), ".csv") {
		t.Error(file.header)
	}
	lines := r.get(r.admin, "/api/v1/audit/export?format=ndjson")
	lines.expect(t, 200, `"command":["sh","-c","a,b"]`)
	if n := strings.Count(lines.text, "\n"); n != len(records)+1 {
		t.Errorf("%d lines", n)
	}
}

// halting is a store whose record can be read for a page only.
type halting struct{ Store }

func (h halting) Audit(ctx context.Context, tenant fleet.TenantID, f store.AuditFilter, before string, limit int) ([]store.AuditRecord, error) {
	if before != "" {
		return nil, errors.New("broken")
	}
	return h.Store.Audit(ctx, tenant, f, before, limit)
}

// TestAnExportThatBreaksOffIsNotTakenForWhole: the answer doesn't end as answers end.
func TestAnExportThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.Store = halting{c.Store} }})
	r.wrote(make([]store.AuditRecord, exportPage+1)...)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/v1/audit/export?format=ndjson", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.admin)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil || strings.Count(string(text), "\n") > exportPage {
		t.Error(len(text), err)
	}
}
