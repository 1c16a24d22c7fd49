package plugin

import (
	"context"
	"errors"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	pluginrunner "github.com/hashicorp/go-plugin/runner"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/kubilitics/kubilitics/hub/internal/turn"
	"github.com/kubilitics/kubilitics/shared/fault"
	contract "github.com/kubilitics/kubilitics/shared/plugin"
)

// runner keeps one plugin running, and calls it.
type runner struct {
	host *Host
	spec Spec
	log  *zap.Logger

	mu      sync.Mutex
	status  Status
	live    *session
	changed chan struct{} // closed when live changes
	well    time.Time     // the last call that did well
	bad     int           // calls in a row that failed
	rest    time.Time     // until then it is left alone
}

func newRunner(h *Host, s Spec) *runner {
	return &runner{
		host: h, spec: s, log: h.cfg.Log.With(zap.String("plugin", s.Name)), changed: make(chan struct{}),
		status: Status{Name: s.Name, As: s.As, Path: s.Path, State: Stopped, Since: time.Now().UTC()},
	}
}

// session is one run of the plugin's process.
type session struct {
	client *goplugin.Client
	proc   atomic.Pointer[process] // made while go-plugin starts it
	conn   *grpc.ClientConn
	about  description

	hung    sync.Once
	broken  chan struct{} // closed when the process is to be ended since it doesn't answer
	strikes int           // timeouts in a row; under the runner's lock
}

// supervise runs the plugin until ctx ends: again and again, ever more slowly while it fails.
func (r *runner) supervise(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > r.host.cfg.Steady {
			failures = 0
		}
		pause := turn.Backoff(failures, r.host.cfg.FirstPause, r.host.cfg.MostPause)
		r.failed(err, pause)
		sleep(ctx, pause)
	}
	r.enter(Stopped, "")
}

// failed notes why a run ended.
func (r *runner) failed(err error, pause time.Duration) {
	state := Waiting
	if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.NotFound) {
		state = Refused
	}
	r.enter(state, plainText(err.Error(), 500))
	r.host.metrics.restarts.WithLabelValues(r.spec.Name).Inc()
	r.log.Warn("the plugin doesn't run", zap.Error(err), zap.Duration("retry", pause))
}

// once runs the plugin's process to its end.
func (r *runner) once(ctx context.Context) error {
	r.enter(Starting, "")
	if err := verify(r.spec); err != nil {
		return err
	}
	s, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	r.arrive(s)
	defer r.leave()
	r.log.Info("the plugin runs", zap.Int("pid", s.proc.Load().pid()), zap.Int("contract", s.client.NegotiatedVersion()), zap.String("version", s.about.version))
	p := s.proc.Load()
	select {
	case <-ctx.Done():
		return nil
	case <-p.ended:
		return fault.New(fault.Unavailable, "the plugin's process ended by itself: %s", how(p))
	case <-s.broken:
		return fault.New(fault.Unavailable, "the plugin didn't answer %d calls in a row", r.host.cfg.Strikes)
	}
}

func how(p *process) string {
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.Error()
	}
	return "as if its work were done"
}

// start brings a process up, shakes hands with it, and asks who it is.
func (r *runner) start(ctx context.Context) (*session, error) {
	s := &session{broken: make(chan struct{})}
	s.client = goplugin.NewClient(r.clientConfig(s))
	// Parts of go-plugin's start know no deadline but the process's end.
	ctx, cancel := context.WithTimeout(ctx, r.host.cfg.StartTimeout+time.Second)
	defer cancel()
	unwatch := context.AfterFunc(ctx, func() {
		if p := s.proc.Load(); p != nil {
			p.end()
		}
	})
	defer unwatch()
	err := s.connect()
	if err == nil {
		s.about, err = describe(ctx, r.spec.As, s.conn, r.host.cfg.HubVersion)
	}
	if err != nil {
		s.stop()
		return nil, fault.Wrap(err, fault.Unavailable, "the plugin could not be started")
	}
	return s, nil
}

func (r *runner) clientConfig(s *session) *goplugin.ClientConfig {
	log := newSink(r.log, func() { r.host.metrics.lines.WithLabelValues(r.spec.Name).Inc() })
	return &goplugin.ClientConfig{
		HandshakeConfig:  contract.Handshake,
		VersionedPlugins: contract.Versions(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     r.host.cfg.StartTimeout,
		Logger:           log.logger(),
		SyncStdout:       &lines{sink: log, usual: hclog.Debug},
		SyncStderr:       &lines{sink: log, usual: hclog.Info},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (pluginrunner.Runner, error) {
			p, err := newProcess(r.spec, cmd.Env, dir)
			if err == nil {
				s.proc.Store(p)
			}
			return p, err
		},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(contract.MaxMessage), grpc.MaxCallSendMsgSize(contract.MaxMessage)),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: r.host.cfg.StartTimeout}),
		},
	}
}

// connect shakes hands. Nobody else may have this connection: both ends have certificates made for it.
func (s *session) connect() error {
	protocol, err := s.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(contract.Enricher) // both services are served on the one connection
	if err != nil {
		return err
	}
	s.conn = raw.(*grpc.ClientConn)
	return nil
}

// stopTime is how long a plugin may take to stop when it is asked to.
const stopTime = 5 * time.Second

// stop asks the process to end, ends it if it doesn't, and waits for it.
func (s *session) stop() {
	p := s.proc.Load()
	if p == nil {
		return // it never got so far
	}
	last := time.AfterFunc(stopTime, p.end)
	defer last.Stop()
	s.client.Kill()
	<-p.ended
}

// arrive lets calls through to a session.
func (r *runner) arrive(s *session) {
	r.mu.Lock()
	r.live, r.bad, r.rest = s, 0, time.Time{}
	r.status.PID, r.status.Version, r.status.Says, r.status.Contract = s.proc.Load().pid(), s.about.version, s.about.name, s.client.NegotiatedVersion()
	r.status.Kinds, r.status.Adds = nil, s.about.adds
	for _, k := range s.about.kinds {
		r.status.Kinds = append(r.status.Kinds, k.String())
	}
	r.tellChange()
	r.mu.Unlock()
	r.host.metrics.up.WithLabelValues(r.spec.Name).Set(1)
	r.enter(Running, "")
}

func (r *runner) leave() {
	r.mu.Lock()
	r.live, r.status.PID = nil, 0
	r.status.Restarts++
	r.tellChange()
	r.mu.Unlock()
	r.host.metrics.up.WithLabelValues(r.spec.Name).Set(0)
}

// tellChange wakes those who wait for a session; the lock is held.
func (r *runner) tellChange() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// enter notes a state, and why it was entered if something went wrong.
func (r *runner) enter(s State, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.State != s {
		r.status.State, r.status.Since = s, time.Now().UTC()
	}
	if why != "" {
		r.status.LastError, r.status.LastErrorAt = why, time.Now().UTC()
	}
}
