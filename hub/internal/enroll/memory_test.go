package enroll

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// memory keeps to the contract of store.Enrolment, in maps.
type memory struct {
	mu         sync.Mutex
	clusters   map[store.Scope]fleet.Cluster
	identities map[store.Scope]store.Identity
	tokens     map[string]store.JoinToken
	certs      map[string]store.Certificate
	lookups    int
}

func newMemory() *memory {
	return &memory{
		clusters: map[store.Scope]fleet.Cluster{}, identities: map[store.Scope]store.Identity{},
		tokens: map[string]store.JoinToken{}, certs: map[string]store.Certificate{},
	}
}

func (m *memory) CreateCluster(_ context.Context, c fleet.Cluster) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, other := range m.clusters {
		if other.Tenant == c.Tenant && other.Name == c.Name {
			return fault.New(fault.Conflict, "the name is taken")
		}
	}
	m.clusters[store.Scope{Tenant: c.Tenant, Cluster: c.ID}] = c
	return nil
}

func (m *memory) Cluster(_ context.Context, at store.Scope) (fleet.Cluster, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.clusters[at]
	if !ok {
		return c, fault.New(fault.NotFound, "no such cluster")
	}
	return c, nil
}

func (m *memory) DeleteCluster(_ context.Context, at store.Scope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.clusters, at)
	return nil
}

func (m *memory) PutJoinToken(_ context.Context, t store.JoinToken) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[t.ID] = t
	return nil
}

func (m *memory) JoinToken(_ context.Context, id string) (store.JoinToken, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	t, ok := m.tokens[id]
	if !ok {
		return t, fault.New(fault.NotFound, "no such token")
	}
	return t, nil
}

func (m *memory) Enrol(_ context.Context, id string, keyHash []byte, who store.Identity, cert store.Certificate) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[id]
	c, ok := m.clusters[t.Scope]
	switch {
	case !ok:
		return fault.New(fault.NotFound, "no such cluster")
	case t.KeyHash != nil && !bytes.Equal(t.KeyHash, keyHash):
		return fault.New(fault.Conflict, "the token was used by another agent")
	case !t.Expires.After(time.Now()):
		return fault.New(fault.Gone, "the token ended")
	case c.KubeUID != "" && c.KubeUID != who.KubeUID:
		return fault.New(fault.Conflict, "the cluster is another one")
	}
	t.KeyHash, c.KubeUID, c.Generation = keyHash, who.KubeUID, cert.Generation
	m.tokens[id], m.clusters[t.Scope], m.identities[t.Scope], m.certs[cert.Serial] = t, c, who, cert
	return nil
}

func (m *memory) Renew(_ context.Context, at store.Scope, from int64, cert store.Certificate) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.clusters[at]
	if !ok {
		return fault.New(fault.NotFound, "no such cluster")
	}
	if _, repeated := m.certs[cert.Serial]; repeated {
		return nil
	}
	if c.Generation != from {
		return fault.New(fault.Conflict, "generation %d isn't the newest", from)
	}
	c.Generation = cert.Generation
	m.clusters[at], m.certs[cert.Serial] = c, cert
	return nil
}

func (m *memory) Identity(_ context.Context, at store.Scope) (store.Identity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.identities[at], nil
}
