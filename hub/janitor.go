package hub

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/httpapi"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// janitor does what is due now and then: it deletes what is kept long enough, purges what was deleted, and recomputes digests.
type janitor struct {
	hub      *Hub
	chores   *chores
	verified map[store.Scope]time.Time
	wake     chan struct{} // one place: there is something to purge
}

// How often the janitor looks, and how much it does in one go: short transactions, so that nobody waits for it.
const (
	sweepEvery = time.Minute
	sweepRows  = 5000
)

func newJanitor(h *Hub, reg prometheus.Registerer) *janitor {
	return &janitor{hub: h, verified: map[store.Scope]time.Time{}, wake: make(chan struct{}, 1), chores: newChores(reg)}
}

func (j *janitor) run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		j.sweep(ctx)
		j.verifyDue(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-j.wake:
		}
	}
}

// due asks for a round now.
func (j *janitor) due() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// sweep deletes until nothing is left to delete. A failure is logged, and the next round tries again.
func (j *janitor) sweep(ctx context.Context) {
	keep := store.Keep{Feed: j.hub.cfg.Keep.Feed, History: j.hub.cfg.Keep.History, Events: j.hub.cfg.Keep.Events}
	j.repeat(ctx, trimming, "what is past its time was not deleted", func() (bool, error) { return j.hub.store.Trim(ctx, keep, sweepRows) })
	forget := time.Now().Add(-j.hub.cfg.Keep.Audit)
	j.repeat(ctx, forgetting, "the record of requests past its time was not deleted", func() (bool, error) { return j.hub.store.DropAudit(ctx, forget, sweepRows) })
	j.repeat(ctx, purging, "deleted clusters were not purged", func() (bool, error) { return j.hub.store.Purge(ctx, sweepRows) })
}

func (j *janitor) repeat(ctx context.Context, task, failure string, step func() (more bool, err error)) {
	for ctx.Err() == nil {
		more, err := step()
		if err != nil && ctx.Err() == nil {
			j.hub.log.Warn(failure, zap.Error(err))
		}
		if err != nil {
			return
		}
		j.chores.pieces.WithLabelValues(task).Inc()
		if !more {
			j.chores.done.WithLabelValues(task).SetToCurrentTime()
			return
		}
	}
}

// verifyDue recomputes the digests of live clusters whose turn it is, one a round: each reads all of its cluster's rows.
func (j *janitor) verifyDue(ctx context.Context) {
	if j.hub.cfg.VerifyEvery <= 0 {
		return
	}
	now := time.Now()
	for _, at := range j.hub.gateway.Live() {
		last, seen := j.verified[at]
		if !seen {
			j.verified[at] = now // a session that has just begun has just compared
			continue
		}
		if now.Sub(last) < j.hub.cfg.VerifyEvery {
			continue
		}
		j.verified[at] = now
		if _, _, err := j.hub.Verify(ctx, at); err != nil && ctx.Err() == nil {
			j.hub.log.Warn("a cluster's digests were not verified", zap.Stringer("cluster", at.Cluster), zap.Error(err))
		}
		return
	}
}

// Verify recomputes a cluster's digests from its stored rows, and has its agent compare, if it can be reached: what was damaged is sent again.
// It gives the number of rows that did not say what their hashes said.
func (h *Hub) Verify(ctx context.Context, at store.Scope) (corrected int, compared bool, err error) {
	for _, table := range topo.Tables {
		n, err := h.store.Verify(ctx, at, table)
		corrected += n
		if err != nil {
			return corrected, false, err
		}
	}
	h.janitor.chores.corrected.Add(float64(corrected))
	h.janitor.chores.verified.Inc()
	if corrected > 0 {
		h.log.Error("stored rows were damaged; the agent is asked to send them again", zap.Stringer("cluster", at.Cluster), zap.Int("rows", corrected))
	}
	h.log.Debug("a cluster's digests were verified", zap.Stringer("cluster", at.Cluster), zap.Int("corrected", corrected))
	if err := h.gateway.Resync(ctx, at, "verify"); err != nil {
		h.log.Info("the agent can't compare now; its next session will", zap.Stringer("cluster", at.Cluster), zap.Error(err))
		return corrected, false, nil
	}
	return corrected, true, nil
}

// tunnelsOf shows the hub's tunnels to the API.
type tunnelsOf struct{ hub *Hub }

func (t tunnelsOf) Ping(ctx context.Context, at store.Scope) (httpapi.Pong, error) {
	reply, took, err := t.hub.gateway.Ping(ctx, at)
	if err != nil {
		return httpapi.Pong{}, err
	}
	return httpapi.Pong{Agent: reply.GetAgentVersion(), Version: reply.GetKubernetesVersion(), RoundTrip: took}, nil
}

// Cut ends a deleted cluster's tunnels; its rows are purged from now on.
func (t tunnelsOf) Cut(at store.Scope, why error) {
	t.hub.gateway.Cut(at, why)
	t.hub.janitor.due()
}
