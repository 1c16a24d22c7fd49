package uplink

import (
	"slices"
	"time"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Graph is the engine, as the ledger uses it.
type Graph interface {
	Apply(topo.Change) topo.Diff
	Observe(topo.GroupKind, topo.KindState) topo.Diff
	Forget(topo.GroupKind) topo.Diff
	Node(topo.ID) (topo.Node, bool)
	Edge(topo.EdgeID) (topo.Edge, bool)
	NodeIDs() []topo.ID
	EdgeIDs() []topo.EdgeID
	Digests() (nodes, edges topo.Digest)
	Rows(t topo.Table, bucket int) []topo.RowHash
	Len() (nodes, edges int)
}

// News is what the watch has to tell, in the order in which it is to be taken: a kind that went and came back is forgotten first, and kinds come
// before their objects.
type News struct {
	Forgotten []topo.GroupKind // kinds that are served no more
	Kinds     []topo.KindReport
	Changes   []topo.Change
	Since     time.Time       // when the oldest of Changes was heard of; zero is now
	Manifests []topo.Manifest // of objects that are there; without a body where it was too much to keep
	Events    []topo.Event
	// EventsMissed is an instant since which some events were not told; 0 is none.
	EventsMissed int64
	Synced       bool // every kind's first list has been told
}

// The bounds of what a ledger keeps for the hub.
const (
	maxMarks  = 100_000 // keys beyond one for each row; then comparing digests is cheaper than remembering
	maxBodies = 4 << 20 // bytes of manifests not yet sent
	maxEvents = 4096    // newest events not yet sent
	maxAhead  = 4       // deltas sent ahead of the acknowledgement, but for loads: so that what comes meanwhile is coalesced
	maxReads  = 16384   // manifests being read again at a time: where these are many, their kinds are listed, which costs all that there are
)

// phase is where a session stands.
type phase int

const (
	offline   phase = iota // no session: nothing is remembered, a comparison will find it
	welcomed               // a session, but the watch has not told everything yet
	loading                // the hub has nothing: everything is sent once
	comparing              // the hub has been asked, and its answer is awaited
	steady                 // changes are sent as they come
)

// Ledger is what the agent knows and what the hub must be told of it: a machine without clock, goroutine or connection. One goroutine
// owns it.
type Ledger struct {
	graph     Graph
	manifests bool // whether texts are shared
	synced    bool
	kinds     map[topo.GroupKind]topo.KindReport
	kindsNews bool
	texts     map[topo.ID]topo.ID // the hash of each object's text
	bodies    bodies
	events    []topo.Event
	missed    int64 // instant since which events fell out of the bound; 0 none did

	phase     phase
	epoch     int64
	seq       int64
	credit    int64
	unacked   []sent
	unackedSz int64
	marks     marks // what the hub may not have as it is
	settling  bool  // a comparison's findings are being sent
	compare   bool  // a comparison is due
	load      *plan
	reading   map[topo.ID]struct{}
	wanted    []topo.Ref
	welcome   *tunnelv1.Welcome
	position  int64

	took    func(rows int) // hears how much of the graph each change touched
	unequal int64          // rows that comparisons ever found to differ
}

type sent struct{ seq, size int64 }

// NewLedger makes a ledger over an empty graph. With manifests, texts of objects are shared too.
func NewLedger(g Graph, manifests bool) *Ledger {
	return &Ledger{
		graph: g, manifests: manifests, kinds: map[topo.GroupKind]topo.KindReport{}, texts: map[topo.ID]topo.ID{},
		bodies: bodies{of: map[topo.ID][]byte{}}, marks: newMarks(), reading: map[topo.ID]struct{}{}, took: func(int) {},
	}
}

// Absorb takes news of the cluster.
func (l *Ledger) Absorb(n News) {
	for _, gk := range n.Forgotten {
		delete(l.kinds, gk)
		l.kindsNews = true
		l.changed(l.graph.Forget(gk))
	}
	for _, k := range n.Kinds {
		l.kinds[k.GroupKind], l.kindsNews = k, true
		l.changed(l.graph.Observe(k.GroupKind, topo.KindState{Namespaced: k.Namespaced, Observed: k.Observed}))
	}
	for _, c := range n.Changes {
		d := l.graph.Apply(c)
		l.took(len(d.Nodes) + len(d.Edges))
		l.changed(d)
	}
	for i := range n.Manifests {
		l.text(&n.Manifests[i])
	}
	l.hear(n.Events)
	if n.EventsMissed > 0 {
		l.miss(n.EventsMissed)
	}
	l.synced = l.synced || n.Synced
}

// changed marks what a diff touched and forgets the texts of objects that are gone.
func (l *Ledger) changed(d topo.Diff) {
	for i := range d.Nodes {
		n := &d.Nodes[i].Node
		if d.Nodes[i].Op == topo.Remove || n.Presence != topo.Present {
			l.dropText(n.Ref.ID())
		}
	}
	if l.remembers() {
		l.marks.diff(&d)
		l.bound()
	}
}

// remembers tells whether changes are noted one by one: not before a load or comparison has begun, for it will see them.
func (l *Ledger) remembers() bool { return l.phase >= loading }

// bound gives up remembering when there are more marks than rows and then some: keys of what came and went are left.
func (l *Ledger) bound() {
	if l.marks.len() <= maxMarks {
		return
	}
	nodes, edges := l.graph.Len()
	if l.marks.len() > maxMarks+nodes+edges+len(l.texts) {
		l.marks = newMarks()
		l.compare = true
	}
}

func (l *Ledger) text(m *topo.Manifest) {
	id := m.Ref.ID()
	if !l.manifests {
		return
	}
	if n, ok := l.graph.Node(id); !ok || n.Presence != topo.Present {
		return // went while its text was on the way
	}
	if l.texts[id] == m.Hash {
		return
	}
	l.texts[id] = m.Hash
	l.bodies.put(id, m.Body)
	if l.remembers() {
		l.marks.manifest(id)
		l.bound()
	}
}

func (l *Ledger) dropText(id topo.ID) {
	if _, known := l.texts[id]; !known {
		return
	}
	delete(l.texts, id)
	l.bodies.drop(id)
	if l.remembers() {
		l.marks.manifest(id)
	}
}

// hear keeps events until they are sent. The oldest fall out first; since when is remembered, for they can be listed again.
func (l *Ledger) hear(events []topo.Event) {
	l.events = append(l.events, events...)
	over := len(l.events) - maxEvents
	if over <= 0 {
		return
	}
	for _, e := range l.events[:over] {
		l.miss(e.Last)
	}
	l.events = slices.Delete(l.events, 0, over)
}

// Relisted takes events that were listed again. What doesn't fit is let go now: listing it once more would not help.
func (l *Ledger) Relisted(events []topo.Event) {
	l.events = append(l.events, events...)
	l.events = slices.Delete(l.events, 0, max(0, len(l.events)-maxEvents))
}

func (l *Ledger) miss(since int64) {
	if l.missed == 0 || since < l.missed {
		l.missed = max(since, 1)
	}
}

// Missed gives, once and while there is a session to tell them in, the instant since which events must be listed again.
func (l *Ledger) Missed() (since int64, some bool) {
	if l.phase != steady || l.missed == 0 || len(l.events) > 0 {
		return 0, false
	}
	since, l.missed = l.missed, 0
	return since, true
}

// Open begins a session.
func (l *Ledger) Open(w *tunnelv1.Welcome) {
	l.phase, l.welcome = welcomed, w
	l.epoch, l.seq, l.credit = w.GetEpoch(), 0, w.GetCredit()
	l.kindsNews = len(l.kinds) > 0
	l.events = slices.DeleteFunc(l.events, func(e topo.Event) bool { return e.Last < w.GetEventsThrough() })
	if l.missed > 0 {
		l.missed = max(l.missed, w.GetEventsThrough())
	}
}

// Lost ends it. What was under way is found again by the next session's comparison.
func (l *Ledger) Lost() {
	l.phase, l.welcome, l.load, l.settling, l.compare = offline, nil, nil, false, false
	l.unacked, l.unackedSz = nil, 0
	l.marks = newMarks()
	l.reading, l.wanted = map[topo.ID]struct{}{}, nil
}

// Compare asks for a comparison as soon as there is nothing else to tell.
func (l *Ledger) Compare() { l.compare = true }

// Settled tells that the hub has acknowledged everything the agent knows, and the position of the hub's last commit of it.
func (l *Ledger) Settled() (position int64, ok bool) {
	quiet := l.marks.len() == 0 && len(l.unacked) == 0 && len(l.reading) == 0
	return l.position, l.phase == steady && quiet && !l.settling && !l.compare
}

// pending tells that something is still to be sent.
func (l *Ledger) pending() bool { return l.marks.len() > 0 || len(l.events) > 0 || len(l.reading) > 0 }

// Len is the size of the graph.
func (l *Ledger) Len() (nodes, edges int) { return l.graph.Len() }

// Wanted gives objects whose texts must be read again before they can be sent; each is given once.
func (l *Ledger) Wanted() []topo.Ref {
	refs := l.wanted
	l.wanted = nil
	return refs
}

// Room tells whether more texts that were read again can be taken. When there is none, some are about to be sent.
func (l *Ledger) Room() bool { return l.phase != steady || l.bodies.size < maxBodies }

// Provide takes texts that were read again.
func (l *Ledger) Provide(found []topo.Manifest) {
	for _, m := range found {
		id := m.Ref.ID()
		if _, asked := l.reading[id]; !asked {
			continue
		}
		delete(l.reading, id)
		if _, there := l.texts[id]; there {
			l.texts[id] = m.Hash
			l.bodies.force(id, m.Body)
			l.marks.manifest(id)
		}
	}
}

// Provided ends a reading. What was asked for and not provided is asked for again if the reading failed; else it is gone, and the watch will say so.
func (l *Ledger) Provided(asked []topo.Ref, failed bool) {
	for _, r := range asked {
		id := r.ID()
		if _, waits := l.reading[id]; waits && failed {
			l.marks.manifest(id)
		}
		delete(l.reading, id)
	}
}

// textDigest sums the texts' hashes.
func (l *Ledger) textDigest() *topo.Digest {
	var d topo.Digest
	for id, hash := range l.texts {
		d[id.Bucket()].Add(hash)
	}
	return &d
}

func (l *Ledger) textRows(bucket int) []topo.RowHash {
	var out []topo.RowHash
	for id, hash := range l.texts {
		if id.Bucket() == bucket {
			out = append(out, topo.RowHash{Key: topo.EdgeID{Source: id}, Hash: hash})
		}
	}
	return out
}

// tables are those that this agent shares.
func (l *Ledger) tables() []topo.Table {
	if l.manifests {
		return topo.Tables[:]
	}
	return []topo.Table{topo.Nodes, topo.Edges}
}

func (l *Ledger) digest(t topo.Table, nodes, edges *topo.Digest) *topo.Digest {
	switch t {
	case topo.Nodes:
		return nodes
	case topo.Edges:
		return edges
	default:
		return l.textDigest()
	}
}

func (l *Ledger) kindsFrame() *tunnelv1.AgentFrame {
	l.kindsNews = false
	f := &tunnelv1.Kinds{}
	for _, k := range l.kinds {
		f.Kinds = append(f.Kinds, &tunnelv1.Kind{
			Group: k.Group, Version: k.Version, Kind: k.Kind, Plural: k.Plural, Namespaced: k.Namespaced, Observed: k.Observed, Reason: k.Reason,
		})
	}
	return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Kinds{Kinds: f}}
}
