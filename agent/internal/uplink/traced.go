package uplink

import (
	"context"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// traces are the spans of deltas that the hub hasn't acknowledged yet, by seq: no more than there are such deltas, and none where none is recorded.
type traces map[int64]obs.Span

// told begins the trace of a delta, from its sending to the hub's word that it is committed, and tells the hub of it.
func (t *traces) told(ctx context.Context, by *obs.Tracer, d *tunnelv1.Delta) {
	if by == nil || d == nil {
		return
	}
	ctx, span := by.Begin(ctx, "delta", "")
	if !span.On() {
		return
	}
	span.Number("kubilitics.epoch", d.GetEpoch())
	span.Number("kubilitics.seq", d.GetSeq())
	span.Number("kubilitics.bytes", int64(len(d.GetRows())))
	span.Number("kubilitics.waited_us", d.GetWaitedUs())
	d.Trace = obs.Parent(ctx)
	if *t == nil {
		*t = traces{}
	}
	(*t)[d.GetSeq()] = span
}

// acknowledged ends those that an acknowledgement covers.
func (t traces) acknowledged(a *tunnelv1.Ack) {
	for seq, span := range t {
		if seq <= a.GetSeq() {
			span.Number("kubilitics.position", a.GetPosition())
			span.End(nil)
			delete(t, seq)
		}
	}
}

// lost ends all of them.
func (t traces) lost(why error) {
	for _, span := range t {
		span.End(why)
	}
	clear(t)
}
