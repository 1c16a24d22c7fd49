package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

var errPending = fault.New(fault.Internal, "this can't be answered yet")

func (b *Base) Check(ctx context.Context, at store.Scope, limit int) ([]store.Violation, error) {
	return nil, errPending
}

func (s *snapshot) History(ctx context.Context, at store.Scope, id topo.ID, before topo.Position, limit int) ([]store.Version, error) {
	return nil, errPending
}

func (s *snapshot) ManifestAt(ctx context.Context, at store.Scope, id topo.ID, since topo.Position) (topo.Manifest, error) {
	return topo.Manifest{}, errPending
}

func (s *snapshot) RowChanges(ctx context.Context, f store.Filter, from topo.Position, after *store.Key, limit int) ([]store.RowChange, error) {
	return nil, errPending
}

func (s *snapshot) EdgeChanges(ctx context.Context, f store.Filter, from topo.Position, after *store.EdgePlace, limit int) ([]store.EdgeChange, error) {
	return nil, errPending
}

func (s *snapshot) Search(ctx context.Context, f store.Filter, limit int) ([]store.Row, bool, error) {
	return nil, false, errPending
}

func (s *snapshot) Values(ctx context.Context, f store.Filter, key, prefix string, limit int) ([]store.Value, error) {
	return nil, errPending
}
