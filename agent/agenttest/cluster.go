package agenttest

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/agent/internal/uplink"
	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// cluster is the made-up cluster: which objects there are, and what of it the agent has still to be told. Their texts are made when
// they are asked for, so that a large one costs little. It is an uplink.Source.
type cluster struct {
	seed      uint64
	filler    int
	manifests bool
	reducer   *reduce.Reducer
	zip       *zstd.Encoder
	wake      chan struct{} // something is to be told

	mu      sync.Mutex
	draw    *rand.Rand
	next    place // of the next object
	objects []object
	at      map[topo.ID]int // where in objects
	turn    int             // of touch
	changed map[topo.ID]topo.Ref
	queue   []topo.ID // the keys of changed, oldest first
	began   bool      // the kinds are told
	synced  bool      // everything there was at the start is
	news    int64     // pieces of news told
}

// object is one of them: which part of which application, and what has become of it.
type object struct {
	place
	turns int32 // how often it changed
	life  int32 // how often it was made
}

// batch is how many changes are told at a time.
const batch = 256

func newCluster(seed uint64, objects, filler int, manifests bool, reducer *reduce.Reducer) *cluster {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64<<10), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are constants
	}
	c := &cluster{
		seed: seed, filler: filler, manifests: manifests, reducer: reducer, zip: zip, wake: make(chan struct{}, 1),
		draw: rand.New(rand.NewPCG(seed, 1)), at: map[topo.ID]int{}, changed: map[topo.ID]topo.Ref{},
	}
	c.add(objects)
	return c
}

func (c *cluster) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.objects)
}

func (c *cluster) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		o := object{place: c.next, life: 1}
		c.next = c.next.following()
		ref := c.ref(o.place)
		c.at[ref.ID()] = len(c.objects)
		c.objects = append(c.objects, o)
		c.note(ref)
	}
}

func (c *cluster) remove(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range min(n, len(c.objects)) {
		i := c.draw.IntN(len(c.objects))
		ref := c.ref(c.objects[i].place)
		last := len(c.objects) - 1
		c.objects[i] = c.objects[last]
		c.at[c.ref(c.objects[i].place).ID()] = i
		c.objects = c.objects[:last]
		delete(c.at, ref.ID())
		c.note(ref)
	}
}

func (c *cluster) replace(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range min(n, len(c.objects)) {
		o := &c.objects[c.draw.IntN(len(c.objects))]
		o.life++
		c.note(c.ref(o.place))
	}
}

func (c *cluster) touch(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range len(c.objects) {
		if n == 0 {
			return
		}
		c.turn = (c.turn + 1) % len(c.objects)
		o := &c.objects[c.turn]
		if parts[o.part].kind.Kind == "Pod" {
			o.turns++
			n--
			c.note(c.ref(o.place))
		}
	}
}

// note puts an object on the list of what is to be told; its newest state counts.
func (c *cluster) note(r topo.Ref) {
	id := r.ID()
	if _, there := c.changed[id]; !there {
		c.changed[id] = r
		c.queue = append(c.queue, id)
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// told tells whether the agent, which has taken so many pieces of news, has taken all there is.
func (c *cluster) told(news int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.synced && len(c.queue) == 0 && news == c.news
}

// Next implements uplink.Source: the kinds first, then the objects.
func (c *cluster) Next(ctx context.Context) (uplink.News, error) {
	for {
		if n, some := c.tell(); some {
			return n, nil
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return uplink.News{}, ctx.Err()
		}
	}
}

func (c *cluster) tell() (n uplink.News, some bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began && c.synced && len(c.queue) == 0 {
		return n, false
	}
	if !c.began {
		n.Kinds, c.began = kindReports(), true
	}
	for range min(batch, len(c.queue)) {
		id := c.queue[0]
		c.queue = c.queue[1:]
		c.one(&n, id, c.changed[id])
		delete(c.changed, id)
	}
	if len(c.queue) == 0 {
		n.Synced, c.synced = true, true
		c.queue, c.changed = nil, map[topo.ID]topo.Ref{} // let the memory of a first load go
	}
	c.news++
	return n, true
}

func (c *cluster) one(n *uplink.News, id topo.ID, ref topo.Ref) {
	i, there := c.at[id]
	if !there {
		n.Changes = append(n.Changes, topo.Change{Ref: ref})
		return
	}
	o := c.reduce(c.objects[i])
	n.Changes = append(n.Changes, topo.Change{Ref: ref, Resource: &o.Resource})
	if c.manifests {
		n.Manifests = append(n.Manifests, c.pack(&o))
	}
}

func (c *cluster) reduce(o object) reduce.Object {
	p := &parts[o.part]
	out, err := c.reducer.Reduce(reduce.Kind{GroupKind: p.kind, Version: p.version}, c.text(o), c.manifests)
	if err != nil {
		panic(err) // a text of our own
	}
	return out
}

func (c *cluster) pack(o *reduce.Object) topo.Manifest {
	hash := sha256.Sum256(o.Text)
	return topo.Manifest{Ref: o.Resource.Ref, Hash: topo.ID(hash[:16]), Body: c.zip.EncodeAll(o.Text, nil)}
}

// Read implements uplink.Source.
func (c *cluster) Read(_ context.Context, refs []topo.Ref, give func(topo.Manifest) error) error {
	for _, r := range refs {
		if m, there := c.manifest(r.ID()); there {
			if err := give(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cluster) manifest(id topo.ID) (topo.Manifest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, there := c.at[id]
	if !there {
		return topo.Manifest{}, false
	}
	o := c.reduce(c.objects[i])
	return c.pack(&o), true
}

// Events implements uplink.Source: this cluster has none.
func (c *cluster) Events(context.Context, int64) ([]topo.Event, error) { return nil, nil }
