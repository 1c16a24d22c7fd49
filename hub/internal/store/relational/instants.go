package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Instants implements store.Past.
func (s *snapshot) Instants(ctx context.Context, positions []topo.Position) (map[topo.Position]store.Instant, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	wanted := make([]int64, len(positions))
	for i, p := range positions {
		wanted[i] = int64(p)
	}
	w := s.where("e")
	w.and(w.ints("e.pos", wanted))
	type mark struct {
		pos topo.Position
		store.Instant
	}
	marks, err := queryAll(ctx, s.conn, func(rows Rows, m *mark) error { return rows.Scan((*int64)(&m.pos), &m.At, &m.GapSince) },
		`SELECT e.pos, e.at, e.gap_since FROM feed e WHERE `+w.String(), w.args...)
	out := make(map[topo.Position]store.Instant, len(marks))
	for _, m := range marks {
		out[m.pos] = m.Instant
	}
	return out, err
}
