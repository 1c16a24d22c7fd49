package enroll

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/join"
)

func open(t *testing.T, cfg AuthorityConfig) *Authority {
	t.Helper()
	a, err := OpenAuthority(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRootIsMadeOnceAndKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca", "root.pem")
	if _, err := OpenAuthority(AuthorityConfig{File: file, MustExist: true}); err == nil {
		t.Fatal("a root that must exist was made")
	}
	pins := make([][32]byte, 8)
	var wg sync.WaitGroup
	for i := range pins {
		wg.Go(func() {
			if a, err := OpenAuthority(AuthorityConfig{File: file}); err == nil {
				pins[i] = a.Pin()
			}
		})
	}
	wg.Wait()
	again := open(t, AuthorityConfig{File: file, MustExist: true}).Pin()
	for _, p := range pins {
		if p != again {
			t.Fatal("hubs that started together went on with different roots")
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".root-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRootsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	one, two := newRootText(t), newRootText(t)
	certOf := func(text []byte) []byte { return text[:bytes.Index(text, []byte("-----BEGIN PRIVATE"))] }
	keyOf := func(text []byte) []byte { return text[bytes.Index(text, []byte("-----BEGIN PRIVATE")):] }
	leaf := open(t, AuthorityConfig{File: filepath.Join(dir, "a.pem")}).Credentials().Certificate
	leafKey, _ := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	leafText := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: leafKey})...)
	for want, text := range map[string][]byte{
		"0 certificates":        keyOf(one),
		"private key":           certOf(one),
		"2 certificates":        append(slices.Clone(certOf(two)), one...),
		"isn't its certificate": append(slices.Clone(certOf(one)), keyOf(two)...),
		"isn't a root":          leafText,
		"can't be read":         []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		file := filepath.Join(dir, "bad.pem")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenAuthority(AuthorityConfig{File: file})
		if !fault.Is(err, fault.BadRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func newRootText(t *testing.T) []byte {
	t.Helper()
	text, err := newRoot()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestKeyOfOpenSSL(t *testing.T) {
	text := newRootText(t)
	block, rest := pem.Decode(text)
	key, _ := pem.Decode(rest)
	parsed, _ := x509.ParsePKCS8PrivateKey(key.Bytes)
	sec1, err := x509.MarshalECPrivateKey(parsed.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.pem")
	text = append(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), pem.EncodeToMemory(block)...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, AuthorityConfig{File: file})
}

func TestServerCertificate(t *testing.T) {
	dir := t.TempDir()
	next := newRootText(t)
	trusted := filepath.Join(dir, "next.pem")
	block, _ := pem.Decode(next)
	if err := os.WriteFile(trusted, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, AuthorityConfig{File: filepath.Join(dir, "root.pem"), TrustedFile: trusted, Names: []string{"hub.example.com", "10.0.0.7"}})
	if bundle := a.Bundle(); len(bundle) != 2 || !bytes.Equal(bundle[0], a.root.Raw) || !bytes.Equal(bundle[1], block.Bytes) {
		t.Errorf("the bundle has %d roots", len(bundle))
	}
	c := a.Credentials()
	for _, name := range []string{join.HubName, "hub.example.com", "10.0.0.7"} {
		if _, err := c.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: c.Roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Certificate.Leaf.Verify(x509.VerifyOptions{Roots: c.Roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the hub's certificate passes for an agent's")
	}
	if len(c.Certificate.Certificate) != 2 || !bytes.Equal(c.Certificate.Certificate[1], a.root.Raw) {
		t.Error("the root isn't sent along: no pin can be found")
	}
}

// Whenever a handshake comes, over many lifetimes, the certificate has half its life before it.
func TestServerCertificateIsRenewedInTime(t *testing.T) {
	a := open(t, AuthorityConfig{File: filepath.Join(t.TempDir(), "root.pem")})
	start, seen := time.Now(), map[string]bool{}
	for hours := range 24 * 60 {
		now := start.Add(time.Duration(hours) * time.Hour)
		a.now = func() time.Time { return now }
		leaf := a.Credentials().Certificate.Leaf
		if leaf.NotAfter.Sub(now) < 84*time.Hour-time.Second {
			t.Fatalf("after %d hours the certificate has %s left", hours, leaf.NotAfter.Sub(now))
		}
		seen[leaf.SerialNumber.String()] = true
	}
	if len(seen) < 15 || len(seen) > 18 {
		t.Errorf("%d certificates in 60 days", len(seen))
	}
}

func TestNothingOutlivesTheRoot(t *testing.T) {
	a := open(t, AuthorityConfig{File: filepath.Join(t.TempDir(), "root.pem")})
	a.now = func() time.Time { return a.root.NotAfter.Add(-time.Minute) }
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	cert, err := a.sign(&x509.Certificate{SerialNumber: randomSerial()}, key.Public(), time.Hour)
	if err != nil || cert.NotAfter.After(a.root.NotAfter) {
		t.Errorf("%v, %v", cert.NotAfter, err)
	}
}
