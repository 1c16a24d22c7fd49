package kubeserve

import "sync"

// buffers lend what answers are copied through.
type buffers struct {
	size int
	pool sync.Pool
}

var (
	frame = buffers{size: 32 << 10}         // as much as one frame of the tunnel carries
	large = buffers{size: 2 * (16<<10 - 9)} // a frame's worth, less what HTTP writes around it; the hub sends it on in two
	small = buffers{size: 4 << 10}          // of what lasts, and is mostly silent
)

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, b.size)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
