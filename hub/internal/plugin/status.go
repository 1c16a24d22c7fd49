package plugin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// State says what a plugin is doing.
type State string

// The states of a plugin.
const (
	Stopped  State = "stopped"  // the hub doesn't run
	Starting State = "starting" // its process is starting, or saying who it is
	Running  State = "running"
	Resting  State = "resting" // it runs, and is left alone for a while since its calls fail
	Waiting  State = "waiting" // it ended or was ended, and will be started again
	Refused  State = "refused" // its program is absent, isn't the one that was pinned, or may be written by everybody; looked at again now and then
)

// Status is how a plugin fares, in this process. Its tags are its description in the API.
type Status struct {
	Name        string        `json:"name"`
	As          string        `json:"as" enum:"enricher,notifier"`
	Path        string        `json:"path" doc:"of its program"`
	State       State         `json:"state" enum:"stopped,starting,running,resting,waiting,refused" doc:"resting: left alone for a while since its calls fail; waiting: it ended, and will be started again; refused: its program is absent, isn't the one that was pinned, or may be written by everybody"`
	Since       time.Time     `json:"since" doc:"of the state"`
	PID         int           `json:"pid,omitempty" doc:"of its process, where it runs"`
	Says        string        `json:"says,omitempty" doc:"the name it gives itself"`
	Version     string        `json:"version,omitempty" doc:"its own"`
	Contract    int           `json:"contract,omitempty" doc:"the version that was agreed on"`
	Kinds       []string      `json:"kinds,omitempty" doc:"of the objects it is asked about" example:"Deployment.apps"`
	Adds        []string      `json:"adds,omitempty" doc:"what it says it adds"`
	Restarts    int           `json:"restarts" doc:"since the hub started"`
	LastError   string        `json:"lastError,omitempty"`
	LastErrorAt time.Time     `json:"lastErrorAt,omitzero"`
	Calls       int64         `json:"calls"`
	Failed      int64         `json:"failed" doc:"calls, timeouts included"`
	Timeouts    int64         `json:"timeouts" doc:"calls"`
	Nodes       int64         `json:"nodes" doc:"enriched"`
	Refused     int64         `json:"refused" doc:"rows that broke a rule"`
	LastRefused string        `json:"lastRefused,omitempty"`
	Skipped     int64         `json:"skipped" doc:"nodes given up since the plugin fails on them"`
	Behind      topo.Position `json:"behind,omitempty" doc:"positions of the tenant's feed it has still to follow"`
	Walking     bool          `json:"walking,omitempty" doc:"it is asked about everything anew"`
}

// Status tells how the plugins fare that a tenant has, in the order of the configuration. What a plugin that others have, too, said of some object is
// left out: it may be theirs.
func (h *Host) Status(ctx context.Context, tenant fleet.Tenant) ([]Status, error) {
	progress, err := h.cfg.Store.Progress(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	_, last, err := h.cfg.Store.FeedBounds(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	tenants, err := h.cfg.Store.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	var all []Status
	for _, r := range h.plugins {
		if !r.spec.sees(tenant.Slug) {
			continue
		}
		s := r.now()
		if slices.ContainsFunc(tenants, func(t fleet.Tenant) bool { return t.ID != tenant.ID && r.spec.sees(t.Slug) }) {
			s.discreet()
		}
		if p, ok := progress[followerOf(r.spec)]; ok && p.Begun {
			var n note
			_ = json.Unmarshal([]byte(p.Note), &n) // unreadable: as if it were at the beginning
			s.Behind, s.Walking = max(last-p.Position, 0), n.Walk != nil
		}
		all = append(all, s)
	}
	return all, nil
}

// discreet leaves out what may name objects.
func (s *Status) discreet() {
	s.LastRefused = ""
	if s.State == Running || s.State == Resting { // otherwise it tells of the process
		s.LastError = ""
	}
}

func (r *runner) now() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	if s.State == Running && time.Now().Before(r.rest) {
		s.State = Resting
	}
	return s
}

// metrics are by plugin, whose names the configuration gives.
type metrics struct {
	up       *prometheus.GaugeVec
	restarts *prometheus.CounterVec
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	nodes    *prometheus.CounterVec
	refused  *prometheus.CounterVec
	skipped  *prometheus.CounterVec
	lines    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_hub_plugin_" + name, Help: help}, append([]string{"plugin"}, labels...))
	}
	m := &metrics{
		up:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubilitics_hub_plugin_up", Help: "1 while the plugin's process answers."}, []string{"plugin"}),
		restarts: counter("failed_runs_total", "Runs of the plugin's process that failed to start or ended by themselves."),
		calls:    counter("calls_total", "Calls, by their result: ok, error, timeout.", "result"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "kubilitics_hub_plugin_call_seconds", Help: "How long calls take.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"plugin"}),
		nodes:   counter("enriched_nodes_total", "Nodes that were enriched."),
		refused: counter("refused_rows_total", "Rows of answers that broke a rule."),
		skipped: counter("skipped_nodes_total", "Nodes given up since the plugin fails on them."),
		lines:   counter("dropped_log_lines_total", "Lines of the plugin's log beyond what is kept."),
	}
	reg.MustRegister(m.up, m.restarts, m.calls, m.seconds, m.nodes, m.refused, m.skipped, m.lines)
	return m
}

// expect makes a plugin's series beforehand: what never happened is a 0.
func (m *metrics) expect(name string) {
	m.up.WithLabelValues(name)
	m.seconds.WithLabelValues(name)
	for _, v := range []*prometheus.CounterVec{m.restarts, m.nodes, m.refused, m.skipped, m.lines} {
		v.WithLabelValues(name)
	}
	for _, result := range []string{"ok", "error", "timeout"} {
		m.calls.WithLabelValues(name, result)
	}
}
