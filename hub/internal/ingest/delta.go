package ingest

import (
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// Rows of a load are written in pieces: large enough that a COPY is worth its round trips, and well below the credit, so that the agent
// never waits for an acknowledgement that waits for it.
const (
	loadRows  = 8192
	loadBytes = Credit / 4
)

// traced takes a delta in under a trace of its own, which names the agent's.
func (x *session) traced(d *tunnelv1.Delta) error {
	stream := x.ctx
	defer func() { x.ctx = stream }()
	ctx, span := x.tracer.Begin(stream, "apply", d.GetTrace())
	x.ctx = ctx
	err := x.delta(d)
	if span.On() {
		span.Text("kubilitics.cluster", x.peer.scope.Cluster.String())
		span.Number("kubilitics.epoch", x.epoch)
		span.Number("kubilitics.seq", d.GetSeq())
		span.Number("kubilitics.bytes", int64(len(d.GetRows())))
		span.Number("kubilitics.position", int64(x.position))
		span.End(err)
	}
	return err
}

// delta checks a frame's place in the session, then loads or applies it.
func (x *session) delta(d *tunnelv1.Delta) error {
	switch {
	case d.GetEpoch() != x.epoch:
		return fault.New(fault.BadRequest, "a delta of epoch %d in a session of epoch %d", d.GetEpoch(), x.epoch)
	case d.GetSeq() != x.seq+1:
		return fault.New(fault.BadRequest, "delta %d follows delta %d: one is missing, or came twice", d.GetSeq(), x.seq)
	case (d.GetLoad() || d.GetLoadEnd()) != x.loading:
		return fault.New(fault.BadRequest, "a delta of the first load belongs before its end, and no other does")
	}
	came := time.Now()
	x.metrics.received(d)
	rows, bad, err := wire.Decode(d.GetRows())
	if err != nil {
		return err
	}
	x.seq = d.GetSeq()
	if err := x.setAside(bad); err != nil {
		return err
	}
	switch {
	case d.GetLoadEnd():
		err = x.loadEnd(rows)
	case d.GetLoad():
		err = x.loadMore(rows, len(d.GetRows()))
	default:
		err = x.apply(d, rows)
	}
	if err == nil {
		x.metrics.committed(d, came)
	}
	return err
}

// setAside quarantines rows that can't be kept.
func (x *session) setAside(bad []wire.Bad) error {
	if len(bad) == 0 {
		return nil
	}
	rows := make([]store.Quarantined, len(bad))
	for i, b := range bad {
		rows[i] = store.Quarantined{Scope: x.peer.scope, Table: b.Table, Key: b.Key, Reason: b.Reason}
	}
	if err := x.store.Quarantine(x.ctx, rows); err != nil {
		return err
	}
	x.reportBad(rows)
	return nil
}

func (x *session) reportBad(rows []store.Quarantined) {
	for _, q := range rows {
		x.metrics.quarantined.WithLabelValues(q.Table).Inc()
		x.log.Warn("a row was set aside", obs.Trace(x.ctx), zap.String("table", q.Table), zap.String("key", q.Key), zap.String("reason", q.Reason))
	}
}

func (x *session) apply(d *tunnelv1.Delta, rows topo.Delta) error {
	b := store.Batch{Scope: x.peer.scope, Epoch: x.epoch, Seq: x.seq, Delta: rows}
	if d.GetResync() {
		b.GapSince = x.gapSince
	}
	done, err := x.store.Apply(x.ctx, b)
	if err != nil {
		return err
	}
	x.note(done)
	if d.GetResyncEnd() {
		if err := x.agree(); err != nil {
			return err
		}
	}
	return x.ack()
}

func (x *session) note(done store.Applied) {
	x.position = max(x.position, done.Position)
	x.metrics.batches.Inc()
	x.metrics.rows.Add(float64(done.Changed))
	x.reportBad(done.Quarantined)
}

func (x *session) ack() error {
	x.metrics.acks.Inc()
	return x.send(&tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_Ack{Ack: &tunnelv1.Ack{Seq: x.seq, Position: int64(x.position)}}})
}

// loadMore collects rows of the load and writes them when there are enough. Only what is written is acknowledged.
func (x *session) loadMore(rows topo.Delta, size int) error {
	if len(rows.GoneNodes)+len(rows.GoneEdges)+len(rows.GoneManifests) > 0 {
		return fault.New(fault.BadRequest, "a first load removes nothing")
	}
	x.held.Nodes = append(x.held.Nodes, rows.Nodes...)
	x.held.Edges = append(x.held.Edges, rows.Edges...)
	x.held.Manifests = append(x.held.Manifests, rows.Manifests...)
	x.held.Events = append(x.held.Events, rows.Events...)
	x.heldLen += size
	if x.held.Len() < loadRows && x.heldLen < loadBytes {
		return nil
	}
	if err := x.flush(); err != nil {
		return err
	}
	return x.ack()
}

func (x *session) flush() (err error) {
	if x.load == nil {
		if x.load, err = x.store.BeginLoad(x.ctx, x.peer.scope, x.epoch); err != nil {
			return err
		}
	}
	if x.held.Len() > 0 {
		bad, err := x.load.Add(x.ctx, x.held)
		if err != nil {
			return err
		}
		x.reportBad(bad)
	}
	x.held, x.heldLen = topo.Delta{}, 0
	return nil
}

// loadEnd shows the load to readers, together with what changed while it ran.
func (x *session) loadEnd(final topo.Delta) error {
	if err := x.flush(); err != nil {
		return err
	}
	done, err := x.load.Commit(x.ctx, x.seq, final)
	if err != nil {
		return err
	}
	x.load, x.loading = nil, false
	x.metrics.loads.Inc()
	x.note(done)
	if err := x.agree(); err != nil {
		return err
	}
	x.log.Info("first load complete", zap.Int64("position", int64(done.Position)))
	return x.ack()
}
