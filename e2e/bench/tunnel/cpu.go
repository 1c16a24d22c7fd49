package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// cpuPerGB compares the processor time of bytes on a raw stream of a session with that of the same bytes on bare TLS 1.3,
// both ends in this process, the two taken in turn.
func cpuPerGB(ctx context.Context) error {
	const rounds, size = 7, 1 << 30
	r, err := newRig(ctx, nil)
	if err != nil {
		return err
	}
	defer r.close()
	bareFrom, bareTo, err := bareTLS()
	if err != nil {
		return err
	}
	defer bareFrom.Close()
	defer bareTo.Close()
	to, from, err := r.stream(ctx)
	if err != nil {
		return err
	}
	var bare, ours, ratios []float64
	for i := range rounds + 1 {
		b, err := cpuOf(bareFrom, bareTo, size)
		if err != nil {
			return err
		}
		o, err := cpuOf(from, to, size)
		if err != nil {
			return err
		}
		if i == 0 { // the first warms pools and congestion windows up
			continue
		}
		bare, ours, ratios = append(bare, b), append(ours, o), append(ratios, o/b)
	}
	measure.Note("tunnel.cpu_per_GB: %d rounds of 1 GiB in turn; medians %.3f s/GB on a stream, %.3f s/GB on bare TLS 1.3; ratios %.2f to %.2f",
		rounds, measure.Quantile(ours, 0.5), measure.Quantile(bare, 0.5), measure.Quantile(ratios, 0), measure.Quantile(ratios, 1))
	measure.Line("tunnel.cpu_per_GB.vs_tls", measure.Quantile(ratios, 0.5), "ratio")
	return nil
}

// cpuOf sends size bytes in pieces of 32 KiB and returns the processor seconds per 10^9 bytes.
func cpuOf(from io.Writer, to io.Reader, size int) (float64, error) {
	start := measure.CPU()
	sent := make(chan error, 1)
	go func() {
		buf := make([]byte, 32<<10)
		for range size / len(buf) {
			if _, err := from.Write(buf); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	buf := make([]byte, 32<<10)
	for got := 0; got < size; {
		n, err := to.Read(buf)
		if err != nil {
			return 0, errors.Join(err, <-sent)
		}
		got += n
	}
	if err := <-sent; err != nil {
		return 0, err
	}
	return (measure.CPU() - start).Seconds() / (float64(size) / 1e9), nil
}

// bareTLS connects two ends by TLS 1.3 over the loopback, with the certificates of a tunnel.
func bareTLS() (from, to net.Conn, err error) {
	ca := tunneltest.NewCA()
	hub, agent := ca.Hub(), ca.Agent("spiffe://bench/tenant/t/cluster/c", time.Hour)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{hub.Certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: hub.Roots, NextProtos: []string{tunnel.ProtoTunnel},
	})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			to, err = c, c.(*tls.Conn).Handshake()
		}
		accepted <- err
	}()
	from, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{agent.Certificate}, RootCAs: agent.Roots,
		ServerName: tunneltest.HubName, NextProtos: []string{tunnel.ProtoTunnel},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("bare TLS: %w", err)
	}
	return from, to, <-accepted
}
