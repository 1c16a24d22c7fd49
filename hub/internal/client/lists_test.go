package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// A list of ten is read by pages of four, as far as it is wanted.
func TestListsAreReadAsFarAsTheyAreWanted(t *testing.T) {
	for limit, want := range map[int]struct {
		pages []string
		items int
		token string
	}{0: {[]string{"4", "4", "4"}, 10, ""}, 6: {[]string{"4", "2"}, 6, "6"}, 4: {[]string{"4"}, 4, "4"}, 100: {[]string{"4", "4", "4"}, 10, ""}} {
		var pages []string
		told := 0
		c := answering(t, 0, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			pages = append(pages, q.Get("limit"))
			var from, n int
			_, _ = fmt.Sscan(q.Get("continue")+" ", &from) // nothing is 0
			_, _ = fmt.Sscan(q.Get("limit"), &n)
			n = min(n, 10-from)
			page := List[int]{Items: make([]Kept[int], n), Meta: Meta{Freshness: map[string]Freshness{fmt.Sprint(from): {State: "live"}}}}
			if from+n < 10 {
				page.Continue = fmt.Sprint(from + n)
			}
			_ = json.NewEncoder(w).Encode(page)
		})
		list, err := Listed[int](t.Context(), c, "/list", url.Values{}, Reach{Page: 4, Limit: limit, Told: func(n int, _ *Total) { told = n }})
		if err != nil || !slices.Equal(pages, want.pages) || len(list.Items) != want.items || list.Continue != want.token || told != want.items || len(list.Freshness) != len(want.pages) {
			t.Errorf("limit %d: pages %q, %d items, told %d, token %q, %v", limit, pages, len(list.Items), told, list.Continue, err)
		}
	}
}

// What is kept is printed as it came, with what nobody here knows of.
func TestKept(t *testing.T) {
	var k Kept[Ref]
	const text = `{"name":"web","novelty":[1,2]}`
	if err := json.Unmarshal([]byte(text), &k); err != nil || k.Value.Name != "web" {
		t.Errorf("%+v, %v", k, err)
	}
	if again, err := json.Marshal(map[string]any{"x": k}); err != nil || string(again) != `{"x":`+text+`}` {
		t.Errorf("%s, %v", again, err)
	}
}

// A stream may last as long as it likes; only its beginning has a limit, and an end that is none is told from the end.
func TestStreams(t *testing.T) {
	gone := make(chan struct{})
	c := answering(t, time.Second, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/silent":
			<-r.Context().Done()
		case "/long":
			for range 4 {
				fmt.Fprint(w, "x")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(300 * time.Millisecond) // longer than the limit in all
			}
		case "/broken":
			fmt.Fprint(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/left":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		default:
			http.Error(w, "no", http.StatusTeapot)
		}
	})
	open := func(ctx context.Context, path string) (string, error) {
		in, err := c.Open(ctx, http.MethodGet, path, "*/*", nil)
		if err != nil {
			return "", err
		}
		defer in.Close()
		text, err := io.ReadAll(in)
		return string(text), err
	}
	if text, err := open(t.Context(), "/long"); text != "xxxx" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := open(t.Context(), "/broken"); text != "half" || !Unreachable(err) || !strings.Contains(err.Error(), "has broken off") {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := open(t.Context(), "/silent"); !Unreachable(err) {
		t.Errorf("who is silent: %v", err)
	}
	if _, err := open(t.Context(), "/other"); !fault.Is(err, fault.BadRequest) {
		t.Errorf("a no: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := open(ctx, "/left"); !errors.Is(err, context.Canceled) || Unreachable(err) {
		t.Errorf("who left is told %v", err)
	}
	<-gone
}
