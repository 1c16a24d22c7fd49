package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

var errPending = fault.New(fault.Internal, "not kept yet")

func (b *Base) PutAudit(context.Context, []store.AuditRecord) error { return errPending }
func (b *Base) Audit(context.Context, fleet.TenantID, store.AuditFilter, string, int) ([]store.AuditRecord, error) {
	return nil, errPending
}
func (b *Base) AbandonAudit(context.Context, []string, time.Time) (int, error) { return 0, errPending }
func (b *Base) DropAudit(context.Context, time.Time, int) (int, error)         { return 0, errPending }
