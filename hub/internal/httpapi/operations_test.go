package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

func TestWhichRequestsLast(t *testing.T) {
	for path, want := range map[string][2]bool{ // lasts, applies
		"/api/v1/clusters/c1/nodes/n1/drain": {true, false}, "/api/v1/clusters/c1/nodes/a/b/drain": {}, "/api/v1/clusters/c1/nodes/n1/cordon": {},
		"/api/v1/clusters/c1/logs": {true, false}, "/api/v1/clusters/c1/apply": {false, true}, "/api/v1/clusters/c1/resources/-/-/cm/apply": {}, "/api/v1/clusters/c1/x/drain": {},
	} {
		if got := [2]bool{lasts(path), applies(path)}; got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestTagsAreVersions(t *testing.T) {
	for tag, want := range map[string]string{`"12"`: "12", "12": "12", "": "", "*": "", `W/"x"`: "!", `"1", "2"`: "!"} {
		q, err := WriteParams{IfMatch: tag}.query()
		if want == "!" && !fault.Is(err, fault.BadRequest) || want != "!" && (err != nil || q.Version != want) {
			t.Errorf("%s: got %+v, %v", tag, q, err)
		}
	}
}

// guarded is a cluster with one node and one Pod, which a budget keeps for ever.
type guarded struct{}

func (g guarded) Transport(kubeproxy.Caller, fleet.ClusterID) http.RoundTripper { return g }

func (guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]string{
		"/version": `{}`, "/api": `{"kind":"APIVersions","versions":["v1"]}`, "/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"/api/v1":          `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"nodes","kind":"Node"},{"name":"pods","kind":"Pod","namespaced":true}]}`,
		"/api/v1/nodes/n1": `{"metadata":{"name":"n1"}}`,
		"/api/v1/pods":     `{"items":[{"metadata":{"name":"a","namespace":"ns","uid":"u","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","controller":true}]}}]}`,
	}[r.URL.Path]
	switch {
	case strings.HasSuffix(r.URL.Path, "/eviction"):
		w.WriteHeader(http.StatusTooManyRequests)
		w.WriteString(`{"kind":"Status","apiVersion":"v1","status":"Failure","code":429,"message":"no","details":{"causes":[{"reason":"DisruptionBudget"}]}}`)
	case answer == "":
		kube.WriteStatus(w, fault.New(fault.NotFound, "nothing"))
	default:
		w.WriteString(answer)
	}
	return w.Result(), nil
}

// A hub that stops tells whoever drains that it does, and leaves nothing behind.
func TestDrainsEndWithTheHub(t *testing.T) {
	for _, accept := range []string{"application/x-ndjson", "text/event-stream"} {
		r := newRig(t, options{api: func(c *Config) { c.Ops, c.PingEvery = ops.New(ops.Config{Kube: guarded{}}), 50*time.Millisecond }})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/api/v1/clusters/"+r.shop.ID.String()+"/nodes/n1/drain", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + r.admin}, "Content-Type": {"application/json"}, "Accept": {accept}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != accept {
			t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
		}
		var steps []string
		closed := make(chan struct{})
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			text := bytes.TrimPrefix(lines.Bytes(), []byte("data: "))
			var s ops.DrainStep
			if json.Unmarshal(text, &s) != nil {
				continue // what else events are made of
			}
			if steps = append(steps, s.Step); s.Step == ops.StepWaiting && len(steps) == 4 {
				go func() {
					defer close(closed)
					r.api.Close()
				}()
			}
		}
		if got := strings.Join(steps, " "); !strings.HasPrefix(got, "cordoned evicting blocked waiting") || !strings.HasSuffix(got, "failed done") {
			t.Errorf("got %q", got)
		}
		<-closed
	}
}

// An operation that asks nothing of the cluster is on record by itself: who wanted it, and what it was about.
func TestOperationsThatSendNothingAreOnRecord(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.Ops = ops.New(ops.Config{Kube: guarded{}, Query: c.Query}) }})
	at := "/api/v1/clusters/{shop}"
	r.do(r.admin, "POST", at+"/apply", "kind: [", "Content-Type", "application/yaml").expect(t, 400)
	r.do(r.admin, "PATCH", at+"/resources/apps/v1/nonsense/shop/web", "{}", "Content-Type", "application/merge-patch+json").expect(t, 404)
	r.do(r.admin, "POST", at+"/nodes/n1/cordon?nonsense=1", "").expect(t, 400)
	r.do(r.admin, "DELETE", at+"/resources/-/-/pods/shop/web-a?dryRun=impact", "").expect(t, 200)
	all := r.settled(r.admin, "/api/v1/audit?writes=true", 4)
	want := "bootstrap-admin delete pods/web-a done 200; bootstrap-admin create clusters/nodes/cordon/n1 failed 400; bootstrap-admin patch nonsense/web failed 404; bootstrap-admin create clusters/apply/- failed 400"
	if got := all.told(); got != want {
		t.Errorf("on record: %s\nwant %s", got, want)
	}
	all.expect(t, 200, `"via":"api"`, `"dryRun":true`, `"group":"apps","version":"v1"`, `"namespace":"shop"`, `"cluster":"`+r.shop.ID.String()+`"`)
}
