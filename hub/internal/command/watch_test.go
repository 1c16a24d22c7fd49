package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

// sse words frames as the hub's stream does.
func sse(t *testing.T, frames ...frame) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("retry: 2000\n\n")
	for _, f := range frames {
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n: still here\n\n", f.Position, f.Type, text)
	}
	return b.String()
}

func change(t *testing.T, op string, position int64, more bool, r client.Resource) frame {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return frame{Type: "change", Op: op, Position: position, More: more, Node: text}
}

// TestWatch: after the list come the changes; a stream that lagged goes on where it was, one that broke off too, and one that can't begins anew.
func TestWatch(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	pod := func(name, health, status string) client.Resource {
		r := resource("c1", "Pod/shop/"+name, health, status)
		r.Presence = "present"
		return r
	}
	missing := pod("none", "unknown", "")
	missing.Presence = "missing"
	list := listOf(pod("web-1", "ok", "Running"))
	list.Position = 7
	streams := []string{
		sse(t, change(t, "update", 8, true, pod("web-1", "error", "CrashLoopBackOff")), change(t, "add", 8, false, missing), frame{Type: "bookmark", Position: 9}, frame{Type: "lagged", Position: 9}),
		sse(t, change(t, "remove", 10, false, pod("web-1", "error", "CrashLoopBackOff")), change(t, "add", 11, true, pod("web-2", "progressing", "Pending"))), // and it breaks off
		sse(t, frame{Type: "reset", Position: 20}),
	}
	asked := make(chan string, 10)
	h.tells(map[string]any{
		"/api/v1/resources": list,
		"/api/v1/stream": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.URL.RawQuery
			if len(streams) == 0 {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			_, _ = w.Write([]byte(streams[0]))
			streams = streams[1:]
		}),
	})
	var out, notes bytes.Buffer
	cmd := d.command("", "get", "pods", "-n", "shop", "-l", "app=web", "-w")
	cmd.Stdout, cmd.Stderr = &out, &notes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for i, from := range []string{"from=7", "from=9", "from=10", "from=7"} {
		select {
		case got := <-asked:
			if !strings.Contains(got, from) || !strings.Contains(got, "kind=pods") || !strings.Contains(got, "labelSelector=app%3Dweb") || !strings.Contains(got, "what=resources") {
				t.Errorf("stream %d was asked for by %s", i+1, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no stream %d: %s%s", i+1, out.String(), notes.String())
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C ended it with %v", err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		words := strings.Fields(line)
		got = append(got, strings.Join(words[3:6], " "))
	}
	want := []string{"NAME HEALTH STATUS", "web-1 ok Running", "web-1 error CrashLoopBackOff", "web-1 - deleted", "web-2 progressing Pending", "web-1 ok Running"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("printed was %q, want %q", got, want)
	}
	for _, says := range []string{"it is tried again", "this is what there is now"} {
		if !strings.Contains(notes.String(), says) {
			t.Errorf("noted was %s, without %q", notes.String(), says)
		}
	}
	for args, says := range map[string]string{"--at=-1h": "--at", "-q=x": "-q", "-o=yaml": "table, wide, json", "--limit=3": "--limit"} {
		d.run(2, "get pods -w "+args, says)
	}
}
