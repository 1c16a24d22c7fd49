package auth

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// LaunchName is the name of whoever comes with the token of a launch.
const LaunchName = "desktop"

// Everything is bindings that permit all there is.
func Everything() []fleet.Binding {
	all := []string{fleet.All}
	return []fleet.Binding{{Verbs: all, Clusters: all, Namespaces: all}}
}

// WithLaunch is a store with one token more, which may do everything and lasts as long as the process: it is in memory alone, and of its secret there is
// only the hash.
func WithLaunch(s store.Tokens, tenant fleet.TenantID, text string) store.Tokens {
	c, _ := credential.Parse(credential.API, text) // what isn't one matches nothing
	return launch{s, store.Token{ID: c.ID, Tenant: tenant, Name: LaunchName, Bindings: Everything(), SecretHash: c.Hash(), Created: time.Now(), CreatedBy: LaunchName}}
}

type launch struct {
	kept  store.Tokens
	token store.Token
}

func (l launch) PutToken(ctx context.Context, t store.Token) error { return l.kept.PutToken(ctx, t) }

func (l launch) Token(ctx context.Context, id string) (store.Token, error) {
	if id == l.token.ID {
		return l.token, nil
	}
	return l.kept.Token(ctx, id)
}

func (l launch) Tokens(ctx context.Context, tenant fleet.TenantID) ([]store.Token, error) {
	list, err := l.kept.Tokens(ctx, tenant)
	if tenant == l.token.Tenant && err == nil {
		list = append(list, l.token)
	}
	return list, err
}

func (l launch) DeleteToken(ctx context.Context, tenant fleet.TenantID, id string) error {
	if id == l.token.ID {
		return fault.New(fault.Conflict, "this token lasts as long as the program that made it: end that")
	}
	return l.kept.DeleteToken(ctx, tenant, id)
}

func (l launch) TouchToken(ctx context.Context, id string, at time.Time) error {
	if id == l.token.ID {
		return nil
	}
	return l.kept.TouchToken(ctx, id, at)
}
