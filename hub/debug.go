package hub

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/bundle"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/conf"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// keptLog is how many bytes of its log a hub keeps in memory, for bundles.
const keptLog = 1 << 20

// bundle says, to an administrator of the tenant that the hub was started for, what goes into a bundle: what a process tells isn't one tenant's alone. One is made
// at a time, because to write down every goroutine stops all of them for a moment.
func (h *Hub) bundle(ctx context.Context, by fleet.Principal, name string) (func(io.Writer) error, error) {
	if by.Tenant != h.tenant.ID {
		return nil, fault.New(fault.Forbidden, "what this hub tells of itself is for administrators of the tenant %q alone", h.tenant.Slug)
	}
	return func(w io.Writer) error {
		select {
		case h.bundling <- struct{}{}:
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), fault.Unavailable, "another bundle is being made")
		}
		defer func() { <-h.bundling }()
		parts := []bundle.Part{
			bundle.About(), bundle.Configuration(printed(h.cfg)), bundle.Metrics(h.metrics), bundle.Log(h.ring),
			bundle.JSON("health.json", h.tellHealth), bundle.JSON("plugins.json", h.tellPlugins),
		}
		parts = append(parts, databaseParts(h.store, h.sessions)...)
		return bundle.Write(ctx, w, name, secrets(h.cfg), append(parts, bundle.Profiles()...)...)
	}, nil
}

// BundleOffline packs what can be had of a hub that doesn't run: its configuration, and what its database tells.
func BundleOffline(ctx context.Context, cfg Config, w io.Writer, name string, log *zap.Logger) error {
	parts := []bundle.Part{bundle.About(), bundle.Configuration(printed(cfg))}
	s, err := openAsIs(ctx, cfg, log)
	if err != nil {
		parts = append(parts, bundle.JSON("database.json", func(context.Context) (any, error) { return nil, err }))
	} else {
		defer func() { _ = s.Close() }() // nothing was written
		parts = append(parts, databaseParts(s, func() map[store.Scope][]session { return nil })...)
	}
	return bundle.Write(ctx, w, name, secrets(cfg), parts...)
}

// printed is the configuration as people see it; a plugin's arguments, which its author may have made to take secrets, are masked with them.
func printed(cfg Config) []conf.Line {
	plugins := append([]plugin.Spec(nil), cfg.Plugins...)
	for i := range plugins {
		if len(plugins[i].Args) > 0 {
			plugins[i].Args = []string{"********"}
		}
	}
	cfg.Plugins = plugins
	return conf.Lines(cfg)
}

// secrets are the texts that no bundle may hold, wherever they come from: a plugin may have printed what it was given.
func secrets(cfg Config) []string {
	const shorter = 8 // than what anybody would take for a secret; "run" is masked nowhere
	out := conf.Secrets(cfg)
	for _, p := range cfg.Plugins {
		for _, arg := range p.Args {
			_, value, _ := strings.Cut(arg, "=")
			for _, text := range []string{arg, value} {
				if len(text) >= shorter {
					out = append(out, text)
				}
			}
		}
	}
	return out
}

func databaseParts(s store.Store, sessions func() map[store.Scope][]session) []bundle.Part {
	return []bundle.Part{
		bundle.JSON("database.json", func(ctx context.Context) (any, error) { return s.Describe(ctx) }),
		bundle.JSON("clusters.json", func(ctx context.Context) (any, error) { return tellClusters(ctx, s, sessions()) }),
	}
}

// told is what a bundle tells of a cluster: how it fares, not what is in it.
type told struct {
	Tenant     string          `json:"tenant"`
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Created    time.Time       `json:"created"`
	Kubernetes string          `json:"kubernetes"`
	Provider   string          `json:"provider"`
	Agent      string          `json:"agent"`
	Share      fleet.Share     `json:"share"`
	Epoch      int64           `json:"epoch"`
	Seq        int64           `json:"seq"`
	Synced     bool            `json:"synced"`
	Generation int64           `json:"generation"`
	Freshness  fleet.Freshness `json:"freshness"`
	Sessions   []session       `json:"sessions"`
}

// session is a tunnel to this replica.
type session struct {
	Instance  string    `json:"instance"`
	Epoch     int64     `json:"epoch"`
	Writes    bool      `json:"writes"`
	Address   string    `json:"address"`
	LastHeard time.Time `json:"lastHeard"`
	Streams   int       `json:"streams"`
}

func (h *Hub) sessions() map[store.Scope][]session {
	out := map[store.Scope][]session{}
	for _, s := range h.gateway.Sessions() {
		out[s.Scope] = append(out[s.Scope], session{s.Instance, s.Epoch, s.Writes, s.Address, s.LastHeard, s.Streams})
	}
	return out
}

func tellClusters(ctx context.Context, s store.Store, sessions map[store.Scope][]session) ([]told, error) {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	out := []told{}
	for _, t := range tenants {
		all, err := s.Clusters(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range all {
			out = append(out, told{
				Tenant: t.Slug, ID: c.ID.String(), Name: c.Name, Created: c.Created, Kubernetes: c.Version, Provider: c.Provider, Agent: c.Agent, Share: c.Share,
				Epoch: c.Epoch, Seq: c.Seq, Synced: c.Synced, Generation: c.Generation, Freshness: c.Freshness,
				Sessions: sessions[store.Scope{Tenant: t.ID, Cluster: c.ID}],
			})
		}
	}
	return out, nil
}

// tellHealth is what those who ask whether the hub is well are told.
func (h *Hub) tellHealth(ctx context.Context) (any, error) {
	word := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return http.StatusText(http.StatusOK)
	}
	return map[string]string{"ready": word(h.ready()), "database": word(h.store.Ping(ctx)), "changes": word(h.live.Healthy())}, nil
}

func (h *Hub) tellPlugins(ctx context.Context) (any, error) {
	out := struct {
		Plugins []plugin.Status `json:"plugins"`
		Notify  []notify.Status `json:"notify"`
	}{}
	var err error
	if out.Plugins, err = h.plugins.Status(ctx, h.tenant); err != nil {
		return nil, err
	}
	out.Notify, err = h.notify.Status(ctx, h.tenant)
	return out, err
}
