package tunnel_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// TestThousandsOfStreams: a hub opens as many as its users ask for, at once; while they are open, and one of them is stalled, others are answered as
// if they were alone; and an open one that says nothing costs little.
func TestThousandsOfStreams(t *testing.T) {
	r := newRig(t)
	agent, hub := r.connect(r.config())
	const many = 3000
	ends := make(chan net.Conn, many)
	go func() {
		for range many {
			c, err := r.agentRaw.Accept()
			if err != nil {
				return
			}
			ends <- c
		}
	}()
	before := heldNow()
	var opening sync.WaitGroup
	streams := make([]*tunnel.Stream, many)
	for i := range many {
		opening.Go(func() {
			var err error
			if streams[i], err = hub.OpenStream(t.Context(), tunnel.Raw); err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	theirs := make([]net.Conn, many)
	for i := range many {
		theirs[i] = <-ends
	}
	t.Logf("both ends hold %d bytes a stream", (heldNow()-before)/many)
	if per := (heldNow() - before) / many; per > 8<<10 {
		t.Errorf("both ends hold %d bytes a stream", per)
	}
	ended := stuff(t, streams[0])
	for i := range 50 {
		began := time.Now()
		s, err := hub.OpenStream(t.Context(), tunnel.Raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.agentRaw.Accept()
		if err != nil {
			t.Fatal(err)
		}
		say(t, s, c, fmt.Sprint("question ", i))
		say(t, c, s, fmt.Sprint("answer ", i))
		_, _ = s.Close(), c.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("an answer took %s", took)
		}
	}
	for i := range many {
		_ = streams[i].Reset()
	}
	<-ended
	for _, c := range theirs {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	eventually(t, "no stream is open", func() bool { return agent.Streams() == 0 && hub.Streams() == 0 })
}

func heldNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// TestAnAgentOpensFew: what a hub must hold for the streams of an agent has a bound of its own, below that of the streams that it opens itself.
func TestAnAgentOpensFew(t *testing.T) {
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Settings.MaxPeer = 3 })
	agent, hub := r.connect(r.config())
	for range 3 {
		mine, _ := r.streams(agent)
		defer mine.Close()
	}
	s, err := agent.OpenStream(t.Context(), tunnel.Raw)
	if err == nil { // the refusal may come after
		_, err = s.Read(make([]byte, 1))
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("a fourth stream: %v", err)
	}
	for range 10 {
		if _, err := hub.OpenStream(t.Context(), tunnel.Raw); err != nil {
			t.Errorf("one of the hub's own: %v", err)
		}
	}
}
