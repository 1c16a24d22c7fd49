package hub

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// AdminToken makes a token that may do everything in the configuration's tenant, straight in the database, for where all of those that could make one are lost.
// The hub may run meanwhile. It is on record as done by this machine, before it is done. The token's text can't be shown again.
func AdminToken(ctx context.Context, cfg Config, name string, log *zap.Logger) (text string, err error) {
	if err := cfg.check(); err != nil {
		return "", err
	}
	s, err := openAsIs(ctx, cfg, log)
	if err != nil {
		return "", err
	}
	defer func() {
		if failed := s.Close(); err == nil {
			err = failed
		}
	}()
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(tenants, func(t fleet.Tenant) bool { return t.Slug == cfg.Tenant })
	if i < 0 {
		return "", fault.New(fault.NotFound, "the database knows no tenant %q", cfg.Tenant).WithField("tenant", "unknown")
	}
	at := tenants[i].ID
	return onRecord(ctx, s, at, name, func() (string, error) {
		_, text, err := auth.New(s, auth.Config{}, log.Named("auth")).Issue(ctx, fleet.Principal{Tenant: at, Name: atHand, Bindings: auth.Everything()},
			auth.NewToken{Name: name, Bindings: auth.Everything()})
		return text, err
	})
}

// atHand is who acts where somebody has the database itself.
const atHand = "kubilitics-hub token"

// onRecord does it between two writes of its record.
func onRecord(ctx context.Context, s store.Audit, tenant fleet.TenantID, name string, do func() (string, error)) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "the record of this has no id, so it was not done")
	}
	host, _ := os.Hostname() // without it the record remains
	began := time.Now()
	r := store.AuditRecord{
		ID: id.String(), Tenant: tenant, At: began.UTC().Truncate(time.Microsecond), Hub: id.String(), Who: atHand, From: host, Via: "token",
		Verb: "create", Resource: "tokens", Name: name, Outcome: store.AuditOpen,
	}
	if err := s.PutAudit(ctx, []store.AuditRecord{r}); err != nil {
		return "", err
	}
	text, err := do()
	r.Outcome, r.Took = store.AuditDone, time.Since(began)
	if err != nil {
		r.Outcome, r.Reason = store.AuditFailed, err.Error()
	}
	if failed := s.PutAudit(context.WithoutCancel(ctx), []store.AuditRecord{r}); err == nil && failed != nil {
		err = failed
	}
	return text, err
}
