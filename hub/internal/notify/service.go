package notify

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Store is what of the store is used.
type Store interface {
	store.Plugins
	ReadAt(ctx context.Context, tenant fleet.TenantID, when store.When, fn func(context.Context, store.Snapshot) error) error
	FeedBounds(ctx context.Context, tenant fleet.TenantID) (first, last topo.Position, err error)
	Tenants(ctx context.Context) ([]fleet.Tenant, error)
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
}

// Plugins delivers through notifier plugins.
type Plugins interface {
	Notify(ctx context.Context, name string, n *pluginv1.Notification) error
}

// Config says whom to tell what. Zero durations mean the defaults.
type Config struct {
	Targets    []Target
	Rules      []Rule
	Store      Store
	Turns      *turn.Feeds
	Plugins    Plugins
	Log        *zap.Logger
	Registerer prometheus.Registerer
	HubVersion string

	FirstPause time.Duration // before the second attempt; it doubles; 1 s
	MostPause  time.Duration // the longest between attempts, also when the target asks for more; 5 min
	MostWindow time.Duration // to which a rule's window doubles; 5 min
	Tenants    time.Duration // between looks for tenants that are new; 30 s
	Look       time.Duration // between looks for news of findings; 2 s
}

func (c Config) complete() Config {
	c.FirstPause, c.MostPause, c.MostWindow = cmp.Or(c.FirstPause, time.Second), cmp.Or(c.MostPause, 5*time.Minute), cmp.Or(c.MostWindow, 5*time.Minute)
	c.Tenants, c.Look = cmp.Or(c.Tenants, 30*time.Second), cmp.Or(c.Look, 2*time.Second)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	return c
}

// Service follows feeds for rules and tells targets.
type Service struct {
	cfg     Config
	metrics *metrics
	targets map[string]*target
	pairs   []*pair
}

// New makes a service of rules that Check found nothing wrong with.
func New(cfg Config) *Service {
	cfg = cfg.complete()
	s := &Service{cfg: cfg, metrics: newMetrics(cfg.Registerer), targets: map[string]*target{}}
	for _, t := range cfg.Targets {
		s.targets[t.Name] = newTarget(t, &s.cfg)
		s.metrics.expect(t.Name)
	}
	for _, r := range cfg.Rules {
		compiled := compile(r)
		for _, to := range r.To {
			s.pairs = append(s.pairs, &pair{service: s, rule: compiled, target: s.targets[to]})
		}
	}
	return s
}

// pair is a rule and one whom it tells.
type pair struct {
	service *Service
	rule    *rule
	target  *target
}

const prefix = "notify:"

func (p *pair) follower() string { return prefix + p.rule.name + ">" + p.target.Name }

// Run follows the feeds until ctx ends; it returns when all it started has stopped.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	followed := map[fleet.TenantID]bool{}
	for ctx.Err() == nil {
		tenants, err := s.cfg.Store.Tenants(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("the tenants can't be listed", zap.Error(err))
		}
		for _, t := range tenants {
			if !followed[t.ID] {
				followed[t.ID] = true
				s.forget(ctx, t)
				s.followAll(ctx, g, t)
			}
		}
		sleep(ctx, s.cfg.Tenants)
	}
	_ = g.Wait() // they only end with ctx
	for _, t := range s.targets {
		t.close()
	}
	return nil
}

// forget drops where rules stood that are no longer: one that comes back begins anew.
func (s *Service) forget(ctx context.Context, t fleet.Tenant) {
	var keep []string
	for _, p := range s.pairs {
		if p.rule.sees(t.Slug) {
			keep = append(keep, p.follower())
		}
	}
	if err := s.cfg.Store.Forget(ctx, t.ID, prefix, keep); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("the places of rules that are no longer could not be forgotten", zap.Error(err))
	}
}

func (s *Service) followAll(ctx context.Context, g *errgroup.Group, t fleet.Tenant) {
	for _, p := range s.pairs {
		if p.rule.sees(t.Slug) {
			f := newFollowing(p, t)
			g.Go(func() error {
				s.cfg.Turns.Follow(ctx, store.Follower{Tenant: t.ID, Name: p.follower()}, f.work)
				return nil
			})
		}
	}
}

// sleep waits; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// target is a Target made ready.
type target struct {
	Target
	cfg    *Config
	client *http.Client // of webhooks
}

func newTarget(t Target, cfg *Config) *target {
	t.Timeout, t.Attempts = cmp.Or(t.Timeout, defaultTimeout), cmp.Or(t.Attempts, defaultAttempts)
	return &target{Target: t, cfg: cfg, client: newClient(t)}
}

func (t *target) close() { t.client.CloseIdleConnections() }

// send makes one attempt. TooManyRequests and Unavailable may be tried again.
func (t *target) send(ctx context.Context, n *Notification) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	switch t.As {
	case Plugin:
		return t.cfg.Plugins.Notify(ctx, t.Plugin, n.message())
	case Slack:
		return t.slack(ctx, n)
	}
	return t.webhook(ctx, n)
}

// Status is how a rule's notifications to one target fare, for one tenant.
type Status struct {
	Rule   string        `json:"rule"`
	Target string        `json:"target"`
	As     string        `json:"as"`
	Behind topo.Position `json:"behind"` // positions of the tenant's feed that aren't dealt with
}

// Status tells how the rules fare that are about a tenant, in the order of the configuration.
func (s *Service) Status(ctx context.Context, tenant fleet.Tenant) ([]Status, error) {
	progress, err := s.cfg.Store.Progress(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	_, last, err := s.cfg.Store.FeedBounds(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	var all []Status
	for _, p := range s.pairs {
		if !p.rule.sees(tenant.Slug) {
			continue
		}
		one := Status{Rule: p.rule.name, Target: p.target.Name, As: p.target.As}
		if at, ok := progress[p.follower()]; ok && at.Begun {
			one.Behind = max(last-at.Position, 0)
		}
		all = append(all, one)
	}
	return all, nil
}

// Try sends a target a notification without changes, in one attempt, for who wants to know whether it arrives. NotFound unless some rule about the tenant
// tells that target.
func (s *Service) Try(ctx context.Context, tenant fleet.Tenant, name string) error {
	t := s.told(tenant, name)
	if t == nil {
		return fault.New(fault.NotFound, "no rule tells a target %q", name)
	}
	at := time.Now().UTC()
	err := t.send(ctx, &Notification{Key: tenant.ID.String() + ".try." + strconv.FormatInt(at.UnixNano(), 10), Tenant: tenant.Slug, Rule: "try", At: at,
		Summary: "this is only a try", Changes: []Change{}})
	s.metrics.attempt(name, err)
	return err
}

// told is the target of that name, if some rule about the tenant tells it: what is a tenant's goes to nobody else.
func (s *Service) told(tenant fleet.Tenant, name string) *target {
	for _, p := range s.pairs {
		if p.target.Name == name && p.rule.sees(tenant.Slug) {
			return p.target
		}
	}
	return nil
}

// Retry delivers an undelivered notification now, in one attempt: it leaves the list when that succeeds. Unavailable when it failed again, Conflict when
// no rule about the tenant tells its target any more.
func (s *Service) Retry(ctx context.Context, tenant fleet.Tenant, id string) error {
	d, err := s.cfg.Store.DeadLetter(ctx, tenant.ID, id)
	if err != nil {
		return err
	}
	t := s.told(tenant, d.Notifier)
	if t == nil {
		return fault.New(fault.Conflict, "no rule tells a target %q any more", d.Notifier)
	}
	n, err := readBody(d.Body)
	if err != nil {
		return err
	}
	failed := t.send(ctx, n)
	s.metrics.attempt(t.Name, failed)
	if failed == nil {
		return s.cfg.Store.DeleteDeadLetter(ctx, tenant.ID, id)
	}
	d.Attempts, d.Tried, d.Reason = d.Attempts+1, time.Now().UTC(), failed.Error()
	if err := s.cfg.Store.PutDeadLetter(ctx, d); err != nil {
		return err
	}
	return fault.Wrap(failed, fault.Unavailable, "it could not be delivered this time either")
}

// metrics are by target, whose names the configuration gives.
type metrics struct {
	sent, dead, missed *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		sent:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_hub_notify_attempts_total", Help: "Attempts to deliver notifications, by their result: ok, later, never."}, []string{"target", "result"}),
		dead:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_hub_notify_undelivered_total", Help: "Notifications put on the list of what could not be delivered."}, []string{"target"}),
		missed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_hub_notify_gaps_total", Help: "Times that changes went by before a rule had seen them."}, []string{"target"}),
	}
	reg.MustRegister(m.sent, m.dead, m.missed)
	return m
}

func (m *metrics) attempt(target string, err error) {
	result := "ok"
	switch {
	case fault.Retryable(err):
		result = "later"
	case err != nil:
		result = "never"
	}
	m.sent.WithLabelValues(target, result).Inc()
}

// expect makes a target's series beforehand: what never happened is a 0.
func (m *metrics) expect(target string) {
	m.dead.WithLabelValues(target)
	m.missed.WithLabelValues(target)
	for _, result := range []string{"ok", "later", "never"} {
		m.sent.WithLabelValues(target, result)
	}
}
