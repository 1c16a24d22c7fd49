package kubeserve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// keyPair makes a certificate that signs itself, and its key, as PEM.
func keyPair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// TestCredentials: whatever a kubeconfig has to show, the API server sees it, on each of the ways to it.
func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := keyPair(t, "the-agent")
	script := `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-a-plugin"}}'`
	for name, c := range map[string]struct {
		change func(*rest.Config)
		want   string
	}{
		"token":              {func(c *rest.Config) { c.BearerToken = "text" }, "Bearer text "},
		"file":               {func(c *rest.Config) { c.BearerTokenFile = file }, "Bearer from-a-file "},
		"name and password":  {func(c *rest.Config) { c.Username, c.Password = "a", "b" }, "Basic YTpi "},
		"client certificate": {func(c *rest.Config) { c.CertData, c.KeyData = cert, key }, " the-agent"},
		"plugin": {func(c *rest.Config) {
			c.ExecProvider = &api.ExecConfig{Command: "/bin/sh", Args: []string{"-c", script}, APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: api.NeverExecInteractiveMode}
		}, "Bearer from-a-plugin "},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
				who := r.Header.Get("Authorization") + " "
				if len(r.TLS.PeerCertificates) > 0 {
					who += r.TLS.PeerCertificates[0].Subject.CommonName
				}
				fmt.Fprint(w, who)
			})
			cfg := &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}}
			c.change(cfg)
			r := newRigOn(t, Config{REST: cfg, Access: Operate})
			defer r.stop()
			for _, path := range []string{listPath, watchPath} {
				if _, text := r.ask(t, request(t.Context(), "GET", path, "")); text != c.want {
					t.Errorf("%s: the API server sees %q, want %q", path, text, c.want)
				}
			}
		})
	}
}

// TestProxy: an API server may be behind an HTTP proxy.
func TestProxy(t *testing.T) {
	var connects atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects.Add(1)
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	}))
	t.Cleanup(proxy.Close)
	server := newAPI(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	cfg := restOf(server)
	at, _ := url.Parse(proxy.URL)
	cfg.Proxy = http.ProxyURL(at)
	r := newRigOn(t, Config{REST: cfg, Access: Operate})
	for path, want := range map[string]string{listPath: "HTTP/1.1", watchPath: "HTTP/2.0"} {
		if _, text := r.ask(t, request(t.Context(), "GET", path, "")); text != want {
			t.Errorf("%s over %s, want %s", path, text, want)
		}
	}
	if n := connects.Load(); n != 2 {
		t.Errorf("the proxy was asked %d times", n)
	}
	r.stop()
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]*rest.Config{
		"two credentials": {Host: "https://a", Username: "a", BearerToken: "b"},
		"no URL":          {Host: "https://a:b:c"},
		"no certificate":  {Host: "https://a", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("x")}},
	} {
		if _, err := newUpstream(cfg); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
