// Package kubeserve is the agent's door to its Kubernetes API: what comes through the tunnel is let in so far as the cluster's owner permits, under the
// identity of the user whom the hub vouches for, and otherwise passes untouched.
package kubeserve

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Access is how far the cluster's owner opens the door.
type Access string

// The steps of access.
const (
	None        Access = "none"        // nobody comes in
	Read        Access = "read"        // reads, as the agent's own account; no Secrets
	Operate     Access = "operate"     // everything that the agent's own account may do
	Impersonate Access = "impersonate" // everything that the user may do, who is impersonated
)

// Steps are all steps of access, the narrowest first.
var Steps = []Access{None, Read, Operate, Impersonate}

// Config is what a door stands on.
type Config struct {
	REST   *rest.Config
	Access Access
	Prefix string // of impersonated users and groups
	Log    *zap.Logger
	Tracer *obs.Tracer // nil: no traces

	Registerer prometheus.Registerer // of its metrics; nobody sees them if nil
}

// Door serves requests from the hub.
type Door struct {
	cfg      Config
	listener *tunnel.Listener
	upstream *upstream
	metrics  *metrics
	errors   *log.Logger // of net/http, which writes there what a client did wrong

	draining context.Context // Run's: when it ends, what lasts ends at once

	mu       sync.Mutex
	closed   bool // no request may begin
	requests sync.WaitGroup
}

// New makes a door. Nothing is reached before Run.
func New(cfg Config) (*Door, error) {
	up, err := newUpstream(cfg.REST)
	if err != nil {
		return nil, err
	}
	quiet, err := zap.NewStdLogAt(cfg.Log, zapcore.DebugLevel)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the log can't be used")
	}
	return &Door{cfg: cfg, listener: tunnel.NewListener("kubernetes"), upstream: up, metrics: newMetrics(cfg.Registerer), errors: quiet}, nil
}

// Listener takes the streams of kind tunnel.HTTP that the hub opens.
func (d *Door) Listener() *tunnel.Listener { return d.listener }

const (
	headerTimeout = 30 * time.Second // a stream that the hub opened ahead may wait so long for its first request
	idleTimeout   = 5 * time.Minute  // longer than a hub keeps an idle stream, so that it is the hub that closes
	headerBytes   = 1 << 20          // as an API server takes
	grace         = 3 * time.Second  // for what is short, once the door closes
)

// Run serves until ctx ends, and returns when nothing is under way any more: what lasts is cut at once, what is short has a moment.
func (d *Door) Run(ctx context.Context) error {
	d.draining = ctx
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := &http.Server{
		Handler: d, ErrorLog: d.errors,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ConnContext:                  withJoiner,
		BaseContext:                  func(net.Listener) context.Context { return requests },
		DisableGeneralOptionsHandler: true,
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(joiners{d.listener}) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		served <- err
	}
	d.close(requests, s)
	cut()
	_ = s.Close()
	d.requests.Wait()
	d.upstream.close()
	if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fault.Wrap(err, fault.Internal, "the door to the Kubernetes API failed")
	}
	return nil
}

// close lets nothing in any more and waits a moment for what is under way.
func (d *Door) close(ctx context.Context, s *http.Server) {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	moment, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	_ = s.Shutdown(moment) // also closes the listener
}

// enter counts a request as under way; false when the door has closed. The caller says requests.Done.
func (d *Door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.requests.Add(1)
	return true
}
