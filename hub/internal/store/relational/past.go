package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// ReadAt implements store.Reader. The floor is read by the transaction that reads the rows, and what is below it is only deleted after it was moved: so
// an answer is never short of versions.
func (b *Base) ReadAt(ctx context.Context, tenant fleet.TenantID, when store.When, fn func(context.Context, store.Snapshot) error) error {
	if when.Now() {
		return b.Read(ctx, tenant, fn)
	}
	return b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		m, err := resolve(ctx, c, tenant, when)
		if err != nil {
			return err
		}
		s := &snapshot{sql: &b.sql, conn: c, tenant: tenant, pos: m.pos, at: m.at, newest: m.latest, floor: m.floor, tables: current}
		if m.pos < m.newest || !when.Time.IsZero() {
			s.asked = later(m.at, when.Time)
		}
		if m.pos < m.newest {
			if err := s.pin(ctx, "at"); err != nil {
				return err
			}
		}
		return fn(ctx, s)
	})
}

// Resolve implements store.Reader.
func (b *Base) Resolve(ctx context.Context, tenant fleet.TenantID, when store.When) (pos topo.Position, at time.Time, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		m, err := resolve(ctx, c, tenant, when)
		pos, at = m.pos, m.at
		return err
	})
	return pos, at, err
}

// moment is a position that was asked for, the newest position, their instants, and the earliest whose rows are all kept.
type moment struct {
	pos, newest, floor topo.Position
	at, latest         time.Time // of pos and newest
}

// resolve finds the newest position that is not after the moment. Before a tenant's first position, as long as nothing was deleted, that is 0, at which
// there was nothing.
func resolve(ctx context.Context, c Conn, tenant fleet.TenantID, when store.When) (m moment, err error) {
	found, err := queryOne(ctx, c, `SELECT pos, at, history_floor FROM tenant_feed WHERE tenant_id = $1`, []any{int64(tenant)},
		(*int64)(&m.newest), &m.latest, (*int64)(&m.floor))
	m.at = m.latest
	switch {
	case err != nil:
		return m, err
	case !found:
		return m, fault.New(fault.NotFound, "there is no tenant %s", tenant)
	case when.Now():
		m.pos = m.newest
		return m, nil
	case when.Position != 0:
		return m.position(ctx, c, tenant, when.Position)
	}
	return m.instant(ctx, c, tenant, when.Time)
}

func (m moment) position(ctx context.Context, c Conn, tenant fleet.TenantID, pos topo.Position) (moment, error) {
	switch {
	case pos < 0:
		return m, badAt("a position is a positive number", "%d is no position", pos)
	case pos > m.newest:
		return m, badAt("the position has not been reached yet", "the newest position is %d", m.newest)
	case pos < m.floor:
		return m, m.gone(ctx, c, tenant, "at")
	case pos == m.newest:
		m.pos = pos
		return m, nil
	}
	found, err := queryOne(ctx, c, `SELECT at FROM feed WHERE tenant_id = $1 AND pos = $2`, []any{int64(tenant), int64(pos)}, &m.at)
	if err == nil && !found {
		err = m.gone(ctx, c, tenant, "at")
	}
	m.pos = pos
	return m, err
}

func (m moment) instant(ctx context.Context, c Conn, tenant fleet.TenantID, at time.Time) (moment, error) {
	if at.After(later(m.at, now())) {
		return m, badAt("the time lies in the future", "it is %s now", now().Format(time.RFC3339))
	}
	found, err := queryOne(ctx, c, `SELECT pos, at FROM feed WHERE tenant_id = $1 AND at <= $2 ORDER BY at DESC LIMIT 1`, []any{int64(tenant), at}, (*int64)(&m.pos), &m.at)
	switch {
	case err != nil:
		return m, err
	case m.pos < m.floor:
		return m, m.gone(ctx, c, tenant, "at")
	case !found:
		m.at = at
	}
	return m, nil
}

func badAt(why, format string, args ...any) error {
	return fault.New(fault.BadRequest, "%s", why).WithField("at", format, args...)
}

// gone names the earliest moment whose rows are all kept.
func (m moment) gone(ctx context.Context, c Conn, tenant fleet.TenantID, field string) error {
	var pos int64
	var at time.Time
	if _, err := queryOne(ctx, c, `SELECT pos, at FROM feed WHERE tenant_id = $1 AND pos >= $2 ORDER BY pos LIMIT 1`, []any{int64(tenant), int64(m.floor)}, &pos, &at); err != nil {
		return err
	}
	return fault.New(fault.Gone, "what was then is not kept any more").
		WithField(field, "the earliest available is position %d, %s", pos, at.UTC().Format(time.RFC3339Nano))
}

// clustersThen gives the clusters there were, with names and labels as they are now, and with freshness as it was.
func (s *snapshot) clustersThen(ctx context.Context, list []fleet.Cluster) ([]fleet.Cluster, error) {
	type interval struct {
		cluster fleet.ClusterID
		fleet.Freshness
	}
	rows, err := queryAll(ctx, s.conn, func(rows Rows, i *interval) error {
		return rows.Scan((*int64)(&i.cluster), (*string)(&i.State), &i.Since)
	}, `SELECT cluster_id, state, since FROM freshness WHERE tenant_id = $1 AND since <= $2 AND (until IS NULL OR until > $2)`, int64(s.tenant), s.asked)
	if err != nil {
		return nil, err
	}
	then := map[fleet.ClusterID]fleet.Freshness{}
	for _, r := range rows {
		then[r.cluster] = r.Freshness
	}
	kept := list[:0]
	for _, cl := range list {
		if cl.Created.After(s.asked) {
			continue
		}
		f, known := then[cl.ID]
		switch {
		case !known:
			f.State = fleet.Never
		case f.State == fleet.Live:
			f.LastHeard = s.asked // in a live interval no sign of life failed to come; later ones than the last are not known of
			if cl.Freshness.LastHeard.Before(s.asked) {
				f.LastHeard = cl.Freshness.LastHeard
			}
		default:
			f.LastHeard = f.Since
		}
		cl.Freshness = f
		cl.Synced = cl.Synced && topo.Position(cl.FirstSeen) <= s.pos
		kept = append(kept, cl)
	}
	return kept, nil
}
