package tunnel

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Peer is the other end of a tunnel as its certificate and connection tell.
type Peer struct {
	Certificate *x509.Certificate // verified; of an agent at the hub, of the hub at an agent
	SPIFFE      string            // the certificate's SPIFFE URI, "" when it has none
	Addr        net.Addr          // of the connection: it may be a proxy's or a load balancer's
}

// Credentials are what one end shows and whom it trusts.
type Credentials struct {
	Certificate tls.Certificate // with its chain; the hub's goes up to its root, so that a pin can be found in it
	Roots       *x509.CertPool  // the hub's CA; during a rotation the old and the new one
}

// Pin is the SHA-256 of a certificate's public key (SubjectPublicKeyInfo), by which a first contact knows the hub's root.
type Pin [sha256.Size]byte

// PinOf computes the pin of a certificate.
func PinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// link is a connection that has passed its TLS handshake.
type link struct {
	raw     *wire
	tls     *tls.Conn
	peer    Peer
	expires time.Time // the earlier NotAfter of both certificates
}

func newLink(raw *wire, conn *tls.Conn, own tls.Certificate) link {
	l := link{raw: raw, tls: conn, peer: Peer{Addr: raw.RemoteAddr()}}
	if own.Leaf != nil {
		l.expires = own.Leaf.NotAfter
	}
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		leaf := certs[0]
		l.peer.Certificate, l.peer.SPIFFE = leaf, spiffe(leaf)
		if l.expires.IsZero() || leaf.NotAfter.Before(l.expires) {
			l.expires = leaf.NotAfter
		}
	}
	return l
}

// spiffe is a certificate's identity. Two URIs would be two identities: then it has none.
func spiffe(cert *x509.Certificate) string {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "spiffe" {
		return ""
	}
	return cert.URIs[0].String()
}

// leafed parses the leaf once, which crypto/tls would otherwise do at each handshake.
func leafed(c Credentials) (Credentials, error) {
	if len(c.Certificate.Certificate) == 0 {
		return c, fault.New(fault.Internal, "there is no certificate for the tunnel")
	}
	if c.Certificate.Leaf == nil {
		leaf, err := x509.ParseCertificate(c.Certificate.Certificate[0])
		if err != nil {
			return c, fault.Wrap(err, fault.Internal, "the tunnel's own certificate cannot be read")
		}
		c.Certificate.Leaf = leaf
	}
	return c, nil
}

// baseTLS is common to all ends: TLS 1.3, no tickets (a resumed session would outlive its certificate), and records of full
// size from the start, since the frames are cut to fill them.
func baseTLS(protos ...string) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		NextProtos:                  protos,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// clientTLS is the agent's: mutual, the hub's CA pinned.
func clientTLS(c Credentials, serverName string) *tls.Config {
	cfg := baseTLS(ProtoTunnel)
	cfg.Certificates = []tls.Certificate{c.Certificate}
	cfg.RootCAs = c.Roots
	cfg.ServerName = serverName
	cfg.VerifyConnection = requireProto(ProtoTunnel)
	return cfg
}

// pinnedTLS is that of a first contact: the chain must hold a root with one of the pins, and be right under it.
func pinnedTLS(pins []Pin, serverName string) *tls.Config {
	cfg := baseTLS(ProtoEnroll)
	cfg.ServerName = serverName
	cfg.InsecureSkipVerify = true // the roots are not known yet: VerifyConnection does the whole verification
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := requireProto(ProtoEnroll)(cs); err != nil {
			return err
		}
		return verifyPinned(cs.PeerCertificates, pins, serverName)
	}
	return cfg
}

func requireProto(proto string) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		if cs.NegotiatedProtocol != proto {
			return fault.New(fault.Unavailable, "the server does not speak %s", proto)
		}
		return nil
	}
}

func verifyPinned(chain []*x509.Certificate, pins []Pin, serverName string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, cert := range chain {
		if slices.ContainsFunc(pins, func(p Pin) bool { return matches(cert, p) }) {
			roots.AddCert(cert)
			found = true
		} else {
			between.AddCert(cert)
		}
	}
	if !found {
		return fault.New(fault.Unauthorized, "no certificate of the server has the pinned key")
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: serverName}); err != nil {
		return fault.Wrap(err, fault.Unauthorized, "the server's certificate is not right under the pinned key")
	}
	return nil
}

func matches(cert *x509.Certificate, pin Pin) bool {
	own := PinOf(cert)
	return subtle.ConstantTimeCompare(own[:], pin[:]) == 1
}

// busy is the alert by which a hub that takes no more handshakes refuses one; TLS has no better word before the handshake.
const busy = tls.AlertError(80) // internal_error

// retryBusy is when a refused agent comes back at the earliest; its backoff adds jitter.
const retryBusy = 5 * time.Second

// handshakeErr words a failed handshake at the dialing side.
func handshakeErr(err error) error {
	var (
		remote  *net.OpError
		unknown *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		ours    *fault.Error
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &remote) && remote.Op == "remote error" && remote.Err.Error() == busy.Error():
		return fault.Wrap(err, fault.Unavailable, "the hub takes no more connections at the moment").After(retryBusy)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fault.Wrap(err, fault.Unauthorized, "the hub refused this agent's certificate or protocol")
	case errors.As(err, &unknown):
		return fault.Wrap(err, fault.Unauthorized, "the server is not the hub that this agent is pinned to")
	case errors.As(err, &record):
		return fault.Wrap(err, fault.Unavailable, "the server does not speak TLS")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "the TLS handshake with the hub took too long")
	default:
		return fault.Wrap(err, fault.Unavailable, "the TLS handshake with the hub failed")
	}
}
