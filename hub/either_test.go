package hub

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func authority(t *testing.T) *enroll.Authority {
	t.Helper()
	a, err := enroll.OpenAuthority(enroll.AuthorityConfig{File: filepath.Join(t.TempDir(), "ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// served runs a server for both kinds of callers, and gives its address and who trusts it.
func served(t *testing.T) (address string, trusting *http.Client) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := authority(t)
	h := &Hub{cfg: DefaultConfig()}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write([]byte(r.URL.Path + " " + string(body)))
	})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(h.either(plain, a)) }()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.RootPEM())
	trusting = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(func() {
		trusting.CloseIdleConnections()
		_ = srv.Close()
		<-done
	})
	return plain.Addr().String(), trusting
}

func TestBothAtOneAddress(t *testing.T) {
	address, trusting := served(t)
	silent, err := net.Dial("tcp", address) // who says nothing holds nobody up
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, port, _ := net.SplitHostPort(address)
	big := strings.Repeat("x", 1<<20)
	for _, root := range []string{"http://" + address, "https://" + address, "https://localhost:" + port, "http://" + address} {
		resp, err := trusting.Post(root+"/path", "text/plain", strings.NewReader(big))
		if err != nil {
			t.Errorf("%s: %v", root, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != "/path "+big {
			t.Errorf("%s: %d bytes, %v", root, len(body), err)
		}
	}
	if resp, err := http.Get("https://" + address); err == nil {
		_ = resp.Body.Close()
		t.Error("who doesn't know the root trusts it")
	}
	_ = silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("who says nothing is left with %v", err)
	}
}

func TestNeitherIsRefused(t *testing.T) {
	address, _ := served(t)
	for _, said := range []string{"\x16\x03\x01\x00\x02xx", "\x16", "\x00\x00\x00\r\n\r\n"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(said))
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := io.ReadAll(bufio.NewReader(c))
		if err != nil || strings.Contains(string(answer), "200 OK") {
			t.Errorf("%q was answered %q, %v", said, answer, err)
		}
		_ = c.Close()
	}
}

func TestPublic(t *testing.T) {
	dir, a := t.TempDir(), authority(t)
	certificate, err := a.Serving([]string{"hub.example"})(nil)
	if err != nil {
		t.Fatal(err)
	}
	block := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	leaf, root := block(certificate.Certificate[0]), block(certificate.Certificate[1])
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	secret := file("own.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	chain, open := file("chain.pem", leaf+root), file("open.pem", leaf)
	cases := []struct {
		name            string
		cert, ca        string
		wantCA, wantOwn string
	}{
		{"no certificate", "", "", "", string(a.RootPEM())},
		{"no certificate, behind something", "", file("ca.pem", key+root), root, string(a.RootPEM())},
		{"a chain with its root", chain, "", root, root},
		{"a chain to what everybody knows", open, "", "", ""},
		{"a chain, its root told", open, file("root.pem", root), root, root},
	}
	for _, c := range cases {
		f, err := openFace(Config{TLSCert: c.cert, TLSKey: secret, PublicCA: c.ca}, a.RootPEM(), zap.NewNop())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if p := f.public(); string(p.CA) != c.wantCA || string(p.OwnCA) != c.wantOwn {
			t.Errorf("%s: %q, %q", c.name, p.CA, p.OwnCA)
		}
	}
	for _, bad := range []string{filepath.Join(dir, "none.pem"), file("empty.pem", key), file("broken.pem", block([]byte("x")))} {
		if _, err := openFace(Config{PublicCA: bad}, nil, zap.NewNop()); !fault.Is(err, fault.BadRequest) || !strings.Contains(err.Error(), "public-ca") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for address, good := range map[string]bool{"": true, "https://hub.example": true, "https://hub.example/kubilitics": true, "http://hub.example": false, "hub.example": false, "https://": false, "https://u:p@hub": false, "https://hub/?x": false} {
		cfg := DefaultConfig()
		cfg.PublicURL = address
		if err := cfg.check(); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "public-url") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
