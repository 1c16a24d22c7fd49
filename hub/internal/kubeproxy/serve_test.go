package kubeproxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const pods = "/api/v1/namespaces/shop/pods"

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "host": r.Host, "header": r.Header, "trailer": r.Trailer, "body": string(text),
	})
}

// watching sends events as they come, until the client has gone, which it tells.
func watching(events <-chan string, kind string, gone chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case e, ok := <-events:
				if !ok {
					return
				}
				_, _ = io.WriteString(w, e)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				gone <- struct{}{}
				return
			}
		}
	}
}

func within(t testing.TB, limit time.Duration, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(limit):
		t.Fatalf("not within %s: %s", limit, what)
	}
}

func TestARequestPassesAsItIs(t *testing.T) {
	r := newRig(t)
	r.cluster("eu-1", echo)
	code, text := r.do("PATCH", pods+"/a?fieldManager=me&dryRun=All&x=%2F%3B", strings.NewReader(`{"a":1}`), "Content-Type", "application/merge-patch+json",
		"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io", "Accept-Encoding", "gzip", "User-Agent", "kubectl/v1.37", "Authorization", "Bearer secret", "Cookie", "a=b",
		"X-Forwarded-For", "10.0.0.1", "Impersonate-User", "root", "Impersonate-Extra-Scopes", "x", "Kubilitics-User", "root", "X-Remote-User", "root", "X-Http-Method-Override", "DELETE")
	var got struct {
		Method, URI, Body string
		Header            map[string][]string
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 {
		t.Fatal(code, text, err)
	}
	if got.Method != "PATCH" || got.URI != pods+"/a?fieldManager=me&dryRun=All&x=%2F%3B" || got.Body != `{"a":1}` {
		t.Errorf("%+v", got)
	}
	want := map[string][]string{
		"Content-Type": {"application/merge-patch+json"}, "Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"kubectl/v1.37"},
		"Content-Length": {"7"}, "Kubilitics-User": {"boss"}, "Kubilitics-Group": {"devs", "ops"}, "Kubilitics-Request": {"req-1"},
	}
	if fmt.Sprint(got.Header) != fmt.Sprint(want) {
		t.Errorf("the agent got %v\nwant          %v", got.Header, want)
	}
}

func TestWhatIsRefusedNeverReachesTheCluster(t *testing.T) {
	r := newRig(t)
	var reached atomic.Int64
	c := r.cluster("eu-1", func(w http.ResponseWriter, _ *http.Request) { reached.Add(1) })
	r.as(who("ann", fleet.Binding{Verbs: []string{"get"}, Clusters: []string{c.at.Cluster.String()}, Namespaces: []string{"shop"}}))
	for _, step := range []struct {
		method, path string
		header       []string
		code         int
		message      string
	}{
		{"DELETE", pods + "/a", nil, 403, `"ann" may not delete pods here: the roles that this hub knows don't give the verb delete on the namespace shop of this cluster`},
		{"GET", pods + "/a/exec?command=sh", nil, 403, `"ann" may not get pods/exec here: the roles that this hub knows don't give the verb exec on the namespace shop of this cluster`},
		{"GET", pods + "/a", []string{"Cluster", fleet.ClusterID(5).String()}, 404, "there is no cluster " + fleet.ClusterID(5).String()},
		{"GET", "/api/v1//pods", nil, 400, "the path holds an empty segment"},
		{"GET", pods + "/a", []string{"Connection", "Kubilitics-User"}, 400, "the Connection header may not name Kubilitics-User"},
	} {
		code, text := r.do(step.method, step.path, nil, step.header...)
		if s := statusOf(t, text); code != step.code || s.Message != step.message {
			t.Errorf("%s %s: %d %s", step.method, step.path, code, s.Message)
		}
	}
	r.as(everything("ann "))
	if code, text := r.do("GET", pods, nil); code != 403 {
		t.Errorf("a name that a header would change: %d %s", code, text)
	}
	r.as(everything("ann"))
	r.gone.Store(true)
	eventually(t, "a cluster that was deleted is unknown", func() bool { code, _ := r.do("GET", pods, nil); return code == 404 })
	before := reached.Load()
	if code, _ := r.do("GET", pods, nil); code != 404 || reached.Load() != before {
		t.Error("a deleted cluster was reached")
	}
}

func TestWhatIsKnownOfAClusterIsAskedForSeldom(t *testing.T) {
	r := newRig(t)
	r.cluster("eu-1", echo)
	for range 50 {
		r.do("GET", pods, nil)
	}
	if n := r.asked.Load(); n > 10 {
		t.Errorf("50 requests asked %d times", n)
	}
}

func TestAnOfflineClusterIsSaidAtOnce(t *testing.T) {
	r := newRig(t)
	c := r.cluster("eu-1", echo)
	c.lose()
	began := time.Now()
	resp, err := r.send(t.Context(), "GET", pods, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	want := "cluster eu-1 (" + c.at.Cluster.String() + ") isn't connected to this hub; it was last heard at 2026-05-04T03:02:01Z"
	if s := statusOf(t, string(text)); resp.StatusCode != 503 || s.Message != want || s.Details != nil {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if after := resp.Header.Get("Retry-After"); after != "" || time.Since(began) > time.Second {
		t.Errorf("Retry-After %q, after %s", after, time.Since(began))
	}
	c.connect()
	if code, text := r.do("GET", pods, nil); code != 200 {
		t.Errorf("connected again: %d %s", code, text)
	}
}

func TestACancelledRequestEndsInTheCluster(t *testing.T) {
	for name, path := range map[string]string{"watch": pods + "?watch=true", "list": pods, "log": pods + "/a/log?follow=true"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			gone := make(chan struct{}, 1)
			began := make(chan struct{})
			r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
				defer func() { gone <- struct{}{} }()
				close(began)
				chunk := []byte(strings.Repeat("x", 64<<10))
				for req.Context().Err() == nil { // the window is full soon: nobody reads
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := r.send(ctx, "GET", path, nil)
			if err != nil {
				t.Fatal(err)
			}
			<-began
			cancel()
			within(t, time.Second, "the cluster is told that the client left", gone)
			_ = resp.Body.Close()
		})
	}
}

func TestATunnelThatIsLost(t *testing.T) {
	event := `{"type":"ADDED","object":{"kind":"Pod"}}` + "\n"
	for name, c := range map[string]struct {
		path, kind, sent string
		whole            bool // it ends in order
		last             string
	}{
		"between events":          {pods + "?watch=1", "application/json", event + event, true, "the connection to cluster eu-1"},
		"before the first":        {pods + "?watch=1", "application/json;stream=watch", "", true, "the peer was silent for 12s"},
		"within an event":         {pods + "?watch=1", "application/json", event + event[:9], false, ""},
		"between protobufs":       {pods + "?watch=1", "application/vnd.kubernetes.protobuf;stream=watch", "\x00\x00\x00\x02ab", true, ""},
		"within a protobuf":       {pods + "?watch=1", "application/vnd.kubernetes.protobuf;stream=watch", "\x00\x00\x00\x02a", false, ""},
		"in an unknown framing":   {pods + "?watch=1", "application/cbor-seq", "abc", false, ""},
		"a list is never whole":   {pods, "application/json", event, false, ""},
		"nor a log that followed": {pods + "/a/log?follow=1", "text/plain", "line\n", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			events, gone := make(chan string, 1), make(chan struct{}, 1)
			cl := r.cluster("eu-1", watching(events, c.kind, gone))
			resp, err := r.send(t.Context(), "GET", c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if c.sent != "" {
				events <- c.sent
			}
			got := make([]byte, len(c.sent))
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != c.sent {
				t.Fatalf("%q, %v", got, err)
			}
			cl.lose()
			rest, err := io.ReadAll(resp.Body)
			if (err == nil) != c.whole {
				t.Errorf("it ends with %v after %q", err, rest)
			}
			if (c.last == "") != (len(rest) == 0) || !strings.Contains(string(rest), c.last) {
				t.Errorf("the end says %q", rest)
			}
			if c.last != "" {
				var e struct {
					Type   string
					Object json.RawMessage
				}
				if err := json.Unmarshal(rest, &e); err != nil || e.Type != "ERROR" || statusOf(t, string(e.Object)).Code != 503 {
					t.Errorf("%s (%v)", rest, err)
				}
			}
			within(t, time.Second, "the cluster's side ends", gone)
			eventually(t, "it is on record", func() bool {
				all := r.audit.all()
				return len(all) == 1 && all[0].Outcome != store.AuditOpen && all[0].Status == 200
			})
		})
	}
}

func TestATunnelThatIsLostBeforeTheAnswer(t *testing.T) {
	r := newRig(t)
	began := make(chan struct{}, 2)
	c := r.cluster("eu-1", func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.ReadAll(req.Body)
		began <- struct{}{}
		<-req.Context().Done()
	})
	for method, want := range map[string]string{
		"GET":  "was lost before it answered: the peer was silent for 12s",
		"POST": "was lost before it answered: the peer was silent for 12s; whether it did what was asked isn't known",
	} {
		if c.session.Load() == nil {
			c.connect()
		}
		answer := make(chan string, 1)
		go func() { _, text := r.do(method, pods, strings.NewReader("{}")); answer <- text }()
		<-began
		c.lose()
		if s := statusOf(t, <-answer); s.Code != 503 || !strings.HasSuffix(s.Message, want) {
			t.Errorf("%s: %+v", method, s)
		}
	}
}

// A stream in the pool whose session has ended without a word is noticed at the next request: what only reads is sent again.
func TestAReadIsSentAgainWhenItsPooledStreamWasGone(t *testing.T) {
	r := newRig(t)
	var seen atomic.Int64
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		if seen.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		echo(w, req)
	})
	for range 2 {
		if code, text := r.do("GET", pods, nil); code != 200 {
			t.Errorf("%d %s", code, text)
		}
	}
	seen.Store(1)
	code, text := r.do("POST", pods, strings.NewReader("{}"), "Idempotency-Key", "me")
	if code != 503 || !strings.Contains(text, "isn't known") || seen.Load() != 2 {
		t.Errorf("a write: %d %s after %d", code, text, seen.Load())
	}
}

func TestARevokedTokenEndsWhatLasts(t *testing.T) {
	var revoked atomic.Bool
	r := newRig(t, func(c *kubeproxy.Config) {
		c.Recheck = func(_ context.Context, p fleet.Principal) (fleet.Principal, error) {
			if revoked.Load() {
				return p, fault.New(fault.Unauthorized, "the API token was revoked")
			}
			return p, nil
		}
	})
	gone := make(chan struct{}, 2)
	r.cluster("eu-1", watching(nil, "application/json", gone))
	watch, err := r.send(t.Context(), "GET", pods+"?watch=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()
	log, err := r.send(t.Context(), "GET", pods+"/a/log?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Body.Close()
	revoked.Store(true)
	text, err := io.ReadAll(watch.Body)
	if err != nil || !strings.Contains(string(text), `"the API token was revoked"`) || !strings.Contains(string(text), `"code":401`) {
		t.Errorf("%s %v", text, err)
	}
	if text, err := io.ReadAll(log.Body); err == nil {
		t.Errorf("the log seems whole: %q", text)
	}
	for range 2 {
		within(t, time.Second, "the cluster's side ends", gone)
	}
}

func TestAtTheEndOfTheHub(t *testing.T) {
	r := newRig(t)
	gone, lines := make(chan struct{}, 3), make(chan string)
	watch := watching(nil, "application/json", gone)
	log := watching(lines, "text/plain", gone)
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("watch") != "" {
			watch(w, req)
		} else {
			log(w, req)
		}
	})
	watched, err := r.send(t.Context(), "GET", pods+"?watch=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Body.Close()
	read, err := r.send(t.Context(), "GET", pods+"?watch=1", nil, "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	if err != nil {
		t.Fatal(err)
	}
	defer read.Body.Close()
	followed, err := r.send(t.Context(), "GET", pods+"/a/log?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer followed.Body.Close()

	r.proxy.Drain()
	if text, err := io.ReadAll(watched.Body); err != nil || len(text) != 0 {
		t.Errorf("the watch ends with %q, %v", text, err)
	}
	if text, err := io.ReadAll(read.Body); err != nil || !strings.HasPrefix(string(text), `{"type":"ERROR",`) || !strings.Contains(string(text), "this hub is shutting down") {
		t.Errorf("the watch that somebody reads ends with %q, %v", text, err)
	}
	code, text := r.do("GET", pods+"?watch=1", nil)
	if s := statusOf(t, text); code != 503 || s.Details == nil || s.Details.RetryAfterSeconds != 1 {
		t.Errorf("a new watch: %d %s", code, text)
	}
	lines <- "still here\n"
	if line, err := bufio.NewReader(followed.Body).ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("the log: %q %v", line, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan struct{})
	go func() { r.proxy.Close(ctx); close(closed) }()
	select {
	case <-closed:
		t.Error("the log wasn't waited for")
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	within(t, time.Second, "Close returns", closed)
	if _, err := io.ReadAll(followed.Body); err == nil {
		t.Error("the log seems whole")
	}
}

// A client that takes nothing keeps nobody else waiting, holds no more than the windows in between, and is cut in the end.
func TestASlowReaderSlowsOnlyItself(t *testing.T) {
	r := newRig(t, func(c *kubeproxy.Config) { c.Stall = 300 * time.Millisecond })
	var sent atomic.Int64
	gone := make(chan struct{})
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != pods {
			echo(w, req)
			return
		}
		defer close(gone)
		chunk := []byte(strings.Repeat("x", 64<<10))
		for sent.Load() < 1<<30 {
			n, err := w.Write(chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	resp, err := r.send(t.Context(), "GET", pods, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 20 {
		began := time.Now()
		if code, _ := r.do("GET", pods+"/a", nil); code != 200 || time.Since(began) > 250*time.Millisecond {
			t.Errorf("beside a slow reader: %d after %s", code, time.Since(began))
		}
	}
	within(t, 5*time.Second, "who takes nothing is cut", gone)
	if n := sent.Load(); n > 32<<20 {
		t.Errorf("%d MiB were taken from the cluster for one who reads nothing", n>>20)
	}
}
