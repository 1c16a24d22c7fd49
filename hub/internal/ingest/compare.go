package ingest

import (
	"slices"

	"go.uber.org/zap"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// groups answers the first level of a comparison. When nothing differs, hub and agent have agreed.
func (x *session) groups(g *tunnelv1.Groups) error {
	if x.loading {
		return fault.New(fault.BadRequest, "there is nothing to compare before the first load")
	}
	x.compare = map[topo.Table]*topo.Digest{}
	var answer tunnelv1.UnequalGroups
	for _, t := range g.GetTables() {
		unequal, err := x.unequalGroups(t)
		if err != nil {
			return err
		}
		if len(unequal) > 0 {
			answer.Tables = append(answer.Tables, &tunnelv1.TableGroups{Table: t.GetTable(), Groups: unequal})
		}
	}
	if len(answer.Tables) > 0 {
		x.metrics.unequal.Inc()
	} else {
		x.metrics.equal.Inc()
		x.compare = nil
		if err := x.agree(); err != nil {
			return err
		}
	}
	return x.send(&tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_UnequalGroups{UnequalGroups: &answer}})
}

func (x *session) unequalGroups(t *tunnelv1.TableSums) ([]int32, error) {
	table, err := wire.TableFrom(t.GetTable())
	if err != nil {
		return nil, err
	}
	theirs, err := wire.SumsFrom(t.GetSums(), topo.Groups)
	if err != nil {
		return nil, err
	}
	ours, err := x.store.Digest(x.ctx, x.peer.scope, table)
	if err != nil {
		return nil, err
	}
	x.compare[table] = ours
	var unequal []int32
	for i, s := range ours.Groups() {
		if s != theirs[i] {
			unequal = append(unequal, int32(i))
		}
	}
	return unequal, nil
}

// buckets answers the second level with the hub's rows of each bucket that differs.
func (x *session) buckets(b *tunnelv1.Buckets) error {
	if x.compare == nil {
		return fault.New(fault.BadRequest, "buckets are compared after their groups")
	}
	unequal := map[topo.Table][]int{}
	for _, g := range b.GetGroups() {
		if err := x.unequalBuckets(g, unequal); err != nil {
			return err
		}
	}
	x.compare = nil
	return x.tellBuckets(unequal)
}

func (x *session) unequalBuckets(g *tunnelv1.GroupSums, unequal map[topo.Table][]int) error {
	table, err := wire.TableFrom(g.GetTable())
	if err != nil {
		return err
	}
	ours, group := x.compare[table], int(g.GetGroup())
	if ours == nil || group < 0 || group >= topo.Groups {
		return fault.New(fault.BadRequest, "group %d of %s was not asked for", group, table)
	}
	theirs, err := wire.HalvesFrom(g.GetSums(), topo.GroupSize)
	if err != nil {
		return err
	}
	for i, s := range theirs {
		if bucket := group*topo.GroupSize + i; ours[bucket].Half() != s {
			unequal[table] = append(unequal[table], bucket)
		}
	}
	return nil
}

// tellBuckets sends rows of unequal buckets, as many frames as it takes, the last one without "more".
func (x *session) tellBuckets(unequal map[topo.Table][]int) error {
	for _, table := range topo.Tables {
		buckets := unequal[table]
		if len(buckets) == 0 {
			continue
		}
		x.metrics.repaired.WithLabelValues(table.String()).Add(float64(len(buckets)))
		x.log.Info("hub and agent differ", zap.Stringer("table", table), zap.Int("buckets", len(buckets)))
		for piece := range slices.Chunk(buckets, 64) {
			if err := x.tellSome(table, piece); err != nil {
				return err
			}
		}
	}
	return x.send(&tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_UnequalBuckets{UnequalBuckets: &tunnelv1.UnequalBuckets{}}})
}

func (x *session) tellSome(table topo.Table, buckets []int) error {
	rows, err := x.store.RowHashes(x.ctx, x.peer.scope, table, buckets)
	if err != nil {
		return err
	}
	byBucket := map[int][]topo.RowHash{}
	for _, r := range rows {
		byBucket[r.Key.Source.Bucket()] = append(byBucket[r.Key.Source.Bucket()], r)
	}
	frame := &tunnelv1.UnequalBuckets{More: true}
	for _, b := range buckets {
		frame.Buckets = append(frame.Buckets, &tunnelv1.Bucket{Table: wire.TableTo(table), Bucket: int32(b), Rows: wire.RowMarksTo(table, byBucket[b])})
	}
	return x.send(&tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_UnequalBuckets{UnequalBuckets: frame}})
}
