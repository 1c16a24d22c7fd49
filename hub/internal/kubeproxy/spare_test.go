package kubeproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Reads go on streams that are kept, and what isn't in order is never kept.
func TestStreamsAreKept(t *testing.T) {
	r := newRig(t)
	big := strings.Repeat("x", 4<<20)
	c := r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasSuffix(req.URL.Path, "/last"):
			w.Header().Set("Connection", "close")
		case strings.HasSuffix(req.URL.Path, "/big"):
			_, _ = io.WriteString(w, big)
			return
		case strings.HasSuffix(req.URL.Path, "/nothing"):
			w.WriteHeader(http.StatusNoContent)
			return
		}
		fmt.Fprint(w, req.URL.Path)
	})
	get := func(name string) {
		t.Helper()
		want := pods + "/" + name
		if name == "nothing" {
			want = ""
		}
		if code, text := r.do("GET", pods+"/"+name, nil); code >= 300 || text != want {
			t.Errorf("GET %s: %d %.100q", name, code, text)
		}
	}
	open := func(want int, when string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d streams %s", want, when), func() bool { return c.session.Load().Streams() == want })
	}
	for i := range 5 {
		get(fmt.Sprint(i))
	}
	get("nothing")
	open(1, "after requests one after the other")
	if resp, err := r.client.Head(r.hub.URL + pods + "/a"); err != nil || resp.StatusCode != http.StatusOK {
		t.Error(resp, err)
	}
	get("after a head")
	open(1, "after a HEAD")

	resp, err := r.send(t.Context(), "GET", pods+"/big", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // the client reads no more than a part
	open(0, "after an answer that nobody wanted whole")
	get("last")
	open(0, "after the agent said that it was the last")

	get("a")
	c.serve.SetKeepAlivesEnabled(false) // closes what is idle
	c.serve.SetKeepAlivesEnabled(true)
	get("b")
	c.lose()
	c.connect()
	get("c")
	open(1, "on the new tunnel")
}

// Many at once each have a stream of their own, and get their own answer.
func TestStreamsAreNotShared(t *testing.T) {
	r := newRig(t)
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, strings.Repeat(req.URL.Path, 100)) })
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for n := range 50 {
				path := fmt.Sprintf("%s/a-%d-%d", pods, i, n)
				if _, text := r.do("GET", path, nil); text != strings.Repeat(path, 100) {
					t.Errorf("%s got %.200q", path, text)
				}
			}
		})
	}
	callers.Wait()
}
