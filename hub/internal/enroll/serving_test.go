package enroll

import (
	"bytes"
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/join"
)

func TestDerive(t *testing.T) {
	dir := t.TempDir()
	derive := func(file, purpose string) []byte {
		key, err := open(t, AuthorityConfig{File: filepath.Join(dir, file)}).Derive(purpose)
		if err != nil || len(key) != 32 {
			t.Fatalf("%d bytes, %v", len(key), err)
		}
		return key
	}
	one := derive("a.pem", "one")
	if !bytes.Equal(one, derive("a.pem", "one")) {
		t.Error("two hubs with one root derive different keys")
	}
	if bytes.Equal(one, derive("a.pem", "two")) || bytes.Equal(one, derive("b.pem", "one")) {
		t.Error("another purpose or root gives the same key")
	}
}

func TestServing(t *testing.T) {
	a := open(t, AuthorityConfig{File: filepath.Join(t.TempDir(), "a.pem"), ServerLifetime: time.Hour})
	certificate := a.Serving([]string{"hub.example", "127.0.0.1"})
	first, err := certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.RootPEM())
	for name, want := range map[string]bool{"hub.example": true, "127.0.0.1": true, "127.0.0.2": false, join.HubName: false} {
		_, err := first.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if again, _ := certificate(nil); again != first {
		t.Error("each handshake makes a certificate")
	}
	a.now = func() time.Time { return time.Now().Add(40 * time.Minute) }
	if later, err := certificate(nil); err != nil || later == first {
		t.Errorf("it goes on into its end: %v", err)
	}
}
