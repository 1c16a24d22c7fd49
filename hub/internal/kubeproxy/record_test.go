package kubeproxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/store"
)

func TestWhatIsOnRecord(t *testing.T) {
	r := newRig(t)
	c := r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasSuffix(req.URL.Path, "/broken"):
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case req.Method == http.MethodPost:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"kind":"Secret","metadata":{"name":"given-7"},"data":{"password":"aHVudGVyMg=="}}`)
		case req.Method == http.MethodDelete:
			w.WriteHeader(http.StatusConflict)
		}
	})
	reader := who("ann", fleet.Binding{Verbs: []string{"get"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}})
	for _, step := range []struct {
		as           fleet.Principal
		method, path string
		want         string
	}{
		{everything("boss"), "GET", pods + "/a", "boss get pods shop/a 200 done"},
		{everything("boss"), "GET", "/version", "boss get /version 200 done"},
		{everything("boss"), "POST", "/api/v1/namespaces/shop/secrets?dryRun=All", "boss create secrets shop/given-7 dry 201 done"},
		{everything("boss"), "DELETE", "/apis/apps/v1/namespaces/shop/deployments/a", "boss delete apps/v1 deployments shop/a 409 Conflict failed"},
		{everything("boss"), "GET", pods + "/broken", "boss get pods shop/broken 200 the answer was cut off failed"},
		{everything("boss"), "POST", pods + "/a/exec?command=sh&command=-c&command=id&container=x", "boss create pods/exec shop/a [sh -c id] 201 done"},
		{reader, "DELETE", pods + "/a", "ann delete pods shop/a 403 Forbidden refused"},
		{reader, "GET", "/api/v1/namespaces/shop/../pods", "ann other /api/v1/namespaces/shop/../pods 400 BadRequest failed"},
	} {
		r.as(step.as)
		before := len(r.audit.all())
		req, _ := http.NewRequestWithContext(t.Context(), step.method, r.hub.URL+step.path, nil)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		var got store.AuditRecord
		eventually(t, step.want, func() bool {
			all := r.audit.all()
			if len(all) == before+1 {
				got = all[before]
			}
			return got.Outcome != "" && got.Outcome != store.AuditOpen
		})
		if text := recordText(got); text != step.want {
			t.Errorf("on record is %s\nwant         %s", text, step.want)
		}
		if got.Cluster != c.at.Cluster || got.Tenant != tenant || got.From != "192.0.2.1" || got.Agent != "kubectl/v1" || got.Request != "req-1" || got.Via != "kubernetes" ||
			got.Token != "token-of-"+step.as.Name || len(got.Groups) != 2 || strings.Contains(fmt.Sprint(got), "aHVudGVyMg") {
			t.Errorf("%+v", got)
		}
	}
}

// Who leaves before there is an answer was answered nothing: no status stands for it.
func TestWhoLeavesIsOnRecord(t *testing.T) {
	r := newRig(t)
	began := make(chan struct{})
	r.cluster("eu-1", func(_ http.ResponseWriter, req *http.Request) {
		close(began)
		<-req.Context().Done()
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	if resp, err := r.send(ctx, "GET", pods+"/a", nil); err == nil {
		t.Fatal(resp.Status)
	}
	want := "boss get pods shop/a 0 the client left before it was answered failed"
	eventually(t, want, func() bool {
		all := r.audit.all()
		return len(all) == 1 && recordText(all[0]) == want
	})
}

func recordText(r store.AuditRecord) string {
	parts := []string{r.Who, r.Verb}
	if r.Group != "" {
		parts = append(parts, r.Group+"/"+r.Version)
	}
	if r.Resource != "" {
		parts = append(parts, r.Resource, r.Namespace+"/"+r.Name)
	} else {
		parts = append(parts, r.Path)
	}
	if len(r.Command) > 0 {
		parts = append(parts, fmt.Sprint(r.Command))
	}
	if r.DryRun {
		parts = append(parts, "dry")
	}
	parts = append(parts, fmt.Sprint(r.Status))
	if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	return strings.Join(append(parts, string(r.Outcome)), " ")
}

// What changes something is on record before it is done, and isn't done where it can't be.
func TestNothingIsDoneOffTheRecord(t *testing.T) {
	r := newRig(t)
	var open []store.AuditRecord
	r.cluster("eu-1", func(http.ResponseWriter, *http.Request) { open = r.audit.all() })
	if code, _ := r.do("DELETE", pods+"/a", nil); code != 200 || len(open) != 1 || open[0].Outcome != store.AuditOpen {
		t.Errorf("%d; on record while it was done: %+v", code, open)
	}
	open = nil
	r.audit.fail.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if resp, err := r.send(ctx, "DELETE", pods+"/a", nil); err == nil {
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("answered with %d", resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
	if open != nil {
		t.Error("it was done though it could not be put on record")
	}
	r.audit.fail.Store(false)
}

func TestLimits(t *testing.T) {
	ann, bob := everything("ann"), everything("bob")
	for name, c := range map[string]struct {
		limits kubeproxy.Limits
		path   string
		others bool // bob is still served
		what   string
	}{
		"requests of a user":    {kubeproxy.Limits{UserRequests: 2}, pods, true, `"ann" has 2 requests under way already`},
		"requests to a cluster": {kubeproxy.Limits{ClusterRequests: 2}, pods, false, "has 2 requests under way already"},
		"streams of a user":     {kubeproxy.Limits{UserStreams: 2}, pods + "?watch=1", true, `"ann" has 2 watches and connections under way already`},
		"streams to a cluster":  {kubeproxy.Limits{ClusterStreams: 2}, pods + "?watch=1", false, "has 2 watches and connections under way already"},
		"the rate of a user":    {kubeproxy.Limits{UserRate: 1}, pods, true, `"ann" sends more than 1 requests a second`},
		"the rate to a cluster": {kubeproxy.Limits{ClusterRate: 1}, pods, false, "is sent more than 1 requests a second"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(cfg *kubeproxy.Config) { cfg.Limits = c.limits })
			release := make(chan struct{})
			r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
				_ = http.NewResponseController(w).Flush()
				select {
				case <-release:
				case <-req.Context().Done():
				}
			})
			r.as(ann)
			for range 2 {
				resp, err := r.send(t.Context(), "GET", c.path, nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
				defer resp.Body.Close()
			}
			resp, err := r.send(t.Context(), "GET", c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if s := statusOf(t, string(text)); s.Code != 429 || !strings.Contains(s.Message, c.what) || resp.Header.Get("Retry-After") != "1" {
				t.Errorf("%s, Retry-After %s", text, resp.Header.Get("Retry-After"))
			}
			r.as(bob)
			resp, err = r.send(t.Context(), "GET", c.path, nil)
			if err != nil || (resp.StatusCode == 200) != c.others {
				t.Errorf("another user: %v %v", resp, err)
			}
			defer resp.Body.Close()
			close(release)
			r.as(ann)
			eventually(t, "there is room again", func() bool { code, _ := r.do("GET", c.path, nil); return code == 200 })
		})
	}
}
