package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// stuff writes to a stream that nobody reads until its window is full; ended gets the error that ends it.
func stuff(t *testing.T, s *tunnel.Stream) (ended chan error) {
	t.Helper()
	ended = make(chan error, 1)
	var sent atomic.Int64
	go func() {
		for buf := make([]byte, 8<<10); ; {
			n, err := s.Write(buf)
			sent.Add(int64(n))
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	eventually(t, "the window is full", func() bool { return sent.Load() >= 1<<20-8<<10 })
	return ended
}

func TestAStalledStreamStallsNoOther(t *testing.T) {
	r := newRig(t)
	agent, hub := r.connect(r.config())
	mine, theirs := r.streams(agent)
	ended := stuff(t, mine)
	for i := range 50 {
		a, b := r.streams(agent)
		say(t, a, b, fmt.Sprint("question ", i))
		say(t, b, a, fmt.Sprint("answer ", i))
		_ = a.Close()
		_ = b.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("the stalled stream did not stay stalled: %v", err)
	default:
	}
	if err := theirs.Reset(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !fault.Is(err, fault.Unavailable) {
		t.Errorf("the writer got %v", err)
	}
	_ = mine.Close()
	eventually(t, "no stream is open", func() bool { return agent.Streams() == 0 && hub.Streams() == 0 })
}

func TestAStreamNobodyReadsIsKilled(t *testing.T) {
	quick := tunnel.Settings{Heartbeat: 20 * time.Millisecond, Stalled: 200 * time.Millisecond}
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Settings = quick })
	cfg := r.config()
	cfg.Settings = quick
	agent, hub := r.connect(cfg)
	mine, theirs := r.streams(agent)
	quiet, quietEnd := r.streams(agent) // open, with a little unread: nothing is wrong with it
	_, _ = quiet.Write([]byte("wait"))
	if err := <-stuff(t, mine); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the writer got %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the reader that came back got %v", err)
	}
	say(t, quietEnd, quiet, "still here")
	got := make([]byte, 4)
	if _, err := io.ReadFull(quietEnd, got); err != nil || string(got) != "wait" {
		t.Errorf("read %q, %v", got, err)
	}
	if agent.Err() != nil || hub.Err() != nil {
		t.Errorf("the session ended with the stream: %v, %v", agent.Err(), hub.Err())
	}
}

func TestAStreamClosedWithBytesUnreadIsReset(t *testing.T) {
	quick := tunnel.Settings{Heartbeat: 20 * time.Millisecond}
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Settings = quick })
	agent, hub := r.connect(r.config())
	mine, theirs := r.streams(agent)
	ended := stuff(t, mine)
	_ = theirs.Close()
	if err := <-ended; !fault.Is(err, fault.Unavailable) {
		t.Errorf("the writer got %v", err)
	}
	eventually(t, "no stream is open", func() bool { return agent.Streams() == 0 && hub.Streams() == 0 })
}

func TestResetWakesWhoWaits(t *testing.T) {
	r := newRig(t)
	agent, _ := r.connect(r.config())
	mine, theirs := r.streams(agent)
	got := make(chan error, 2)
	for _, s := range []*tunnel.Stream{mine, theirs} {
		go func() { _, err := s.Read(make([]byte, 1)); got <- err }()
	}
	ctx, cancel := context.WithCancel(t.Context())
	context.AfterFunc(ctx, func() { _ = mine.Reset() })
	cancel()
	for range 2 {
		if err := <-got; !fault.Is(err, fault.Unavailable) {
			t.Errorf("a reader got %v", err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	r := newRig(t)
	agent, _ := r.connect(r.config())
	mine, theirs := r.streams(agent)
	_ = mine.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := mine.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read past its deadline: %v", err)
	}
	_ = mine.SetReadDeadline(time.Time{})
	say(t, theirs, mine, "after the deadline was lifted")
}

func TestOpenStreamObeysItsContext(t *testing.T) {
	r := newRig(t)
	relay := &tunneltest.Relay{Rate: 100_000, Buffer: 4 << 10}
	if err := relay.Start(r.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	cfg := r.config()
	cfg.URL = "tls://" + relay.Addr()
	cfg.Settings = tunnel.Settings{MaxOpening: 2}
	agent, _ := r.connect(cfg)
	mine, _ := r.streams(agent)
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() { _, _ = io.Copy(mine, zeros{}) }) // the connection takes no more
	}
	for range 10 { // more than may be opening at a time
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		s, err := agent.OpenStream(ctx, tunnel.Raw)
		cancel()
		if err == nil {
			_ = s.Reset()
		} else if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%v (%s)", err, fault.CodeOf(err))
		}
	}
	agent.Close(nil)
	writers.Wait()
}

func TestStreamsAreCapped(t *testing.T) {
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Settings.MaxStreams = 3 })
	cfg := r.config()
	cfg.Settings.MaxStreams = 5
	agent, hub := r.connect(cfg)
	for range 3 {
		r.streams(agent)
	}
	for range 2 { // over the hub's cap
		s, err := agent.OpenStream(t.Context(), tunnel.Raw)
		if err == nil { // the refusal may come after
			_, err = s.Read(make([]byte, 1))
		}
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("a stream over the peer's cap: %v", err)
		}
	}
	if _, err := hub.OpenStream(t.Context(), tunnel.Raw); !fault.Is(err, fault.TooManyRequests) {
		t.Errorf("a stream over the own cap: %v", err)
	}
}

func TestAThousandStreamsLeaveNothing(t *testing.T) {
	r := newRig(t)
	agent, hub := r.connect(r.config())
	var peers sync.WaitGroup
	peers.Go(func() {
		for {
			c, err := r.hubRaw.Accept()
			if err != nil {
				return
			}
			peers.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
		}
	})
	var openers sync.WaitGroup
	for w := range 8 {
		openers.Go(func() {
			for i := range 125 {
				s, err := agent.OpenStream(t.Context(), tunnel.Raw)
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
					return
				}
				_, _ = s.Write([]byte("some bytes"))
				if (i+w)%2 == 0 {
					_ = s.Reset()
				} else {
					_ = s.Close()
				}
			}
		})
	}
	openers.Wait()
	eventually(t, "no stream is open", func() bool { return agent.Streams() == 0 && hub.Streams() == 0 })
	if n := agent.Muxed() + hub.Muxed(); n > 0 { // yamux forgets a reset one at the next byte that comes in
		eventually(t, "yamux has none either", func() bool { return agent.Muxed()+hub.Muxed() == 0 })
	}
	_ = r.hubRaw.Close()
	peers.Wait()
}

// Frames of all sizes in both directions at once, cut by a relay wherever its reads end.
func TestBytesArriveAsTheyWereSent(t *testing.T) {
	r := newRig(t)
	relay := &tunneltest.Relay{}
	if err := relay.Start(r.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	cfg := r.config()
	cfg.URL = "tls://" + relay.Addr()
	agent, _ := r.connect(cfg)
	var pumps sync.WaitGroup
	for n := range 4 {
		mine, theirs := r.streams(agent)
		for _, pair := range [][2]*tunnel.Stream{{mine, theirs}, {theirs, mine}} {
			text := make([]byte, 2<<20)
			rnd := rand.New(rand.NewSource(int64(n)))
			rnd.Read(text)
			pumps.Go(func() {
				for rest := text; len(rest) > 0; {
					size := min(len(rest), 1+rnd.Intn(100_000)>>rnd.Intn(16))
					if _, err := pair[0].Write(rest[:size]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[size:]
				}
			})
			pumps.Go(func() {
				got := make([]byte, len(text))
				if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, text) {
					t.Errorf("the bytes differ (%v)", err)
				}
			})
		}
	}
	pumps.Wait()
	up, down := relay.Bytes()
	in, out := agent.Bytes()
	if out < 8<<20 || in < 8<<20 || up > out || down < in {
		t.Errorf("the session counts %d out and %d in, the relay %d and %d", out, in, up, down)
	}
}
