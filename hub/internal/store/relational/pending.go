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

func (s *snapshot) Search(ctx context.Context, f store.Filter, limit int) ([]store.Row, bool, error) {
	return nil, false, errPending
}

func (s *snapshot) Values(ctx context.Context, f store.Filter, key, prefix string, limit int) ([]store.Value, error) {
	return nil, errPending
}
