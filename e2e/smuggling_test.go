package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// Requests that are written so that two readers would take them for different ones reach nothing but what was decided on: whoever may read one
// namespace of one cluster gets no byte of another namespace or cluster, whatever the bytes are. Every attack is sent as it stands here, over a
// connection of its own; {eu} and {us} are the clusters, and the caller may do everything in the namespace shop of eu.
func TestNothingIsSmuggledThroughTheHub(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite", tag: tag("sqlite")})
	operate := func(o *stack.AgentOptions) { o.Args = []string{"--access", "operate"} }
	eu, us := r.join(t, world.eu, world.eu.KubeconfigPath(), operate), r.join(t, world.us, world.us.KubeconfigPath(), operate)
	r.live(t, eu, us)
	var made struct{ Secret string }
	err := r.hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "narrow", "bindings": []any{
		map[string]any{"verbs": []string{"get", "list", "watch", "create", "update", "patch", "delete", "secrets"}, "clusters": []string{eu.id}, "namespaces": []string{"shop"}},
	}}, &made)
	if err != nil {
		t.Fatal(err)
	}
	s := smuggler{address: strings.TrimPrefix(r.hub.URL, "http://"), token: made.Secret, eu: eu.id, us: us.id}
	if got := s.send(t, "GET /k8s/clusters/{eu}/api/v1/namespaces/shop/configmaps/api-config HTTP/1.1\r\nHost: hub\r\n{auth}\r\n"); len(got) != 1 || got[0].status != 200 {
		t.Fatalf("what is permitted doesn't pass: %+v", got)
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, got := range s.send(t, attack) {
				if got.leaks() {
					t.Errorf("answer %d, %d: %.300s", i, got.status, got.body)
				}
			}
		})
	}
	t.Cleanup(func() {
		for _, m := range []*member{eu, us} {
			if strings.Contains(m.log.String(), planted) {
				t.Error("the planted value is in an agent's log")
			}
		}
	})
}

const (
	secretPath = "/api/v1/namespaces/payments/secrets/planted"
	ownPath    = "/api/v1/namespaces/shop/configmaps/api-config"
)

var attacks = map[string]string{
	"plainly":                       asks("{eu}", secretPath, ""),
	"another cluster":               asks("{us}", ownPath, ""),
	"dot segments":                  asks("{eu}", "/api/v1/namespaces/shop/../payments/secrets/planted", ""),
	"encoded dots":                  asks("{eu}", "/api/v1/namespaces/shop/%2e%2e/payments/secrets/planted", ""),
	"half encoded dots":             asks("{eu}", "/api/v1/namespaces/shop/.%2E/payments/secrets/planted", ""),
	"encoded slashes":               asks("{eu}", "/api/v1/namespaces/shop%2f..%2fpayments/secrets/planted", ""),
	"twice encoded":                 asks("{eu}", "/api/v1/namespaces/shop/%252e%252e/payments/secrets/planted", ""),
	"backslashes":                   asks("{eu}", "/api/v1/namespaces/shop\\..\\payments/secrets/planted", ""),
	"empty segments":                asks("{eu}", "//api//v1//namespaces/payments/secrets/planted", ""),
	"out of the cluster":            asks("{eu}/../{us}", ownPath, ""),
	"out of it, encoded":            asks("{eu}%2f..%2f{us}", ownPath, ""),
	"through the proxy of a Pod":    asks("{eu}", "/api/v1/namespaces/shop/pods/x/proxy/../../../../payments/secrets/planted", ""),
	"the same, encoded":             asks("{eu}", "/api/v1/namespaces/shop/pods/x/proxy/..%2f..%2f..%2f..%2fpayments%2fsecrets%2fplanted", ""),
	"a fragment":                    asks("{eu}", "/api/v1/namespaces/shop/configmaps/api-config#/../../payments/secrets/planted", ""),
	"a semicolon":                   asks("{eu}", "/api/v1/namespaces/shop;/../payments/secrets/planted", ""),
	"a NUL":                         asks("{eu}", "/api/v1/namespaces/payments/secrets/planted%00/../../shop", ""),
	"a line in the path":            asks("{eu}", "/api/v1/namespaces/shop/configmaps/x%0d%0aHost:%20y%0d%0a%0d%0aGET%20"+secretPath, ""),
	"the old watch":                 asks("{eu}", "/api/v1/watch/namespaces/payments/secrets?timeoutSeconds=1", ""),
	"the old proxy":                 asks("{eu}", "/api/v1/proxy/namespaces/payments/secrets/planted", ""),
	"a list of all":                 asks("{eu}", "/api/v1/secrets", ""),
	"a field of another":            asks("{eu}", "/api/v1/secrets?fieldSelector=metadata.namespace%3Dpayments", ""),
	"an absolute URI":               "GET http://127.0.0.1:1/k8s/clusters/{us}" + ownPath + " HTTP/1.1\r\nHost: hub\r\n{auth}\r\n",
	"an absolute URI of the API":    "GET https://kubernetes.default" + secretPath + " HTTP/1.1\r\nHost: hub\r\n{auth}\r\n",
	"another host":                  "GET /k8s/clusters/{eu}" + secretPath + " HTTP/1.1\r\nHost: {us}\r\n{auth}\r\n",
	"CONNECT":                       "CONNECT {us}:80 HTTP/1.1\r\nHost: {us}:80\r\n{auth}\r\nGET " + ownPath + " HTTP/1.1\r\nHost: x\r\n\r\n",
	"CONNECT of a path":             "CONNECT /k8s/clusters/{eu}" + secretPath + " HTTP/1.1\r\nHost: hub\r\n{auth}\r\n",
	"another method's name":         asks("{eu}", secretPath, "X-HTTP-Method-Override: OPTIONS\r\n"),
	"impersonation":                 asks("{eu}", secretPath, "Impersonate-User: kubernetes-admin\r\nImpersonate-Group: system:masters\r\n"),
	"impersonation in lower case":   asks("{eu}", secretPath, "impersonate-user: admin\r\nimpersonate-group: system:masters\r\nimpersonate-extra-x: y\r\n"),
	"underscores":                   asks("{eu}", secretPath, "Impersonate_User: admin\r\nImpersonate_Group: system:masters\r\n"),
	"named as the connection's":     asks("{eu}", secretPath, "Connection: Kubilitics-User, Authorization\r\nKubilitics-User: root\r\n"),
	"the hub's own words":           asks("{eu}", secretPath, "Kubilitics-User: root\r\nKubilitics-Group: system:masters\r\n"),
	"a front proxy's words":         asks("{eu}", secretPath, "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\nX-Forwarded-Uri: "+secretPath+"\r\nX-Original-Url: "+secretPath+"\r\nX-Rewrite-Url: "+secretPath+"\r\n"),
	"an older protocol":             "GET /k8s/clusters/{eu}" + secretPath + " HTTP/1.0\r\n{auth}\r\n",
	"h2c":                           asks("{eu}", ownPath, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n") + hidden,
	"an upgrade of nothing":         asks("{eu}", ownPath, "Connection: Upgrade\r\nUpgrade: tls/1.0\r\n") + hidden,
	"a WebSocket of nothing":        asks("{eu}", ownPath, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n") + hidden,
	"two lengths":                   posts("Content-Length: 0\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n"),
	"two lengths in one":            posts("Content-Length: 0, " + fmt.Sprint(len(hidden)) + "\r\n"),
	"a length and chunks":           posts("Content-Length: "+fmt.Sprint(len("0\r\n\r\n"+hidden))+"\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
	"chunks in odd letters":         posts("Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n"),
	"chunks behind a tab":           posts("Transfer-Encoding:\tchunked\r\nContent-Length: "+fmt.Sprint(len("0\r\n\r\n"+hidden))+"\r\n", "0\r\n\r\n"),
	"a space before the colon":      posts("Content-Length : " + fmt.Sprint(len(hidden)) + "\r\n"),
	"a folded header":               asks("{eu}", secretPath, "X-Folded: a\r\n Impersonate-User: admin\r\n"),
	"trailers":                      "POST /k8s/clusters/{eu}" + secretPath + " HTTP/1.1\r\nHost: hub\r\n{auth}Trailer: Impersonate-User\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nImpersonate-User: admin\r\n\r\n",
	"a body under a GET":            "GET /k8s/clusters/{eu}" + ownPath + " HTTP/1.1\r\nHost: hub\r\n{auth}Content-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden,
	"the agent's own door":          "GET " + secretPath + " HTTP/1.1\r\nHost: {eu}\r\n{auth}\r\n",
	"upper case":                    asks("{eu}", "/API/V1/NAMESPACES/payments/SECRETS/planted", ""),
	"an id in upper case":           "GET /K8S/CLUSTERS/{us}" + ownPath + " HTTP/1.1\r\nHost: hub\r\n{auth}\r\n",
	"a subject access review":       "POST /k8s/clusters/{eu}/api/v1/namespaces/payments/serviceaccounts/default/token HTTP/1.1\r\nHost: hub\r\n{auth}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	"a namespace that begins alike": asks("{eu}", "/api/v1/namespaces/shop-/../payments/secrets/planted", ""),
}

// hidden is a request inside of what another one pretends to be. It carries no credentials of its own: who smuggles lives on those of the connection.
const hidden = "GET " + secretPath + " HTTP/1.1\r\nHost: x\r\n\r\n"

func asks(cluster, path, headers string) string {
	return "GET /k8s/clusters/" + cluster + path + " HTTP/1.1\r\nHost: hub\r\n{auth}" + headers + "\r\n"
}

func posts(lengths string, before ...string) string {
	return "POST /k8s/clusters/{eu}/api/v1/namespaces/shop/configmaps?dryRun=All HTTP/1.1\r\nHost: hub\r\n{auth}Content-Type: application/json\r\n" + lengths + "\r\n" +
		strings.Join(before, "") + hidden
}

type smuggler struct{ address, token, eu, us string }

// answered is one answer on a connection.
type answered struct {
	status int
	body   []byte
}

// leaks tells that it holds what its caller may not see: a Secret of another namespace, anything of the other cluster, or an object by way of a
// path that isn't its own.
func (a answered) leaks() bool {
	if bytes.Contains(a.body, []byte(planted)) || bytes.Contains(a.body, []byte(plantedEncoded())) {
		return true
	}
	var object struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
	}
	if json.Unmarshal(a.body, &object) != nil || a.status >= 300 {
		return false
	}
	return !slices.Contains([]string{"shop"}, object.Metadata.Namespace) && object.Kind != "Status"
}

// send writes bytes to the hub and gives what came back until the hub closed the connection or fell silent.
func (s smuggler) send(t *testing.T, text string) (out []answered) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text = strings.NewReplacer("{auth}", "Authorization: Bearer "+s.token+"\r\n", "{eu}", s.eu, "{us}", s.us).Replace(text)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	limit := 10 * time.Second // for the first; what was smuggled would follow at once
	for {
		_ = conn.SetReadDeadline(time.Now().Add(limit))
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			if len(out) == 0 && !strings.Contains(err.Error(), "EOF") {
				t.Errorf("the hub says nothing: %v", err)
			}
			return out
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil && len(body) == 0 {
			return out
		}
		out = append(out, answered{resp.StatusCode, body})
		limit = 700 * time.Millisecond
	}
}
