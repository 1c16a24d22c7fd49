package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

var errPending = fault.New(fault.Internal, "this can't be answered yet")

func (b *Base) Check(ctx context.Context, at store.Scope, limit int) ([]store.Violation, error) {
	return nil, errPending
}
