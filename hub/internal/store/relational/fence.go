package relational

import (
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Fence is what a writer of rows must know of the cluster, read under the lock that keeps other writers out.
type Fence struct {
	Found     bool
	Epoch     int64
	Seq       int64
	LoadEpoch int64
	Synced    bool
	Applied   store.Applied // of the newest batch
}

// SelectFence reads a fence; the dialect's Lock is to follow.
const SelectFence = `SELECT epoch, seq, load_epoch, synced, applied_pos, applied_at, applied_changed FROM clusters
	WHERE tenant_id = $1 AND cluster_id = $2 AND deleted IS NULL`

// Dest gives where to scan a fence to; instant takes applied_at.
func (f *Fence) Dest(instant any) []any {
	return []any{&f.Epoch, &f.Seq, &f.LoadEpoch, &f.Synced, (*int64)(&f.Applied.Position), instant, &f.Applied.Changed}
}

// Check refuses a session that isn't the cluster's newest.
func (f *Fence) Check(at store.Scope, epoch int64) error {
	switch {
	case !f.Found:
		return noCluster(at)
	case f.Epoch != epoch:
		return Fenced(at, epoch)
	}
	return nil
}

// CheckApply refuses a batch of a fenced session, or of a cluster that isn't loaded.
func (f *Fence) CheckApply(b *store.Batch) error {
	if err := f.Check(b.Scope, b.Epoch); err != nil {
		return err
	}
	if !f.Synced {
		return fault.New(fault.Conflict, "cluster %s has not completed its first load", b.Scope.Cluster)
	}
	return nil
}

// CheckLoad refuses a load of a fenced session, or of a cluster that is loaded already.
func (f *Fence) CheckLoad(at store.Scope, epoch int64) error {
	if err := f.Check(at, epoch); err != nil {
		return err
	}
	if f.Synced {
		return fault.New(fault.Conflict, "cluster %s has completed its first load", at.Cluster)
	}
	return nil
}

// UpdateSeq notes what was applied; its arguments are those of SeqArgs.
const UpdateSeq = `UPDATE clusters SET seq = $3, applied_pos = $4, applied_at = $5, applied_changed = $6 WHERE tenant_id = $1 AND cluster_id = $2`

// FinishLoad shows a loaded cluster to readers; its arguments are those of SeqArgs.
const FinishLoad = `UPDATE clusters SET seq = $3, applied_pos = $4, applied_at = $5, applied_changed = $6, first_seen = $4, synced = TRUE, load_epoch = 0
	WHERE tenant_id = $1 AND cluster_id = $2`

// SeqArgs are the arguments of UpdateSeq and FinishLoad.
func SeqArgs(at store.Scope, seq int64, pos topo.Position, instant time.Time, changed int) []any {
	return []any{int64(at.Tenant), int64(at.Cluster), seq, int64(pos), instant, int64(changed)}
}

// EntryArgs are the arguments of InsertEntry.
func EntryArgs(at store.Scope, pos topo.Position, instant time.Time, kind store.EntryKind, gap time.Time, payload []byte) []any {
	return []any{int64(at.Tenant), int64(pos), instant, string(kind), int64(at.Cluster), gap, payload}
}

// Named gives refused rows their cluster.
func Named(at store.Scope, rows []store.Quarantined) []store.Quarantined {
	instant := now()
	for i := range rows {
		rows[i].Scope, rows[i].First, rows[i].Last = at, instant, instant
	}
	return rows
}
