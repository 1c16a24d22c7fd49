package sqlite

import (
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// flushed is the store with transactions that are on the disk when they have committed.
type flushed struct{ *Store }

// Write implements relational.Backend.
func (s flushed) Write(ctx context.Context, fn func(context.Context, relational.Conn) error) error {
	return relational.Blame(s.writer.transactFlushed(ctx, func(ctx context.Context, w *writer) error { return fn(ctx, w) }))
}

// PutAudit implements store.Audit. What is under way is on the disk before it is done: agents send again what a power cut takes from the rest of the
// database, but nobody does that for the record.
func (s *Store) PutAudit(ctx context.Context, records []store.AuditRecord) error {
	if slices.ContainsFunc(records, func(r store.AuditRecord) bool { return r.Outcome == store.AuditOpen }) {
		return s.flushed.PutAudit(ctx, records)
	}
	return s.Base.PutAudit(ctx, records)
}
