package desktop

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/credential"
)

// testDoor stands before doors that say "inside".
func testDoor(t *testing.T, others ...string) (*door, http.Handler) {
	t.Helper()
	d := newDoor(credential.New(credential.API), others)
	d.at(4711)
	d.kubeconfig = func() Status { return Status{Files: []string{"file"}, Contexts: 2} }
	return d, d.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "inside") }))
}

func ask(h http.Handler, method, path, host string, headers map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Host = host
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A name that somebody else's DNS gave this machine, and a page of somebody else, get nowhere, whatever the route.
func TestDoorRefusesOtherNamesAndPages(t *testing.T) {
	_, h := testDoor(t, "tauri://localhost")
	own := "127.0.0.1:4711"
	cases := []struct {
		name, host string
		headers    map[string]string
		in         bool
	}{
		{"as it is called", own, nil, true},
		{"by the machine's name for itself", "LOCALHOST:4711", nil, true},
		{"IPv6", "[::1]:4711", nil, true},
		{"another name", "evil.example", nil, false},
		{"another name with the port", "evil.example:4711", nil, false},
		{"a name below", "127.0.0.1.evil.example:4711", nil, false},
		{"a trailing dot", "localhost.:4711", nil, false},
		{"another port", "127.0.0.1:80", nil, false},
		{"no port", "127.0.0.1", nil, false},
		{"no name", "", nil, false},
		{"its own page", own, map[string]string{"Origin": "http://127.0.0.1:4711", "Sec-Fetch-Site": "same-origin"}, true},
		{"its own page over TLS", own, map[string]string{"Origin": "https://localhost:4711"}, true},
		{"a page that is named", own, map[string]string{"Origin": "tauri://localhost", "Sec-Fetch-Site": "cross-site"}, true},
		{"a page of another site", own, map[string]string{"Origin": "https://evil.example"}, false},
		{"a page of another port", own, map[string]string{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, false},
		{"a page without an origin", own, map[string]string{"Origin": "null"}, false},
		{"a picture in a page of another port", own, map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, false},
		{"typed into the address bar", own, map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, true},
	}
	routes := []string{"/", "/desktop/page/page.js", "/desktop/v1/kubeconfig", "/api/v1/clusters", "/ws/v1/stream", "/k8s/clusters/c1/api/v1/pods", "/k8s/fleet/version", "/healthz", "/metrics"}
	for _, c := range cases {
		for _, route := range routes {
			got := ask(h, http.MethodGet, route, c.host, c.headers)
			if in := got.Code != http.StatusForbidden; in != c.in {
				t.Errorf("%s: %s: status %d %s", c.name, route, got.Code, got.Body)
			}
			if status := strings.Contains(got.Body.String(), `"kind":"Status"`); !c.in && status != strings.HasPrefix(route, "/k8s/") {
				t.Errorf("%s: %s is refused in other words than its own: %s", c.name, route, got.Body)
			}
		}
	}
	followed := ask(h, http.MethodGet, "/", own, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"})
	framed := ask(h, http.MethodGet, "/", own, map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"})
	if followed.Code != http.StatusOK || framed.Code != http.StatusForbidden {
		t.Errorf("a link that is followed to the page: %d; the page in a frame: %d", followed.Code, framed.Code)
	}
}

// A link lets in once, and what it gives is the token; nothing else does.
func TestLinksLetInOnce(t *testing.T) {
	d, h := testDoor(t)
	open := func(code string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/desktop/v1/open", strings.NewReader(`{"code":"`+code+`"}`))
		r.Host = "127.0.0.1:4711"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	_, code, _ := strings.Cut(d.link(), "#open=")
	if w := open("guess"); w.Code != http.StatusUnauthorized {
		t.Errorf("a guess: %d", w.Code)
	}
	if w := open(code); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), d.token.Text()) || w.Header().Get("Cache-Control") != "no-store" || len(w.Result().Cookies()) > 0 {
		t.Errorf("the code: %d %s", w.Code, w.Body)
	}
	if w := open(code); w.Code != http.StatusUnauthorized {
		t.Errorf("the code again: %d", w.Code)
	}
	_, oldest, _ := strings.Cut(d.link(), "#open=")
	for range maxCodes {
		d.link()
	}
	if w := open(oldest); w.Code != http.StatusUnauthorized || len(d.codes) != maxCodes {
		t.Errorf("the oldest of too many: %d, %d are kept", w.Code, len(d.codes))
	}
}

func TestOwnRoutesNeedTheToken(t *testing.T) {
	d, h := testDoor(t)
	own := "127.0.0.1:4711"
	other := credential.New(credential.API)
	mixed := credential.Credential{Kind: credential.API, ID: other.ID, Secret: d.token.Secret}
	for header, want := range map[string]int{
		"": 401, "Bearer " + other.Text(): 401, "Bearer " + mixed.Text(): 401, "Basic " + d.token.Text(): 401, "Bearer " + d.token.Text() + "x": 401,
		"Bearer " + d.token.Text(): 200, "bearer " + d.token.Text(): 200,
	} {
		if got := ask(h, http.MethodGet, "/desktop/v1/kubeconfig", own, map[string]string{"Authorization": header}); got.Code != want {
			t.Errorf("%.14s…: %d, want %d", header, got.Code, want)
		}
	}
	bearer := map[string]string{"Authorization": "Bearer " + d.token.Text()}
	if got := ask(h, http.MethodGet, "/desktop/v1/nothing", own, bearer); got.Code != http.StatusNotFound {
		t.Errorf("what isn't there: %d", got.Code)
	}
	if got := ask(h, http.MethodPost, "/", own, bearer); got.Code != http.StatusBadRequest {
		t.Errorf("a page that is written to: %d", got.Code)
	}
}

// The page stands on itself alone.
func TestPageNeedsNobody(t *testing.T) {
	_, h := testDoor(t)
	for path, kind := range map[string]string{
		"/": "text/html", "/desktop/page/page.js": "javascript", "/desktop/page/page.css": "text/css", "/desktop/page/icon.svg": "image/svg",
	} {
		w := ask(h, http.MethodGet, path, "127.0.0.1:4711", nil)
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), kind) || w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		text := strings.ReplaceAll(w.Body.String(), "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http://", "https://", " style=", "onclick", "innerHTML", "eval("} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
	}
}
