package enroll

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net/url"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// uriOf names a cluster in its agent's certificate.
func uriOf(trustDomain string, at store.Scope) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/tenant/" + at.Tenant.String() + "/cluster/" + at.Cluster.String()}
}

// agentTemplate is a certificate for an agent. The generation stands in the subject's serialNumber, where people see it as well.
func agentTemplate(trustDomain string, at store.Scope, generation int64, serial *big.Int) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: at.Cluster.String(), SerialNumber: strconv.FormatInt(generation, 10)},
		URIs:         []*url.URL{uriOf(trustDomain, at)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// scopeOf reads what agentTemplate wrote.
func scopeOf(trustDomain string, cert *x509.Certificate) (store.Scope, int64, error) {
	refused := fault.New(fault.Unauthorized, "the certificate isn't one of an agent of this hub")
	if cert == nil || len(cert.URIs) != 1 {
		return store.Scope{}, 0, refused
	}
	parts := strings.Split(cert.URIs[0].Path, "/")
	if len(parts) != 5 {
		return store.Scope{}, 0, refused
	}
	tenant, errTenant := fleet.ParseTenantID(parts[2])
	cluster, errCluster := fleet.ParseClusterID(parts[4])
	generation, errGeneration := strconv.ParseInt(cert.Subject.SerialNumber, 10, 64)
	at := store.Scope{Tenant: tenant, Cluster: cluster}
	// Written again and compared as a whole, so that no second spelling of an identity passes.
	if errTenant != nil || errCluster != nil || errGeneration != nil || *cert.URIs[0] != *uriOf(trustDomain, at) {
		return store.Scope{}, 0, refused
	}
	return at, generation, nil
}

// serialOf derives a serial number from what a certificate is for, so that a request repeated after a lost reply is for the same
// certificate in the record.
func serialOf(purpose string, at store.Scope, generation int64, keyHash []byte) *big.Int {
	h := sha256.New()
	h.Write([]byte(purpose + "\x00"))
	for _, n := range []int64{int64(at.Tenant), int64(at.Cluster), generation} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	h.Write(keyHash)
	return serialFrom(h.Sum(nil))
}
