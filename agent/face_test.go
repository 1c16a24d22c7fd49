package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/agent/internal/enroll"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func ask(t *testing.T, from http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	from.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code, w.Body.String()
}

// An agent that isn't ready lives; what else is asked there isn't served.
func TestFace(t *testing.T) {
	var why error = fault.Wrap(errors.New("10.0.0.1 refused"), fault.Unavailable, "not yet")
	f := face{ready: func() error { return why }, metrics: prometheus.NewRegistry(), log: zap.NewNop()}
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"GET", "/readyz", 503, "not yet\n"},
		{"GET", "/metrics", 200, ""},
		{"POST", "/readyz", 405, "Method Not Allowed\n"},
		{"GET", "/", 404, "404 page not found\n"},
		{"GET", "/debug/pprof/", 404, "404 page not found\n"},
	} {
		if status, says := ask(t, f.doors(), c.method, c.path); status != c.status || says != c.says {
			t.Errorf("%s %s: %d %q", c.method, c.path, status, says)
		}
	}
	why = nil
	if status, says := ask(t, f.doors(), "GET", "/readyz"); status != 200 || says != "ok\n" {
		t.Errorf("ready: %d %q", status, says)
	}
}

// The listener ends with the agent; an address that isn't free ends the agent, and none is no listener.
func TestFaceListens(t *testing.T) {
	seen, told := observer.New(zap.InfoLevel)
	f := face{ready: func() error { return nil }, metrics: prometheus.NewRegistry(), log: zap.New(seen)}
	if err := f.serve(t.Context(), ""); err != nil {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.serve(ctx, "127.0.0.1:0") }()
	for end := time.Now().Add(10 * time.Second); told.Len() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it doesn't listen")
		}
	}
	at := told.All()[0].ContextMap()["at"].(string)
	r, err := http.Get("http://" + at + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if r.StatusCode != 200 || string(text) != "ok\n" {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := f.serve(t.Context(), at); err == nil || !strings.Contains(err.Error(), "can't be listened on") {
		t.Errorf("an address that is taken: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", at); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
}

// Ready is who is enrolled and has listed the cluster, whatever became of the hub since.
func TestReady(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Hub = "tls://127.0.0.1:1"
	a := &Agent{cfg: cfg, log: zap.NewNop(), rest: &rest.Config{Host: "http://127.0.0.1:1"}}
	var err error
	if a.table, err = cfg.ruleTable(); err != nil {
		t.Fatal(err)
	}
	if err := a.furnish(); err != nil {
		t.Fatal(err)
	}
	if err := a.ready(); err == nil || !strings.Contains(err.Error(), "not enrolled") {
		t.Errorf("before the enrolment: %v", err)
	}
	if a.certificateEnd() != 0 {
		t.Error("there is no certificate, and yet it ends")
	}
	a.member.Store(&enroll.Member{})
	if err := a.ready(); err == nil || !strings.Contains(err.Error(), "still being listed") {
		t.Errorf("before the cluster is known: %v", err)
	}
}
