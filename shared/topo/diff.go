package topo

// Op is what happened to a row.
type Op uint8

// The changes a Diff may hold.
const (
	Add Op = iota + 1
	Update
	Remove
)

var opSigns = [...]string{"?", "+", "~", "-"}

// String is "+", "~" or "-".
func (o Op) String() string {
	if int(o) < len(opSigns) {
		return opSigns[o]
	}
	return "?"
}

// NodeChange is a node and what happened to it: as it is now, or, when removed, as it last was.
type NodeChange struct {
	Op   Op
	Node Node
}

// EdgeChange is an edge and what happened to it: as it is now, or, when removed, as it last was.
type EdgeChange struct {
	Op   Op
	Edge Edge
}

// Diff is one change of a graph. A node whose object was replaced by another of the same name stands in it twice:
// removed with the old UID, then added with the new one.
type Diff struct {
	Nodes []NodeChange
	Edges []EdgeChange
}

// Empty tells that nothing changed.
func (d *Diff) Empty() bool { return len(d.Nodes) == 0 && len(d.Edges) == 0 }

// Len is the number of rows changed.
func (d *Diff) Len() int { return len(d.Nodes) + len(d.Edges) }

// Position counts the committed changes of one tenant. The same number stands in the feed, in a stream's frame, in
// "at=", in an export's header and in a bug report. Zero is before the first change.
type Position int64
