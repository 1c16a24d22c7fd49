package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// face is what an agent shows to its surroundings: whether it lives, whether it works, and its metrics. Nothing of the cluster is served here.
type face struct {
	ready   func() error
	metrics prometheus.Gatherer
	log     *zap.Logger
}

// serve shows it at an address until ctx ends; at none it does nothing.
func (f face) serve(ctx context.Context, at string) error {
	if at == "" {
		return nil
	}
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", at)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the address %s can't be listened on", at).WithField("listen", "%v", err)
	}
	f.log.Info("health and metrics are served", zap.Stringer("at", l.Addr()))
	s := &http.Server{
		Handler: f.doors(), ErrorLog: zap.NewStdLog(f.log), MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // who asks for metrics asks again
	defer stop()
	if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fault.Wrap(err, fault.Internal, "the listener for health and metrics failed")
	}
	return nil
}

func (f face) doors() http.Handler {
	doors := http.NewServeMux()
	// Whoever answers lives: a hub or an API server that is away is no reason to start an agent anew.
	doors.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, nil) })
	doors.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, f.ready()) })
	doors.Handle("GET /metrics", promhttp.HandlerFor(f.metrics, promhttp.HandlerOpts{ErrorLog: zap.NewStdLog(f.log), MaxRequestsInFlight: 4}))
	return doors
}

func say(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, fault.Public(err).Message)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// ready tells why the agent doesn't work yet: it is not enrolled, or doesn't know the whole cluster. Once it works it stays ready, also when the hub is
// away: it goes on watching, and tells when the hub is back.
func (a *Agent) ready() error {
	switch {
	case a.member.Load() == nil:
		return fault.New(fault.Unavailable, "the agent is not enrolled yet")
	case !a.source.Synced():
		return fault.New(fault.Unavailable, "the cluster is still being listed")
	default:
		return nil
	}
}
