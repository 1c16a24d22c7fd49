package kubeproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// sightings are what API servers saw.
type sightings struct {
	mu   sync.Mutex
	seen []string
}

func (s *sightings) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, text)
}

func (s *sightings) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// seeing notes each request and whatever in it could say who sends it.
func (s *sightings) seeing(cluster string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := fmt.Sprintf("%s: %s %s", cluster, r.Method, r.RequestURI)
		if len(body) > 0 {
			text += " " + string(body)
		}
		for name, values := range r.Header {
			lower := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
			if strings.HasPrefix(lower, "impersonate") || strings.Contains(lower, "override") || lower == "authorization" || lower == "upgrade" || lower == "http2-settings" ||
				name == kube.UserHeader && !slices.Equal(values, []string{"ann"}) || name == kube.GroupHeader && len(values) != 2 {
				text += fmt.Sprintf(" %s=%v", name, values)
			}
		}
		for name := range r.Trailer {
			text += " trailer " + name
		}
		s.note(text)
	}
}

// What is decided on is what a cluster sees, and nobody says who sends it but the hub. Each of these is sent byte by byte, and the API servers that
// stand at the end tell what arrived.
func TestNothingIsSmuggled(t *testing.T) {
	r := newRig(t)
	var saw sightings
	mine, other := r.cluster("mine", saw.seeing("mine")), r.cluster("other", saw.seeing("other"))
	here := mine.at.Cluster.String()
	r.as(who("ann", fleet.Binding{Verbs: []string{"get", "list", "create"}, Clusters: []string{here}, Namespaces: []string{"shop"}}))
	get := func(target string, header ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: hub\r\nCluster: " + here + "\r\n" + strings.Join(append(header, "Connection: close\r\n"), "\r\n") + "\r\n"
	}
	post := func(body string, header ...string) string {
		return "POST " + pods + " HTTP/1.1\r\nHost: hub\r\nCluster: " + here + "\r\nConnection: close\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n" + body
	}
	const forbidden = "/api/v1/namespaces/kube-system/secrets"
	hidden := "GET " + forbidden + " HTTP/1.1\r\nHost: hub\r\nCluster: " + other.at.Cluster.String() + "\r\n\r\n"
	for name, c := range map[string]struct {
		raw  string
		code int
		saw  string // after "mine: "; "" for nothing
	}{
		"plain":                           {get(pods), 200, "GET " + pods},
		"dot segments":                    {get(pods + "/../../kube-system/secrets"), 400, ""},
		"encoded dot segments":            {get(pods + "/%2e%2e/%2E./kube-system/secrets"), 400, ""},
		"dots encoded twice":              {get(pods + "/%252e%252e/x"), 400, ""},
		"encoded slashes":                 {get("/api/v1/namespaces/shop%2f..%2fkube-system/secrets"), 400, ""},
		"an encoded slash in a name":      {get(pods + "/a%2Fexec"), 400, ""},
		"two slashes":                     {get("//api/v1/namespaces/shop/pods"), 400, ""},
		"two slashes within":              {get("/api/v1/namespaces//kube-system/secrets"), 400, ""},
		"backslashes":                     {get(`/api/v1/namespaces/shop/pods\..\..\kube-system`), 400, ""},
		"a null":                          {get(pods + "/a%00b"), 400, ""},
		"a line break":                    {get(pods + "/a%0d%0aImpersonate-User:%20root"), 400, ""},
		"an absolute URI":                 {get("http://other.example" + pods), 200, "GET " + pods},
		"an absolute URI with a user":     {get("http://root:secret@other.example" + forbidden), 403, ""},
		"letters that are encoded":        {get("/api/v1/n%61mespaces/shop/p%6fds"), 200, "GET /api/v1/n%61mespaces/shop/p%6fds"},
		"a query that names another path": {get(pods + "?path=" + url.QueryEscape(forbidden)), 200, "GET " + pods + "?path=" + url.QueryEscape(forbidden)},

		"two equal lengths":     {post("{}", "Content-Length: 2", "Content-Length: 2"), 200, "POST " + pods + " {}"},
		"two unequal lengths":   {post("{}"+hidden, "Content-Length: 2", "Content-Length: 200"), 400, ""},
		"a length with a sign":  {post("{}"+hidden, "Content-Length: +2"), 400, ""},
		"length and chunks":     {post("2\r\n{}\r\n0\r\n\r\n"+hidden, "Content-Length: 300", "Transfer-Encoding: chunked"), 200, "POST " + pods + " {}"},
		"chunks, unusually":     {post("0\r\n\r\n"+hidden, "Transfer-Encoding: xchunked"), 501, ""},
		"chunks twice":          {post("0\r\n\r\n"+hidden, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 501, ""},
		"a space before colons": {post("{}", "Content-Length : 2"), 400, ""},
		"a folded header":       {get(pods, "X-A: b\r\n Impersonate-User: root"), 200, "GET " + pods},
		"a trailer of identity": {post("2\r\n{}\r\n0\r\nImpersonate-User: root\r\nKubilitics-User: root\r\n\r\n", "Transfer-Encoding: chunked", "Trailer: Impersonate-User, Kubilitics-User"), 200, "POST " + pods + " {}"},

		"identity, in any case":                 {get(pods, "iMPERSONATE-uSER: root", "impersonate-group: system:masters", "IMPERSONATE-EXTRA-x: y", "kubilitics-user: root", "KUBILITICS-GROUP: g"), 200, "GET " + pods},
		"identity, by underscore":               {get(pods, "impersonate_user: root", "Kubilitics_User: root", "authorization_: x", "Impersonate_Uid: 1"), 200, "GET " + pods},
		"a bearer":                              {get(pods, "Authorization: Bearer secret"), 200, "GET " + pods},
		"another method":                        {get(pods, "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X-HTTP-Method: DELETE"), 200, "GET " + pods},
		"an identity that the connection drops": {strings.Replace(get(pods), "Connection: close", "Connection: close, Impersonate-User", 1), 400, ""},
		"ours that the connection drops":        {strings.Replace(get(pods), "Connection: close", "Connection: kubilitics-user", 1), 400, ""},

		"CONNECT":                   {"CONNECT " + pods + " HTTP/1.1\r\nHost: hub\r\n\r\n", 400, ""},
		"TRACE":                     {strings.Replace(get(pods), "GET", "TRACE", 1), 400, ""},
		"an upgrade to h2c":         {upgrade(pods, "h2c") + hidden, 400, ""},
		"an upgrade where none is":  {strings.Replace(upgrade(pods, "websocket"), "Host: hub", "Host: hub\r\nCluster: "+here, 1), 403, ""},
		"an upgrade to two things":  {upgrade(pods, "websocket, h2c"), 400, ""},
		"HTTP/2 without an upgrade": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, br, resp := r.dial(c.raw)
			_, _ = io.Copy(io.Discard, resp.Body)
			if c.code != 0 && resp.StatusCode != c.code {
				t.Errorf("answered with %d, want %d", resp.StatusCode, c.code)
			}
			// Whatever else there was in it to be served is answered by then.
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, _ = io.Copy(io.Discard, br)
			var want []string
			if c.saw != "" {
				want = []string{"mine: " + c.saw}
			}
			if got := saw.take(); !slices.Equal(got, want) {
				t.Errorf("API servers saw %q\nwant %q", got, want)
			}
		})
	}
}
