package relational

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Digest implements store.Digests.
func (b *Base) Digest(ctx context.Context, at store.Scope, table topo.Table) (d *topo.Digest, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		if _, err := cluster(ctx, c, at, ""); err != nil {
			return err
		}
		d, err = readDigest(ctx, c, at, table)
		return err
	})
	return d, err
}

func readDigest(ctx context.Context, c Conn, at store.Scope, table topo.Table) (*topo.Digest, error) {
	rows, err := c.Query(ctx, `SELECT bucket, s0, s1, s2, s3 FROM digests WHERE tenant_id = $1 AND cluster_id = $2 AND tbl = $3`,
		int64(at.Tenant), int64(at.Cluster), int64(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	d := new(topo.Digest)
	for rows.Next() {
		var bucket int64
		var w [4]int64
		if err := rows.Scan(&bucket, &w[0], &w[1], &w[2], &w[3]); err != nil {
			return nil, err
		}
		if bucket >= 0 && bucket < topo.Buckets {
			d[bucket] = sumOf(w)
		}
	}
	return d, rows.Err()
}

// hashTables says where each table's keys and hashes are.
var hashTables = [...]struct{ name, key, own, agents string }{
	topo.Nodes:     {"resources", "id", "", " AND origin = 'agent'"},
	topo.Edges:     {"edges", "source", ", id", " AND origin = 'agent'"},
	topo.Manifests: {"manifests", "id", "", ""},
}

// RowHashes implements store.Digests: a bucket is one range of keys, and neighbours are one range together.
func (b *Base) RowHashes(ctx context.Context, at store.Scope, table topo.Table, buckets []int) (hashes []topo.RowHash, err error) {
	if int(table) >= len(hashTables) {
		return nil, fault.New(fault.BadRequest, "there is no table %d", table)
	}
	t := hashTables[table]
	sql := `SELECT ` + t.key + t.own + `, hash FROM ` + t.name + ` WHERE tenant_id = $1 AND cluster_id = $2 AND ` +
		t.key + ` >= $3 AND ` + t.key + ` <= $4` + t.agents + ` ORDER BY ` + t.key + t.own
	scan := func(rows Rows, h *topo.RowHash) error {
		if table == topo.Edges {
			return rows.Scan(&h.Key.Source, &h.Key.ID, &h.Hash)
		}
		return rows.Scan(&h.Key.Source, &h.Hash)
	}
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		if _, err := cluster(ctx, c, at, ""); err != nil {
			return err
		}
		for _, r := range keyRanges(buckets) {
			more, err := queryAll(ctx, c, scan, sql, int64(at.Tenant), int64(at.Cluster), r.first, r.last)
			if err != nil {
				return err
			}
			hashes = append(hashes, more...)
		}
		return nil
	})
	return hashes, err
}

type keyRange struct{ first, last topo.ID }

// keyRanges gives the ranges of keys of those buckets, neighbours joined.
func keyRanges(buckets []int) []keyRange {
	sorted := slices.Clone(buckets)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	var ranges []keyRange
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		var r keyRange
		binary.BigEndian.PutUint16(r.first[:], uint16(sorted[i]<<4))
		binary.BigEndian.PutUint16(r.last[:], uint16(sorted[j]<<4|15))
		for k := 2; k < len(r.last); k++ {
			r.last[k] = 0xff
		}
		ranges = append(ranges, r)
		i = j + 1
	}
	return ranges
}
