package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/client-go/util/cert"
)

// TestRenewedCertificate: what is written over the files of the API's certificate is served from then on, without a connection lost, and told to
// kubeconfigs; what can't be used changes nothing.
func TestRenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	chain, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	issue := func() (root *x509.CertPool) {
		certs, secret, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, key, secret)
		replace(t, chain, certs)
		root = x509.NewCertPool()
		root.AppendCertsFromPEM(certs)
		return root
	}
	first := issue()
	cfg := DefaultConfig()
	cfg.Listen, cfg.Tunnel.Listen, cfg.DataDir, cfg.TLSCert, cfg.TLSKey = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), chain, key
	core, logs := observer.New(zap.InfoLevel)
	h, err := New(t.Context(), cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	h.face.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	believed := func(root *x509.CertPool) bool {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: root, MinVersion: tls.VersionTLS12}}}
		resp, err := c.Get(h.APIURL() + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}
	told := func(what string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); logs.FilterMessage(what).Len() == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not told: %s", what)
			}
		}
	}
	before := string(h.face.public().OwnCA)
	if !believed(first) || before == "" {
		t.Fatal("the first isn't served")
	}
	replace(t, key, []byte("half a file"))
	told("what the files of the API's certificate hold now can't be used; it goes on with what they held before")
	if !believed(first) {
		t.Error("a broken file took the certificate away")
	}
	second := issue()
	told("the files of the API's certificate were read anew")
	if !believed(second) || believed(first) || string(h.face.public().OwnCA) == before {
		t.Error("the second isn't served, or not told to kubeconfigs")
	}
}

// replace puts a file in the place of another in one step, as a cluster does with what it mounts.
func replace(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
