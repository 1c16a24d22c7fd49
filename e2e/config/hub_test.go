package config

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"

	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// TestHubKeys gives a hub each key in turn and looks at what it does.
func TestHubKeys(t *testing.T) {
	tries := hubTries()
	maps.Copy(tries, scenarios())
	maps.Copy(tries, hubTraces())
	complete(t, HubKeys(), tries)
	for key, try := range tries {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			try(t)
		})
	}
}

func hubTries() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"listen": func(t *testing.T) {
			at := freePort(t)
			if r := serve(t, t.TempDir(), "", "--listen="+at); r.URL != "http://"+at {
				t.Errorf("it listens on %s", r.URL)
			}
		},
		"tls-cert": func(t *testing.T) { servedByItsCertificate(t) },
		"tls-key":  func(t *testing.T) { servedByItsCertificate(t) },
		"public-url": func(t *testing.T) {
			kubeconfigSays(t, "server: https://hub.example/kubilitics/k8s", "--public-url=https://hub.example/kubilitics")
		},
		"public-ca": func(t *testing.T) {
			ca, _, _ := certificate(t)
			text, _ := os.ReadFile(ca)
			kubeconfigSays(t, base64.StdEncoding.EncodeToString(text), "--public-url=https://hub.example", "--public-ca="+ca)
		},
		"database": func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "elsewhere.db")
			serve(t, t.TempDir(), "", "--database=sqlite:"+file)
			there(t, file)
		},
		"data-dir": func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made")
			serve(t, t.TempDir(), "", "--data-dir="+dir)
			there(t, filepath.Join(dir, "ca.pem"))
			there(t, filepath.Join(dir, "kubilitics.db"))
		},
		"tenant": func(t *testing.T) {
			if me := get[struct{ Tenant string }](t, serve(t, t.TempDir(), "", "--tenant=marine"), "/api/v1/me"); me.Tenant != "marine" {
				t.Errorf("the first token is for %q", me.Tenant)
			}
		},
		"cors-origins": func(t *testing.T) {
			r := serve(t, t.TempDir(), "", "--cors-origins=https://portal.example,https://other.example")
			for origin, may := range map[string]bool{"https://portal.example": true, "https://other.example": true, "https://evil.example": false} {
				if got := ask(t, r, "GET", "/api/v1/me", "", "Origin", origin).Header.Get("Access-Control-Allow-Origin"); (got == origin) != may {
					t.Errorf("%s is answered %q", origin, got)
				}
			}
		},
		"trusted-proxies": func(t *testing.T) {
			for proxies, from := range map[string]string{"": "127.0.0.1", "127.0.0.0/8": "203.0.113.9"} {
				r := serve(t, t.TempDir(), "", "--trusted-proxies="+proxies)
				ask(t, r, "POST", "/api/v1/clusters", `{"name":"a"}`, "X-Forwarded-For", "203.0.113.9")
				if got := audited(t, r); len(got) != 1 || got[0].From != from {
					t.Errorf("with %q trusted the record says %+v", proxies, got)
				}
			}
		},
		"tunnel.listen": func(t *testing.T) {
			at := freePort(t)
			r := serve(t, t.TempDir(), "", "--tunnel-listen="+at)
			if c, err := net.Dial("tcp", at); err != nil || r.hub.TunnelAddress() != "tls://"+at {
				t.Errorf("it listens on %s: %v", r.hub.TunnelAddress(), err)
			} else {
				_ = c.Close()
			}
		},
		"tunnel.address": func(t *testing.T) {
			made := create(t, serve(t, t.TempDir(), "", "--tunnel-address=tls://hub.example:8443"))
			if !strings.Contains(made.Command, "--hub tls://hub.example:8443") {
				t.Errorf("the command is %s", made.Command)
			}
		},
		"tunnel.names": func(t *testing.T) {
			r := serve(t, t.TempDir(), "", "--tunnel-names=tunnels.example,192.0.2.7")
			token, err := join.Parse(create(t, r).Token)
			if err != nil {
				t.Fatal(err)
			}
			for name, good := range map[string]bool{"tunnels.example": true, "192.0.2.7": true, "else.example": false} {
				c, err := tunnel.DialEnroll(t.Context(), tunnel.Endpoint{URL: r.hub.TunnelAddress(), ServerName: name}, token.Pin)
				if (err == nil) != good {
					t.Errorf("%s: %v", name, err)
				}
				if err == nil {
					_ = c.Close()
				}
			}
		},
		"ca.file": func(t *testing.T) {
			first, other := t.TempDir(), t.TempDir()
			pins := map[tunnel.Pin]bool{}
			for _, r := range []*running{serve(t, first, ""), serve(t, other, "", "--ca-file="+filepath.Join(first, "ca.pem"))} {
				token, err := join.Parse(create(t, r).Token)
				if err != nil {
					t.Fatal(err)
				}
				pins[token.Pin] = true
			}
			if _, err := os.Stat(filepath.Join(other, "ca.pem")); len(pins) != 1 || err == nil {
				t.Errorf("two hubs with one root have the pins %v; a root of its own: %v", pins, err)
			}
		},
		"ca.trusted": func(t *testing.T) {
			ca, _, _ := certificate(t)
			_, trust := enrolled(t, "--ca-trusted="+ca)
			if text, _ := os.ReadFile(ca); len(trust) != 2 || !bytes.Equal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trust[1].Raw}), text) {
				t.Errorf("agents trust %d roots", len(trust))
			}
		},
		"ca.domain": func(t *testing.T) {
			if own, _ := enrolled(t, "--ca-domain=trust.example"); own.URIs[0].Host != "trust.example" {
				t.Errorf("agents are %s", own.URIs[0])
			}
		},
		"ca.lifetime": func(t *testing.T) {
			if own, _ := enrolled(t, "--ca-lifetime=30m"); !near(own.NotAfter, 30*time.Minute) {
				t.Errorf("agents' certificates end %s", own.NotAfter)
			}
		},
		"ca.token-lifetime": func(t *testing.T) {
			var made struct{ Expires time.Time }
			r := serve(t, t.TempDir(), "", "--ca-token-lifetime=5m")
			if err := r.Do(t.Context(), "POST", "/api/v1/clusters", map[string]string{"name": "a"}, &made); err != nil || !near(made.Expires, 5*time.Minute) {
				t.Errorf("join tokens end %s: %v", made.Expires, err)
			}
		},
		"keep.feed":    keepsFeed,
		"keep.history": keepsHistory,
		"keep.events":  keepsEvents,
		"keep.audit": func(t *testing.T) {
			dir := t.TempDir()
			r := serve(t, dir, "")
			create(t, r)
			eventually(t, "the request is on record", func() error { return want(len(audited(t, r)) == 1, audited(t, r)) })
			r.stop()
			r = serve(t, dir, "", "--keep-audit=1ns")
			eventually(t, "the record is forgotten", func() error { return want(len(audited(t, r)) == 0, audited(t, r)) })
		},
		"kube.user-rate":    func(t *testing.T) { tooOften(t, "more than 1 requests a second", "sends", "--kube-user-rate=1") },
		"kube.cluster-rate": func(t *testing.T) { tooOften(t, "more than 1 requests a second", "is sent", "--kube-cluster-rate=1") },
		"kube.user-requests": func(t *testing.T) {
			tooMany(t, "/api/v1/nodes", `"bootstrap-admin\" has 1 requests under way`, "--kube-user-requests=1")
		},
		"kube.cluster-requests": func(t *testing.T) {
			tooMany(t, "/api/v1/nodes", "has 1 requests under way", "--kube-cluster-requests=1")
		},
		"kube.user-streams": func(t *testing.T) {
			tooMany(t, "/api/v1/nodes?watch=true", `"bootstrap-admin\" has 1 watches`, "--kube-user-streams=1")
		},
		"kube.cluster-streams": func(t *testing.T) {
			tooMany(t, "/api/v1/nodes?watch=true", "has 1 watches", "--kube-cluster-streams=1")
		},
		"log.level":  func(t *testing.T) { logged(t, "", `"the database is SQLite"`, "--log-level=warn") },
		"log.format": func(t *testing.T) { logged(t, "\tINFO\tthe database is SQLite", `"level"`, "--log-format=text") },
		"drain": func(t *testing.T) {
			r := serve(t, t.TempDir(), "", "--drain=3s")
			r.synthetic(t, nil)
			stopped := make(chan struct{})
			go func() { r.stop(); close(stopped) }()
			eventually(t, "it drains", func() error { return says(r.logs, "draining", "3s") })
			if got := ask(t, r, "GET", "/readyz", ""); got.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("while it drains it says that it is ready: %s", got.Status)
			}
			<-stopped
		},
		"ticket-lifetime": func(t *testing.T) {
			var ticket struct{ Expires time.Time }
			r := serve(t, t.TempDir(), "", "--ticket-lifetime=7m")
			if err := r.Do(t.Context(), "POST", "/api/v1/me/ticket", map[string]string{"lifetime": "7m"}, &ticket); err != nil || !near(ticket.Expires, 7*time.Minute) {
				t.Errorf("a ticket ends %s: %v", ticket.Expires, err)
			}
			if err := r.Do(t.Context(), "POST", "/api/v1/me/ticket", map[string]string{"lifetime": "8m"}, &ticket); err == nil || !strings.Contains(err.Error(), "to 7m0s") {
				t.Errorf("a longer one is answered %v", err)
			}
		},
		"verify-every": func(t *testing.T) {
			r := serve(t, t.TempDir(), "", "--verify-every=1ns")
			r.synthetic(t, nil)
			eventually(t, "rows are recomputed", func() error {
				// A cluster that is deleted wakes who does this, a minute early.
				made := create(t, r)
				if err := r.Do(t.Context(), "DELETE", "/api/v1/clusters/"+made.ID, nil, nil); err != nil {
					return err
				}
				return says(r.logs, "a cluster's digests were verified")
			})
		},
	}
}

func want(ok bool, is any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("it is %+v", is)
}

// near tells whether a moment is as far away as it should be, as far as certificates and machines are exact.
func near(at time.Time, away time.Duration) bool {
	off := time.Until(at) - away
	return off > -time.Minute && off < time.Minute
}

func there(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func create(t *testing.T, r *running) stack.Created {
	t.Helper()
	made, err := r.CreateCluster(t.Context(), fmt.Sprint("c", time.Now().UnixNano()), nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// ask sends a request with headers and gives its answer, whose body was read.
func ask(t *testing.T, r *running, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp
}

// certificate gives files: a root, and a certificate for this machine under it, with its key.
func certificate(t *testing.T) (ca, chain, key string) {
	t.Helper()
	dir := t.TempDir()
	certs, secret, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, root := pem.Decode(certs)
	return write(t, filepath.Join(dir, "ca.pem"), string(root)), write(t, filepath.Join(dir, "chain.pem"), string(certs)), write(t, filepath.Join(dir, "key.pem"), string(secret))
}

// trusting is a client that knows the root of a file.
func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func servedByItsCertificate(t *testing.T) {
	ca, chain, key := certificate(t)
	r := serve(t, t.TempDir(), "", "--tls-cert="+chain, "--tls-key="+key)
	r.HTTP = trusting(t, ca)
	if me := get[struct{ Name string }](t, r, "/api/v1/me"); !strings.HasPrefix(r.URL, "https://") || me.Name != "bootstrap-admin" {
		t.Errorf("%s knows %q", r.URL, me.Name)
	}
}

func kubeconfigSays(t *testing.T, text string, args ...string) {
	t.Helper()
	r := serve(t, t.TempDir(), "", args...)
	got, err := r.Text(t.Context(), "/api/v1/kubeconfig?auth=exec")
	if err != nil || !strings.Contains(got, text) {
		t.Errorf("the kubeconfig is (%v)\n%s\nand lacks\n%s", err, got, text)
	}
}

type auditRecord struct{ Verb, From string }

func audited(t *testing.T, r *running) []auditRecord {
	return get[page[auditRecord]](t, r, "/api/v1/audit?writes=true").Items
}

// enrolled gives the certificate of an agent that has joined, and the roots it trusts.
func enrolled(t *testing.T, args ...string) (own *x509.Certificate, trust []*x509.Certificate) {
	t.Helper()
	_, dir, _ := serve(t, t.TempDir(), "", args...).synthetic(t, nil)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		var kept struct{ Certificate, TrustBundle string }
		if text, err := os.ReadFile(f); err == nil && json.Unmarshal(text, &kept) == nil && kept.Certificate != "" {
			return certificates(t, kept.Certificate)[0], certificates(t, kept.TrustBundle)
		}
	}
	t.Fatalf("no certificate is in %q", files)
	return nil, nil
}

func certificates(t *testing.T, text string) (out []*x509.Certificate) {
	t.Helper()
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func keepsFeed(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir, "")
	_, _, a := r.synthetic(t, nil)
	a.Touch(5)
	settle(t, a)
	r.stop()
	r = serve(t, dir, "", "--keep-feed=1ns")
	eventually(t, "who resumes is told to begin anew", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := r.Stream(ctx, map[string]any{"type": "subscribe", "id": "all", "from": 1})
		if err != nil {
			return err
		}
		defer s.Close()
		var seen []string
		for {
			f, err := s.Next(ctx)
			if err != nil || f.Type == "reset" {
				return errors.Join(err, want(err == nil, seen))
			}
			seen = append(seen, f.Type)
		}
	})
}

func keepsHistory(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir, "")
	_, _, a := r.synthetic(t, nil)
	before := fmt.Sprintf("/api/v1/resources?kind=Pod&at=%d", a.Stats().Position)
	a.Touch(5)
	settle(t, a)
	get[page[struct{}]](t, r, before)
	r.stop()
	r = serve(t, dir, "", "--keep-history=1ns")
	eventually(t, "the past is gone", func() error {
		got := ask(t, r, "GET", before, "")
		return want(got.StatusCode == http.StatusGone, got.Status)
	})
}

func keepsEvents(t *testing.T) {
	dir := t.TempDir()
	r := serve(t, dir, "")
	_, _, stop := r.real(t, "")
	events := func() int { return len(get[page[struct{}]](t, r, "/api/v1/events").Items) }
	eventually(t, "there are events", func() error { return want(events() > 0, events()) })
	stop()
	r.stop()
	r = serve(t, dir, "", "--keep-events=1ns")
	eventually(t, "they are forgotten", func() error { return want(events() == 0, events()) })
}

func serveAPI(t *testing.T, h http.Handler) *rest.Config {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL}
}

// tooOften sends requests one after the other until one is too many.
func tooOften(t *testing.T, says, who string, args ...string) {
	t.Helper()
	r := serve(t, t.TempDir(), "", args...)
	id, _, _ := r.synthetic(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	for i := range 3 { // twice the rate may come at once
		got := ask(t, r, "GET", "/k8s/clusters/"+id+"/api/v1/nodes", "")
		text, _ := io.ReadAll(got.Body)
		if refused := got.StatusCode == http.StatusTooManyRequests; refused != (i == 2) || refused && !strings.Contains(string(text), who+" "+says) {
			t.Errorf("request %d: %s %s", i+1, got.Status, text)
		}
	}
}

// tooMany sends a request while another of its sort is under way.
func tooMany(t *testing.T, path, says string, args ...string) {
	t.Helper()
	r := serve(t, t.TempDir(), "", args...)
	arrived, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	id, _, _ := r.synthetic(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		once.Do(func() { close(arrived) })
		select {
		case <-leave:
		case <-req.Context().Done():
		}
		_, _ = io.WriteString(w, "{}")
	}))
	done := make(chan struct{})
	go func() { ask(t, r, "GET", "/k8s/clusters/"+id+path, ""); close(done) }()
	<-arrived
	got := ask(t, r, "GET", "/k8s/clusters/"+id+path, "")
	text, _ := io.ReadAll(got.Body)
	if got.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(text), says) {
		t.Errorf("the second is answered %s %s; want %q", got.Status, text, says)
	}
	close(leave)
	<-done
}
