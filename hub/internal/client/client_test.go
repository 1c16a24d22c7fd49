package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"hub.example": "https://hub.example", "HTTPS://Hub.Example:443/": "https://hub.example", "http://127.0.0.1:8400": "http://127.0.0.1:8400",
		"http://hub:80": "http://hub", "https://hub:80": "https://hub:80", "https://hub.example/kubilitics//": "https://hub.example/kubilitics",
		"https://[::1]:8400": "https://[::1]:8400", "": "", "https://": "", "ftp://hub": "", "tls://hub:8443": "", "https://u:p@hub": "", "https://hub?x": "", "https://hub#x": "", "https://hub\x00": "",
	} {
		got, err := Address(text)
		if got != want || (err == nil) != (want != "") || err != nil && !fault.Is(err, fault.BadRequest) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if again, err := Address(got); want != "" && (again != got || err != nil) {
			t.Errorf("%q became %q, %v", got, again, err)
		}
	}
}

func answering(t *testing.T, limit time.Duration, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(Config{Hub: srv.URL, Token: "hush", Agent: "test", Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// The token goes to nobody but the hub, whatever it answers, and stands in no error.
func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	c := answering(t, 0, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	err := c.Get(t.Context(), "/api/v1/me", nil)
	if !fault.Is(err, fault.BadRequest) || reached || strings.Contains(err.Error(), "hush") {
		t.Errorf("followed: %v, %v", reached, err)
	}
}

func TestNoAnswer(t *testing.T) {
	end := make(chan struct{})
	c := answering(t, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	defer close(end)
	_, err := c.Me(t.Context())
	if !Unreachable(err) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("a hub that is silent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Me(ctx); Unreachable(err) || err == nil {
		t.Errorf("who gave up is told %v", err)
	}
}

func TestStrangersAnswers(t *testing.T) {
	for text, want := range map[string]string{"<html>": "is it a hub?", `{"name":7}`: "is it a hub?", `{"name":"ada"}`: ""} {
		c := answering(t, 0, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
		if _, err := c.Me(t.Context()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	c := answering(t, 0, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) })
	if err := c.Get(t.Context(), "/x", nil); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "not as a hub does") {
		t.Errorf("%v", err)
	}
}

// A program that is newer than its hub asks for what isn't there, which is something else than a resource that isn't.
func TestAnOlderHubIsTold(t *testing.T) {
	for says, older := range map[string]bool{"there is nothing at /api/v1/me": true, "there is no Pod shop/web": false} {
		c := answering(t, 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", httpfault.ContentType)
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(httpfault.Problem{Code: fault.NotFound, Message: says, RequestID: "7"})
		})
		want := says + " (request 7)"
		if older {
			want = says + ": the hub may be older than this program (request 7)"
		}
		if _, err := c.Me(t.Context()); !fault.Is(err, fault.NotFound) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
