package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// The link of the measurement: 25 MB/s, 20 ms there and back, and a bottleneck whose queue is about a third of that.
const (
	linkRate  = 25_000_000
	linkDelay = 10 * time.Millisecond
	linkQueue = 128 << 10
)

// The small request and its answer, each on a stream of its own.
const (
	requestSize = 256
	answerSize  = 1024
)

// smallUnderBulk measures a small request from the hub beside one download that saturates a paced link.
func smallUnderBulk(ctx context.Context) error {
	const samples = 200
	r, err := newRig(ctx, &tunneltest.Relay{Rate: linkRate, Delay: linkDelay, Buffer: linkQueue})
	if err != nil {
		return err
	}
	defer r.close()
	alone, err := r.ask(ctx, 20)
	if err != nil {
		return err
	}
	bulk, err := r.download(ctx)
	if err != nil {
		return err
	}
	if _, err := r.ask(ctx, 20); err != nil { // until the congestion window and yamux's have grown
		return err
	}
	before, start := bulk.bytes.Load(), time.Now()
	beside, err := r.ask(ctx, samples)
	if err != nil {
		return err
	}
	rate := float64(bulk.bytes.Load()-before) / time.Since(start).Seconds() / 1e6
	bulk.stop()
	measure.Note("tunnel.small_under_bulk: %d requests of %d B and answers of %d B on new streams; p50 alone %.2f ms, p99 beside the download %.2f ms; the download ran at %.1f MB/s of %.0f",
		samples, requestSize, answerSize, ms(measure.Quantile(alone, 0.5)), ms(measure.Quantile(beside, 0.99)), rate, linkRate/1e6)
	measure.Line("tunnel.small_under_bulk.p50", ms(measure.Quantile(beside, 0.5)), "ms")
	measure.Line("tunnel.small_under_bulk.bulk", rate, "MB/s")
	return nil
}

// stalledReader measures the first round trip of a new stream while another one's window is full and nobody reads it.
func stalledReader(ctx context.Context) error {
	const samples = 1000
	r, err := newRig(ctx, nil)
	if err != nil {
		return err
	}
	defer r.close()
	hub, agent, err := r.stream(ctx)
	if err != nil {
		return err
	}
	stuck := make(chan error, 1)
	var sent atomic.Int64
	go func() {
		for buf := make([]byte, 32<<10); ; {
			n, err := agent.Write(buf)
			sent.Add(int64(n))
			if err != nil {
				stuck <- err
				return
			}
		}
	}()
	for last := int64(-1); last != sent.Load() || last == 0; time.Sleep(100 * time.Millisecond) {
		last = sent.Load()
	}
	took, err := r.ask(ctx, samples)
	if err != nil {
		return err
	}
	measure.Note("tunnel.stalled_reader: %d first round trips on new streams beside one with %d unread bytes; p50 %.3f ms, most %.3f ms",
		samples, sent.Load(), ms(measure.Quantile(took, 0.5)), ms(measure.Quantile(took, 1)))
	measure.Line("tunnel.stalled_reader.p99", ms(measure.Quantile(took, 0.99)), "ms")
	err = hub.(*tunnel.Stream).Reset()
	return errors.Join(err, func() error { <-stuck; return nil }())
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// ask sends n small requests one after the other and returns how long each took. The agent's end answers each new stream.
func (r *rig) ask(ctx context.Context, n int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, n)
	buf := make([]byte, answerSize)
	for range n {
		start := time.Now()
		s, err := r.hub.OpenStream(ctx, tunnel.Raw)
		if err != nil {
			return nil, err
		}
		answered := make(chan error, 1)
		go func() { answered <- r.answer() }()
		if _, err := s.Write(buf[:requestSize]); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
		if err := errors.Join(<-answered, s.Close()); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// answer serves one stream at the agent.
func (r *rig) answer() error {
	s, err := r.accepted.Accept()
	if err != nil {
		return err
	}
	buf := make([]byte, answerSize)
	if _, err := io.ReadFull(s, buf[:requestSize]); err != nil {
		return err
	}
	_, err = s.Write(buf)
	return errors.Join(err, s.Close())
}

// download is a bulk from the agent that the hub reads as fast as it comes.
type download struct {
	bytes   atomic.Int64
	ends    [2]net.Conn
	running sync.WaitGroup
}

func (r *rig) download(ctx context.Context) (*download, error) {
	hub, agent, err := r.stream(ctx)
	if err != nil {
		return nil, err
	}
	d := &download{ends: [2]net.Conn{hub, agent}}
	d.running.Go(func() {
		for buf := make([]byte, 32<<10); ; {
			if _, err := agent.Write(buf); err != nil {
				return
			}
		}
	})
	d.running.Go(func() {
		for buf := make([]byte, 32<<10); ; {
			n, err := hub.Read(buf)
			d.bytes.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	return d, nil
}

func (d *download) stop() {
	for _, c := range d.ends {
		_ = c.(*tunnel.Stream).Reset()
	}
	d.running.Wait()
}
