// Package plugin runs the programs that people plug into the hub, through hashicorp/go-plugin, and trusts none of them: each is a process of its own,
// pinned by its checksum, with a deadline on every call and a check on every row; one that crashes, hangs or lies harms nothing but itself.
package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	"github.com/kubilitics/kubilitics/shared/fault"
	contract "github.com/kubilitics/kubilitics/shared/plugin"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Spec is a plugin as the hub's configuration describes it.
type Spec struct {
	Name    string        `conf:"name" usage:"name of what it adds or delivers to: letters, digits, - and ."`
	As      string        `conf:"as" usage:"enricher or notifier"`
	Path    string        `conf:"path" usage:"its program, an absolute path"`
	SHA256  string        `conf:"sha256" usage:"checksum of the program, in hexadecimal digits; nothing else is run"`
	Args    []string      `conf:"args" usage:"arguments of the program"`
	Env     []string      `conf:"env" usage:"KEY=value pairs, all of its environment besides PATH, LANG and TMPDIR" secret:"true"`
	Tenants []string      `conf:"tenants" usage:"slugs of the tenants it may see; * for all"`
	Timeout time.Duration `conf:"timeout" usage:"of each call"`
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	envForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// defaultTimeout is that of calls to plugins whose configuration says nothing.
const defaultTimeout = 10 * time.Second

// Check finds what can't be right about plugins, each with its key in the configuration: "plugins[0].path" and why.
func Check(specs []Spec) []fault.Field {
	f := fault.New(fault.BadRequest, "")
	seen := map[string]bool{}
	for i, s := range specs {
		at := fmt.Sprintf("plugins[%d].", i)
		for _, wrong := range s.wrong() {
			f = f.WithField(at+wrong.Name, "%s", wrong.Reason)
		}
		if seen[s.Name] {
			f = f.WithField(at+"name", "%q is taken", s.Name)
		}
		seen[s.Name] = true
	}
	return f.Fields
}

// Notifiers gives the names of the notifiers among plugins.
func Notifiers(specs []Spec) (names []string) {
	for _, s := range specs {
		if s.As == contract.Notifier {
			names = append(names, s.Name)
		}
	}
	return names
}

func (s Spec) wrong() []fault.Field {
	f := fault.New(fault.BadRequest, "")
	if !nameForm.MatchString(s.Name) {
		f = f.WithField("name", "%q is no name: 1 to 63 lower-case letters, digits, - and .", s.Name)
	}
	if s.As != contract.Enricher && s.As != contract.Notifier {
		f = f.WithField("as", "%q is neither enricher nor notifier", s.As)
	}
	if !filepath.IsAbs(s.Path) {
		f = f.WithField("path", "%q is no absolute path", s.Path)
	}
	if _, err := s.checksum(); err != nil {
		f = f.WithField("sha256", "must be the 64 hexadecimal digits of the program's SHA-256")
	}
	if len(s.Tenants) == 0 {
		f = f.WithField("tenants", "a plugin that may see no tenant has nothing to do; * means all")
	}
	if s.Timeout < 0 {
		f = f.WithField("timeout", "must not be negative")
	}
	for _, e := range s.Env {
		if !envForm.MatchString(e) || strings.IndexByte(e, 0) >= 0 {
			f = f.WithField("env", "each must be KEY=value")
			break
		}
	}
	return f.Fields
}

func (s Spec) checksum() ([]byte, error) {
	sum, err := hex.DecodeString(s.SHA256)
	if err == nil && len(sum) != 32 {
		err = fmt.Errorf("a SHA-256 has 32 bytes, not %d", len(sum))
	}
	return sum, err
}

// program tells what is run and how; the environment is left out, since it may hold secrets and this is kept.
func (s Spec) program() string {
	sum := sha256.Sum256([]byte(strings.ToLower(s.SHA256) + "\x00" + strings.Join(s.Args, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// sees tells whether the plugin may see the tenant with that slug.
func (s Spec) sees(slug string) bool {
	return slices.Contains(s.Tenants, "*") || slices.Contains(s.Tenants, slug)
}

// Store is what of the store the host uses.
type Store interface {
	store.Reader
	store.Plugins
	FeedBounds(ctx context.Context, tenant fleet.TenantID) (first, last topo.Position, err error)
	Tenants(ctx context.Context) ([]fleet.Tenant, error)
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
}

// Config says what to run. Zero durations and numbers mean the defaults.
type Config struct {
	Plugins    []Spec
	Store      Store
	Turns      *turn.Feeds
	Log        *zap.Logger
	Registerer prometheus.Registerer
	HubVersion string

	StartTimeout time.Duration // until a plugin has said who it is; 10 s
	FirstPause   time.Duration // before the first restart; it doubles; 1 s
	MostPause    time.Duration // the longest between restarts; 5 min
	Steady       time.Duration // a plugin that ran so long starts anew with the first pause; 5 min
	Strikes      int           // timeouts in a row after which a plugin is killed, and failures after which it is left alone for a while; 3
	Tenants      time.Duration // between looks for tenants that are new; 30 s
	Keep         time.Duration // of news of findings, which notifiers read; 24 h
}

func (c Config) complete() Config {
	c.StartTimeout, c.FirstPause, c.MostPause = or(c.StartTimeout, 10*time.Second), or(c.FirstPause, time.Second), or(c.MostPause, 5*time.Minute)
	c.Steady, c.Strikes, c.Tenants, c.Keep = or(c.Steady, 5*time.Minute), or(c.Strikes, 3), or(c.Tenants, 30*time.Second), or(c.Keep, 24*time.Hour)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	return c
}

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

// Host runs plugins.
type Host struct {
	cfg     Config
	metrics *metrics
	plugins []*runner
}

// New makes a host of plugins that Check found nothing wrong with.
func New(cfg Config) *Host {
	cfg = cfg.complete()
	h := &Host{cfg: cfg, metrics: newMetrics(cfg.Registerer)}
	for _, s := range cfg.Plugins {
		s.Timeout = or(s.Timeout, defaultTimeout)
		h.metrics.expect(s.Name)
		h.plugins = append(h.plugins, newRunner(h, s))
	}
	return h
}

// Run keeps the plugins running and has enrichers asked, until ctx ends; it returns when all of it has stopped, the plugins' processes included.
func (h *Host) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range h.plugins {
		g.Go(func() error { r.supervise(ctx); return nil })
		if r.spec.As == contract.Enricher {
			g.Go(func() error { newEnricher(h, r).run(ctx); return nil })
		}
	}
	g.Go(func() error { h.sweep(ctx); return nil })
	return g.Wait()
}

// sweepEvery is between looks for what plugins left behind.
const sweepEvery = time.Hour

// sweep deletes what plugins added that aren't configured for a tenant any more, and to nodes that are gone.
func (h *Host) sweep(ctx context.Context) {
	for {
		tenants, err := h.cfg.Store.Tenants(ctx)
		for _, t := range tenants {
			if err = h.sweepTenant(ctx, t); err != nil {
				break
			}
		}
		if err != nil && ctx.Err() == nil {
			h.cfg.Log.Warn("what plugins left behind could not be swept", zap.Error(err))
		}
		if !sleep(ctx, sweepEvery) {
			return
		}
	}
}

func (h *Host) sweepTenant(ctx context.Context, t fleet.Tenant) error {
	var keep []string
	for _, r := range h.plugins {
		if r.spec.As == contract.Enricher && r.spec.sees(t.Slug) {
			keep = append(keep, followerOf(r.spec))
		}
	}
	err := h.cfg.Store.Forget(ctx, t.ID, store.EnricherPrefix, keep)
	for more := true; more && err == nil; {
		more, err = h.cfg.Store.SweepPlugins(ctx, t.ID, time.Now().Add(-h.cfg.Keep), 5000)
	}
	return err
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
