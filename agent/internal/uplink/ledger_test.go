package uplink

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// pair is a ledger and a hub with a connection between them that can be cut at any frame.
type pair struct {
	t       *testing.T
	graph   *toy
	ledger  *Ledger
	hub     *hub
	answers []*tunnelv1.HubFrame
	sent    int // frames of the agent
	texts   map[topo.Ref]string
}

func newPair(t *testing.T) *pair {
	g := newToy()
	return &pair{t: t, graph: g, ledger: NewLedger(g, true), hub: newHub(t), texts: map[topo.Ref]string{}}
}

func (p *pair) connect() { p.answers = nil; p.ledger.Open(p.hub.welcome()) }

func (p *pair) cut() { p.answers = nil; p.ledger.Lost() }

// turn moves one frame, in either direction; false when there is none to move.
func (p *pair) turn() bool {
	if len(p.answers) > 0 {
		f := p.answers[0]
		p.answers = p.answers[1:]
		answer, err := p.ledger.Receive(f)
		if err != nil {
			p.t.Fatalf("agent: %v", err)
		}
		if answer != nil {
			p.answers = append(p.answers, p.hub.take(answer)...)
		}
		return true
	}
	f, err := p.ledger.Next()
	if err != nil {
		p.t.Fatalf("agent: %v", err)
	}
	if f != nil {
		p.sent++
		p.answers = append(p.answers, p.hub.take(f)...)
		return true
	}
	return p.read()
}

// read provides the texts that are wanted.
func (p *pair) read() bool {
	refs := p.ledger.Wanted()
	var found []topo.Manifest
	for _, r := range refs {
		if text, ok := p.texts[r]; ok {
			found = append(found, manifest(r, text))
		}
	}
	p.ledger.Provide(found)
	p.ledger.Provided(refs, false)
	return len(refs) > 0
}

func (p *pair) settle() {
	for n := 0; p.turn(); n++ {
		if n > 100_000 {
			p.t.Fatal("hub and agent talk without end")
		}
	}
	if _, ok := p.ledger.Settled(); !ok {
		p.t.Fatalf("nothing moves, and not everything is told: phase %d, marks %d, unacked %d, reading %d",
			p.ledger.phase, p.ledger.marks.len(), len(p.ledger.unacked), len(p.ledger.reading))
	}
}

// equal checks that the hub has what the agent knows: no more, no less.
func (p *pair) equal() {
	p.t.Helper()
	if !reflect.DeepEqual(p.hub.nodes, p.graph.nodes) {
		p.t.Errorf("nodes differ: hub has %d, agent %d", len(p.hub.nodes), len(p.graph.nodes))
	}
	if !reflect.DeepEqual(p.hub.edges, p.graph.edges) {
		p.t.Errorf("edges differ: hub has %d, agent %d", len(p.hub.edges), len(p.graph.edges))
	}
	if len(p.hub.texts) != len(p.texts) {
		p.t.Errorf("hub has %d texts, agent %d", len(p.hub.texts), len(p.texts))
	}
	for r, text := range p.texts {
		if got := string(p.hub.texts[r.ID()].Body); got != text {
			p.t.Errorf("text of %s at the hub is %q, want %q", r, got, text)
		}
	}
}

func manifest(r topo.Ref, text string) topo.Manifest {
	sum := sha256.Sum256([]byte(text))
	return topo.Manifest{Ref: r, Hash: topo.ID(sum[:16]), Body: []byte(text)}
}

func ref(i int) topo.Ref { return topo.Ref{Kind: "Pod", Name: fmt.Sprintf("p%d", i)} }

// put is news of an object. Without body, its text has to be read again.
func (p *pair) put(i int, status string, to []string, body bool) News {
	r := ref(i)
	text := r.Name + ": " + status + strings.Join(to, ",") // as every text does, it names its object
	p.texts[r] = text
	m := manifest(r, text)
	if !body {
		m.Body = nil
	}
	return News{
		Changes:   []topo.Change{{Ref: r, Resource: &topo.Resource{Ref: r, UID: "u", Status: status, Attrs: []topo.Pair{{Key: "to", Value: strings.Join(to, ",")}}}}},
		Manifests: []topo.Manifest{m},
	}
}

func (p *pair) remove(i int) News {
	delete(p.texts, ref(i))
	return News{Changes: []topo.Change{{Ref: ref(i)}}}
}

func TestFirstContactIsALoad(t *testing.T) {
	p := newPair(t)
	p.connect()
	for i := range 300 {
		p.ledger.Absorb(p.put(i, "Running", []string{fmt.Sprintf("p%d", i+1), "absent"}, i%2 == 0))
	}
	if p.turn() {
		t.Fatal("something was sent before the watch had told everything")
	}
	p.ledger.Absorb(News{Synced: true, Kinds: []topo.KindReport{{GroupKind: topo.GroupKind{Kind: "Pod"}, Observed: true}}})
	p.settle()
	p.equal()
	if p.hub.loads != 1 || p.hub.kinds != 1 || p.hub.late != 0 {
		t.Errorf("loads %d, kinds %d, late rows %d", p.hub.loads, p.hub.kinds, p.hub.late)
	}
}

func TestReconnectSendsOnlyWhatDiffers(t *testing.T) {
	p := newPair(t)
	p.connect()
	for i := range 400 {
		p.ledger.Absorb(p.put(i, "Running", []string{"p1"}, true))
	}
	p.ledger.Absorb(News{Synced: true})
	p.settle()
	p.cut()

	p.connect()
	before := p.hub.rows
	p.settle()
	if sent := p.hub.rows - before; sent != 0 {
		t.Errorf("%d rows were sent though nothing had changed", sent)
	}
	p.cut()

	for i := range 20 {
		p.ledger.Absorb(p.put(i*7, "Failed", []string{"p1"}, true))
	}
	p.ledger.Absorb(p.remove(399))
	p.connect()
	before = p.hub.rows
	p.settle()
	p.equal()
	// 20 nodes and texts, one node, edge and text gone.
	if sent := p.hub.rows - before; sent != 43 || p.hub.late == 0 {
		t.Errorf("%d rows were sent, %d of them late; want 43", sent, p.hub.late)
	}
}

func TestChangesThatWaitAreSentOnce(t *testing.T) {
	p := newPair(t)
	p.connect()
	p.ledger.Absorb(p.put(1, "Pending", nil, true))
	p.ledger.Absorb(News{Synced: true})
	p.settle()
	before := p.hub.rows
	for i := range 500 {
		p.ledger.Absorb(p.put(1, fmt.Sprint("state ", i), nil, true))
	}
	p.settle()
	p.equal()
	if sent := p.hub.rows - before; sent != 2 {
		t.Errorf("%d rows were sent for one object that changed 500 times, want its node and its text", sent)
	}
}

func TestTooManyMarksBecomeAComparison(t *testing.T) {
	p := newPair(t)
	p.connect()
	p.ledger.Absorb(News{Synced: true})
	p.settle()
	for i := range maxMarks + 1 {
		p.ledger.marks.node(ref(i).ID())
	}
	p.ledger.bound()
	p.ledger.Absorb(p.put(1, "Running", nil, true))
	if n := p.ledger.marks.len(); n > 10 {
		t.Errorf("%d marks are kept beside the comparison", n)
	}
	p.settle()
	p.equal()
}

func TestDamageAtTheHubIsRepaired(t *testing.T) {
	p := newPair(t)
	p.connect()
	for i := range 100 {
		p.ledger.Absorb(p.put(i, "Running", []string{"p0"}, true))
	}
	p.ledger.Absorb(News{Synced: true})
	p.settle()
	victim := p.hub.nodes[ref(3).ID()]
	victim.Status = "Rotten"
	p.hub.nodes[ref(3).ID()] = victim
	delete(p.hub.nodes, ref(50).ID())
	p.hub.nodes[ref(999).ID()] = topo.Node{Ref: ref(999)}
	delete(p.hub.texts, ref(4).ID())
	p.ledger.Compare()
	p.settle()
	p.equal()
}

func TestEventsAreBoundedAndNotRepeated(t *testing.T) {
	p := newPair(t)
	var events []topo.Event
	for i := range maxEvents + 10 {
		events = append(events, topo.Event{UID: fmt.Sprint(i), Last: int64(i)})
	}
	p.ledger.Absorb(News{Events: events, Synced: true})
	if len(p.ledger.events) != maxEvents || p.ledger.missed == 0 {
		t.Errorf("%d events kept, missed since %d", len(p.ledger.events), p.ledger.missed)
	}
	w := p.hub.welcome()
	w.EventsThrough = maxEvents
	p.ledger.Open(w)
	p.settle()
	if len(p.hub.events) != 10 {
		t.Errorf("the hub got %d events, want the 10 it did not have", len(p.hub.events))
	}
	if since, some := p.ledger.Missed(); !some || since != maxEvents {
		t.Errorf("events are listed again since %d (%v), want since %d, which the hub has", since, some, maxEvents)
	}
	if _, again := p.ledger.Missed(); again {
		t.Error("they are listed again and again")
	}
}

// Whatever happens in the cluster and to the connection, the hub ends up with what the agent knows, and never shows an edge without
// its ends on the way.
func FuzzLedger(f *testing.F) {
	f.Add(uint64(1), 300)
	f.Add(uint64(7), 900)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		if steps < 0 || steps > 1500 {
			return
		}
		rnd := rand.New(rand.NewPCG(seed, 1))
		p := newPair(t)
		up := false
		for range steps {
			switch n := rnd.IntN(20); {
			case n < 8:
				to := slices.Repeat([]string{fmt.Sprint("p", rnd.IntN(40))}, 1)
				p.ledger.Absorb(p.put(rnd.IntN(30), fmt.Sprint("s", rnd.IntN(3)), to, rnd.IntN(3) > 0))
			case n < 11:
				p.ledger.Absorb(p.remove(rnd.IntN(30)))
			case n == 11:
				p.ledger.Absorb(News{Synced: true})
			case n == 12 && !up:
				p.connect()
				up = true
			case n == 13 && up && rnd.IntN(3) == 0:
				p.cut()
				up = false
			case n == 14 && up:
				p.ledger.Compare()
			case up:
				p.turn()
			}
		}
		if !up {
			p.connect()
		}
		p.ledger.Absorb(News{Synced: true})
		p.settle()
		p.equal()
	})
}

// Texts that don't fit are read again, no more of them at a time than there is room for, until the hub has them all.
func TestTextsBeyondTheBoundAreReadAgain(t *testing.T) {
	p := newPair(t)
	p.connect()
	big := strings.Repeat("x", maxBodies/4)
	for i := range 12 {
		n := p.put(i, "Running", nil, true)
		p.texts[ref(i)] += big
		n.Manifests[0] = manifest(ref(i), p.texts[ref(i)])
		p.ledger.Absorb(n)
	}
	if p.ledger.bodies.size > maxBodies {
		t.Fatalf("%d bytes of texts are kept", p.ledger.bodies.size)
	}
	p.ledger.Absorb(News{Synced: true})
	p.settle()
	p.equal()
	if !p.ledger.Room() || p.ledger.bodies.size != 0 {
		t.Errorf("%d bytes are still kept when all is told", p.ledger.bodies.size)
	}
}

func TestAReadingThatFailsIsTriedAgain(t *testing.T) {
	p := newPair(t)
	p.connect()
	p.ledger.Absorb(p.put(1, "Running", nil, false))
	p.ledger.Absorb(p.put(2, "Running", nil, false))
	p.ledger.Absorb(News{Synced: true})
	var asked []topo.Ref
	for asked == nil {
		f, err := p.ledger.Next()
		if err != nil || f == nil {
			t.Fatalf("nothing is asked for: %v", err)
		}
		for _, answer := range p.hub.take(f) {
			if _, err := p.ledger.Receive(answer); err != nil {
				t.Fatal(err)
			}
		}
		asked = p.ledger.Wanted()
	}
	p.ledger.Provide([]topo.Manifest{manifest(asked[0], p.texts[asked[0]])})
	p.ledger.Provided(asked, true)
	if len(p.ledger.reading) != 0 || len(p.ledger.marks.manifests) != 2 {
		t.Errorf("%d are being read and %d marked, want the one found and the one to be asked for again", len(p.ledger.reading), len(p.ledger.marks.manifests))
	}
	p.settle()
	p.equal()
}
