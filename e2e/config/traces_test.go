package config

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// collector takes traces.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	spans  []byte // of all messages, as they came
	header http.Header
}

func collect(t *testing.T) *collector {
	c := &collector{header: http.Header{}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	plain, err := gzip.NewReader(r.Body)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(plain)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans, c.header = append(c.spans, text...), r.Header
}

// has tells whether a word was in what came.
func (c *collector) has(word string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.spans, []byte(word))
}

// traced gives what a program's collector got of a program that was told so, after it ended: what is left is sent then.
func traced(t *testing.T, run func(t *testing.T, args ...string) (stop func()), args ...string) *collector {
	t.Helper()
	c := collect(t)
	run(t, append([]string{"--trace-endpoint=" + c.URL}, args...)...)()
	return c
}

func traceTries(program string, run func(t *testing.T, args ...string) (stop func())) map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"trace.endpoint": func(t *testing.T) {
			if !traced(t, run, "--trace-sample=1").has(program) {
				t.Error("nothing came")
			}
		},
		"trace.sample": func(t *testing.T) {
			for share, comes := range map[string]bool{"0": false, "1": true} {
				if got := traced(t, run, "--trace-sample="+share).has(program); got != comes {
					t.Errorf("of a share of %s something came: %v", share, got)
				}
			}
		},
		"trace.headers": func(t *testing.T) {
			if got := traced(t, run, "--trace-sample=1", "--trace-headers=x-key=hush").header.Get("X-Key"); got != "hush" {
				t.Errorf("the header is %q", got)
			}
		},
	}
}

func hubTraces() map[string]func(*testing.T) {
	tries := traceTries("kubilitics-hub", func(t *testing.T, args ...string) func() {
		r := serve(t, t.TempDir(), "", args...)
		ask(t, r, "GET", "/api/v1/me", "")
		return r.stop
	})
	tries["trace.trust"] = func(t *testing.T) {
		for _, trust := range []bool{false, true} {
			got := traced(t, func(t *testing.T, args ...string) func() {
				r := serve(t, t.TempDir(), "", args...)
				ask(t, r, "GET", "/api/v1/me", "", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
				return r.stop
			}, "--trace-sample=0", fmt.Sprint("--trace-trust=", trust))
			if got.has("kubilitics-hub") != trust {
				t.Errorf("a client who wants its request traced is believed, with trust %v", trust)
			}
		}
	}
	return tries
}

func agentTraces() map[string]func(*testing.T) {
	return traceTries("kubilitics-agent", func(t *testing.T, args ...string) func() {
		r := serve(t, t.TempDir(), "")
		id, _, stop := r.real(t, "", args...)
		r.live(t, id)
		name := fmt.Sprint("traced-", time.Now().UnixNano()) // changes are traced
		if err := cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+name+", namespace: shown}\n")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the change is told", func() error {
			got := names(t, r, "ConfigMap")
			return want(strings.Contains(got, name), got)
		})
		return stop
	})
}
