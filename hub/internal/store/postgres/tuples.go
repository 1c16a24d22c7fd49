package postgres

import (
	"encoding/binary"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// tuples builds rows in the binary form of COPY: the number of columns, then each with its length before it. The driver's own way boxes each
// value and looks up how to encode it, which for a first load is as much work as the database's.
type tuples struct {
	buf   []byte
	scope []byte // the first two columns of every row, the same for all
}

var copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

func newTuples(at store.Scope, rows, size int) *tuples {
	t := &tuples{buf: make([]byte, 0, len(copyHeader)+rows*size+2)}
	t.number(int64(at.Tenant))
	t.number(int64(at.Cluster))
	t.scope = append([]byte(nil), t.buf...)
	t.buf = append(t.buf[:0], copyHeader...)
	return t
}

// row begins one with so many columns, tenant and cluster among them.
func (t *tuples) row(columns uint16) {
	t.buf = binary.BigEndian.AppendUint16(t.buf, columns)
	t.buf = append(t.buf, t.scope...)
}

func (t *tuples) number(n int64) {
	t.buf = append(t.buf, 0, 0, 0, 8)
	t.buf = binary.BigEndian.AppendUint64(t.buf, uint64(n))
}

func (t *tuples) small(n uint8) { t.buf = append(t.buf, 0, 0, 0, 2, 0, n) }

func (t *tuples) key(id topo.ID) {
	t.buf = append(t.buf, 0, 0, 0, 16)
	t.buf = append(t.buf, id[:]...)
}

func (t *tuples) text(s string) {
	t.buf = binary.BigEndian.AppendUint32(t.buf, uint32(len(s)))
	t.buf = append(t.buf, s...)
}

func (t *tuples) pairs(ps []topo.Pair) {
	place := len(t.buf)
	t.buf = append(t.buf, 0, 0, 0, 0)
	t.buf = relational.AppendPairs(t.buf, ps)
	binary.BigEndian.PutUint32(t.buf[place:], uint32(len(t.buf)-place-4))
}

// end closes the rows; no rows at all are closed too.
func (t *tuples) end() []byte { return append(t.buf, 0xff, 0xff) }

func (t *tuples) ref(r *topo.Ref) {
	t.text(r.Group)
	t.text(r.Kind)
	t.text(r.Namespace)
	t.text(r.Name)
}

func refTuples(at store.Scope, rows []relational.NodeRow) []byte {
	t := newTuples(at, len(rows), 150)
	for i := range rows {
		t.row(7)
		t.key(rows[i].ID)
		t.ref(&rows[i].Node.Ref)
	}
	return t.end()
}

func nodeTuples(at store.Scope, rows []relational.NodeRow) []byte {
	t := newTuples(at, len(rows), 600)
	for i := range rows {
		n := rows[i].Node
		t.row(19)
		t.key(rows[i].ID)
		t.ref(&n.Ref)
		t.text(n.UID)
		t.text(n.Version)
		t.small(uint8(n.Presence))
		t.small(uint8(n.Health))
		t.text(n.Status)
		t.number(n.Created)
		t.pairs(n.Labels)
		t.pairs(n.Attrs)
		t.text(relational.AppOf(n))
		t.key(rows[i].Hash)
		t.text(relational.OriginAgent)
		t.number(0)
	}
	return t.end()
}

func labelTuples(at store.Scope, rows []relational.LabelRow) []byte {
	t := newTuples(at, len(rows), 120)
	for i := range rows {
		t.row(6)
		t.text(rows[i].Key)
		t.text(rows[i].Value)
		t.key(rows[i].ID)
		t.number(0)
	}
	return t.end()
}

func edgeTuples(at store.Scope, rows []relational.EdgeRow) []byte {
	t := newTuples(at, len(rows), 250)
	for i := range rows {
		r, e := &rows[i], rows[i].Edge
		t.row(13)
		t.key(r.Key.Source)
		t.key(r.Key.ID)
		t.key(r.Target)
		t.text(e.Rule)
		t.text(string(e.Type))
		t.text(e.Disc)
		t.text(e.Path)
		t.pairs(e.Attrs)
		t.key(r.Hash)
		t.text(relational.OriginAgent)
		t.number(0)
	}
	return t.end()
}

func manifestTuples(at store.Scope, rows []relational.ManifestRow) []byte {
	t := newTuples(at, len(rows), 2000)
	for i := range rows {
		t.row(6)
		t.key(rows[i].ID)
		t.key(rows[i].Manifest.Hash)
		t.text(string(rows[i].Manifest.Body))
		t.number(0)
	}
	return t.end()
}
