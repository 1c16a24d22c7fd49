package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// traced makes spans of statements and batches, for what is traced.
type traced struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (traced) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !obs.Current(ctx).On() {
		return ctx
	}
	ctx, _ = obs.Call(ctx, relational.Statement(data.SQL))
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (traced) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	span := obs.Current(ctx)
	span.Number("db.response.rows", data.CommandTag.RowsAffected())
	span.End(data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (traced) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	ctx, span := obs.Call(ctx, "batch")
	span.Number("db.operation.batch.size", int64(data.Batch.Len()))
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (traced) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (traced) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	obs.Current(ctx).End(data.Err)
}
