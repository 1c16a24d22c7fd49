package uplink

import "github.com/kubilitics/kubilitics/shared/topo"

// bodies are texts on their way to the hub, bounded by their size: what doesn't fit is read again when its turn comes.
type bodies struct {
	of   map[topo.ID][]byte
	size int
}

func (b *bodies) put(id topo.ID, body []byte) {
	b.drop(id)
	if body != nil && b.size+len(body) <= maxBodies {
		b.force(id, body)
	}
}

// force takes a body in beyond the bound: one that was asked for when there was room, of which there are never more than a portion.
func (b *bodies) force(id topo.ID, body []byte) {
	b.drop(id)
	b.of[id] = body
	b.size += len(body)
}

func (b *bodies) drop(id topo.ID) {
	b.size -= len(b.of[id])
	delete(b.of, id)
}
