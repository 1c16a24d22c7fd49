package postgres

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// noUID stands where a UID is not written as UUIDs are.
const noUID = `00000000-0000-0000-0000-000000000000`

// parseUID gives the 16 bytes of a UID whose text follows from them: lower-case, with its dashes, not all zero.
func parseUID(s string) (id topo.ID, ok bool) {
	if len(s) != len(noUID) || s == noUID || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	var digits [32]byte
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
			digits[n] = c
			n++
		default:
			return id, false
		}
	}
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

// versionColumns gives the versions that a plan ends, as they were read.
func versionColumns(p *relational.Plan) []any {
	n := len(p.ClosedNodes)
	ids, uids := make(keys, n), make(keys, n)
	from, created, states := make([]int64, n), make([]int64, n), make([]int16, n)
	versions, odd, statuses, labels, attrs := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, old := range p.ClosedNodes {
		x := &old.Node
		if i < len(p.UpdateNodes) {
			ids[i] = p.UpdateNodes[i].ID
		} else {
			ids[i] = p.GoneNodes[i-len(p.UpdateNodes)]
		}
		uid, ok := parseUID(x.UID)
		if !ok {
			odd[i] = x.UID
		}
		uids[i], from[i], created[i], states[i] = uid, old.From, x.Created, state(old)
		versions[i], statuses[i], labels[i], attrs[i] = x.Version, x.Status, p.ClosedLabels(i), p.ClosedAttrs(i)
	}
	return []any{ids, uids, from, created, states, versions, odd, statuses, labels, attrs}
}

// state packs what is small: whether the resource began with this version, its presence and its health.
func state(n *relational.NodeNow) int16 {
	s := int16(min(n.Node.Presence, 63))<<8 | int16(n.Node.Health)
	if n.First {
		s |= 1 << 14
	}
	return s
}

// pastAttrs are the attributes that a closed version h had: its own, or those that it inherits with its own behind them.
func pastAttrs(inherited func(string) string) string {
	return `CASE WHEN h.labels <> '' THEN h.attrs WHEN h.attrs = '' THEN ` + inherited("attrs") + ` ELSE left(` + inherited("attrs") + `, -1) || ',' || substr(h.attrs, 2) END`
}

// closedDays has partitions left out that can't have the versions.
func closedDays(alias string, first, last time.Time) (condition string) {
	if !first.IsZero() {
		condition = ` AND ` + alias + `.closed >= '` + first.UTC().Format(time.DateOnly) + `'`
	}
	if !last.IsZero() {
		condition += ` AND ` + alias + `.closed <= '` + last.UTC().Format(time.DateOnly) + `'`
	}
	return condition
}

// pin leaves a position where the transaction's statements find it. Their text doesn't change with it, so that what is prepared for one position serves all.
func pin(ctx context.Context, c relational.Conn, name string, pos int64) (string, error) {
	_, err := c.Exec(ctx, `SELECT set_config('kubilitics.`+name+`', $1, TRUE)`, strconv.FormatInt(pos, 10))
	return `(SELECT current_setting('kubilitics.` + name + `')::bigint)`, err
}
