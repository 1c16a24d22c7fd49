package uplink

import (
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// Next gives the next frame that may be sent now, or nil when there is none until something happens.
func (l *Ledger) Next() (*tunnelv1.AgentFrame, error) {
	switch {
	case l.phase == offline || !l.synced:
		return nil, nil
	case l.kindsNews:
		return l.kindsFrame(), nil
	}
	switch l.phase {
	case welcomed:
		return l.begin()
	case loading:
		return l.nextLoad()
	case steady:
		return l.nextChange()
	default:
		return nil, nil
	}
}

// begin starts what the hub asked for: a load, or a comparison.
func (l *Ledger) begin() (*tunnelv1.AgentFrame, error) {
	if !l.welcome.GetLoad() {
		return l.groups(), nil
	}
	l.phase = loading
	l.load = &plan{nodes: l.graph.NodeIDs(), edges: l.graph.EdgeIDs()}
	for id := range l.texts { // texts follow as changes: they may have to be read again first
		l.marks.manifest(id)
	}
	return l.nextLoad()
}

func (l *Ledger) nextLoad() (*tunnelv1.AgentFrame, error) {
	if l.unackedSz >= l.credit {
		return nil, nil
	}
	var c chunk
	if !l.load.done() {
		l.fillLoad(&c)
		return l.frame(&c, &tunnelv1.Delta{Load: true})
	}
	l.load = nil
	l.phase = steady
	l.fill(&c, &l.marks)
	return l.frame(&c, &tunnelv1.Delta{LoadEnd: true})
}

// nextChange tells what a comparison found, then what is new; a comparison that is due waits until all is told.
func (l *Ledger) nextChange() (*tunnelv1.AgentFrame, error) {
	switch {
	case len(l.unacked) >= maxAhead || l.unackedSz >= l.credit:
		return nil, nil
	case l.settling:
		return l.nextFinding()
	case l.compare && l.marks.len() == 0 && len(l.reading) == 0:
		return l.groups(), nil
	case l.marks.len() == 0 && len(l.events) == 0:
		return nil, nil
	}
	var c chunk
	l.fill(&c, &l.marks)
	l.fillEvents(&c)
	if c.delta.Len() == 0 {
		return nil, nil // all that is left waits for texts to be read
	}
	return l.frame(&c, &tunnelv1.Delta{})
}

// nextFinding tells what a comparison found. What changes meanwhile goes with it and is marked late too: nodes must come before the edges
// of either, and the time it takes is short.
func (l *Ledger) nextFinding() (*tunnelv1.AgentFrame, error) {
	var c chunk
	l.fill(&c, &l.marks)
	l.settling = l.marks.len() > 0 && c.delta.Len() > 0
	return l.frame(&c, &tunnelv1.Delta{Resync: true, ResyncEnd: !l.settling})
}

// frame numbers a delta and notes its size against the credit.
func (l *Ledger) frame(c *chunk, d *tunnelv1.Delta) (*tunnelv1.AgentFrame, error) {
	rows, err := wire.Encode(&c.delta)
	if err != nil {
		return nil, err
	}
	l.seq++
	d.Epoch, d.Seq, d.Rows = l.epoch, l.seq, rows
	l.unacked = append(l.unacked, sent{seq: l.seq, size: int64(len(rows))})
	l.unackedSz += int64(len(rows))
	return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Delta{Delta: d}}, nil
}

// groups opens a comparison.
func (l *Ledger) groups() *tunnelv1.AgentFrame {
	l.phase, l.compare = comparing, false
	nodes, edges := l.graph.Digests()
	f := &tunnelv1.Groups{}
	for _, t := range l.tables() {
		sums := l.digest(t, &nodes, &edges).Groups()
		f.Tables = append(f.Tables, &tunnelv1.TableSums{Table: wire.TableTo(t), Sums: wire.SumsTo(sums[:])})
	}
	return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Groups{Groups: f}}
}

// Receive takes a frame of the hub. Some are answered at once; the answer, if any, is to be sent before anything else.
func (l *Ledger) Receive(f *tunnelv1.HubFrame) (*tunnelv1.AgentFrame, error) {
	switch f := f.GetFrame().(type) {
	case *tunnelv1.HubFrame_Ack:
		return nil, l.ack(f.Ack)
	case *tunnelv1.HubFrame_UnequalGroups:
		return l.answerGroups(f.UnequalGroups)
	case *tunnelv1.HubFrame_UnequalBuckets:
		return nil, l.takeBuckets(f.UnequalBuckets)
	default:
		return nil, nil // of a newer hub
	}
}

func (l *Ledger) ack(a *tunnelv1.Ack) error {
	if a.GetSeq() > l.seq {
		return fault.New(fault.BadRequest, "the hub acknowledges delta %d, and %d is the last one sent", a.GetSeq(), l.seq)
	}
	for len(l.unacked) > 0 && l.unacked[0].seq <= a.GetSeq() {
		l.unackedSz -= l.unacked[0].size
		l.unacked = l.unacked[1:]
	}
	l.position = max(l.position, a.GetPosition())
	if a.GetCredit() > 0 {
		l.credit = a.GetCredit()
	}
	return nil
}

// answerGroups sends the bucket sums of the groups that differ.
func (l *Ledger) answerGroups(u *tunnelv1.UnequalGroups) (*tunnelv1.AgentFrame, error) {
	if l.phase != comparing {
		return nil, fault.New(fault.BadRequest, "the hub answers a comparison that was not asked for")
	}
	if len(u.GetTables()) == 0 {
		l.phase = steady
		return nil, nil
	}
	nodes, edges := l.graph.Digests()
	f := &tunnelv1.Buckets{}
	for _, t := range u.GetTables() {
		table, err := wire.TableFrom(t.GetTable())
		if err != nil {
			return nil, err
		}
		d := l.digest(table, &nodes, &edges)
		for _, g := range t.GetGroups() {
			if g < 0 || g >= topo.Groups {
				return nil, fault.New(fault.BadRequest, "the hub names group %d, which doesn't exist", g)
			}
			sums := d[g*topo.GroupSize : (g+1)*topo.GroupSize]
			f.Groups = append(f.Groups, &tunnelv1.GroupSums{Table: t.GetTable(), Group: g, Sums: wire.HalvesTo(sums)})
		}
	}
	return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Buckets{Buckets: f}}, nil
}

// takeBuckets marks every row that the hub has otherwise, or has and the agent hasn't.
func (l *Ledger) takeBuckets(u *tunnelv1.UnequalBuckets) error {
	if l.phase != comparing {
		return fault.New(fault.BadRequest, "the hub tells buckets that were not asked for")
	}
	for _, b := range u.GetBuckets() {
		table, err := wire.TableFrom(b.GetTable())
		if err != nil {
			return err
		}
		theirs, err := wire.RowMarksFrom(table, b.GetRows())
		if err != nil {
			return err
		}
		if b.GetBucket() < 0 || b.GetBucket() >= topo.Buckets {
			return fault.New(fault.BadRequest, "the hub names bucket %d, which doesn't exist", b.GetBucket())
		}
		l.findings(table, int(b.GetBucket()), theirs)
	}
	if !u.GetMore() {
		l.phase, l.settling = steady, true
	}
	return nil
}

func (l *Ledger) findings(t topo.Table, bucket int, theirs []wire.RowMark) {
	their := make(map[topo.EdgeID]wire.RowMark, len(theirs))
	for _, r := range theirs {
		their[r.Key] = r
	}
	for _, r := range l.rows(t, bucket) {
		if m, ok := their[r.Key]; !ok || m != wire.MarkOf(r) {
			l.marks.row(t, r.Key)
			l.unequal++
		}
		delete(their, r.Key)
	}
	l.unequal += int64(len(their))
	for key := range their {
		l.marks.row(t, key)
	}
}

func (l *Ledger) rows(t topo.Table, bucket int) []topo.RowHash {
	if t == topo.Manifests {
		return l.textRows(bucket)
	}
	return l.graph.Rows(t, bucket)
}
