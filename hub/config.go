package hub

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Config is all that a hub is told at its start; nothing changes it afterwards. Keys, flags and variables come from its tags.
type Config struct {
	Listen         string   `conf:"listen" usage:"address of the API, host:port"`
	TLSCert        string   `conf:"tls-cert" usage:"PEM file with the API's certificate and its chain; without one plain HTTP, and HTTPS by the hub's own root"`
	TLSKey         string   `conf:"tls-key" usage:"PEM file with the key of tls-cert"`
	PublicURL      string   `conf:"public-url" usage:"how people reach the API, https://…, for the kubeconfigs it gives; worked out from their requests if empty"`
	PublicCA       string   `conf:"public-ca" usage:"PEM file with the root of public-url's certificate; that of tls-cert, or one that clients know, if empty"`
	Database       string   `conf:"database" usage:"postgres://… or sqlite:FILE; a file in data-dir if empty" secret:"true"`
	DataDir        string   `conf:"data-dir" usage:"directory of what the hub keeps in files: its CA, and the database unless that is elsewhere"`
	Tenant         string   `conf:"tenant" usage:"slug of the tenant that the first token is for"`
	CORSOrigins    []string `conf:"cors-origins" usage:"origins of other sites whose pages may call the API"`
	TrustedProxies []string `conf:"trusted-proxies" usage:"addresses or prefixes of proxies whose X-Forwarded-For is believed"`

	Tunnel TunnelConfig `conf:"tunnel"`
	CA     CAConfig     `conf:"ca"`
	Keep   KeepConfig   `conf:"keep"`
	Kube   KubeConfig   `conf:"kube"`
	Trace  TraceConfig  `conf:"trace"`
	Log    LogConfig    `conf:"log"`

	Plugins []plugin.Spec `conf:"plugins" usage:"programs that add to the graph or deliver notifications"`
	Notify  NotifyConfig  `conf:"notify"`

	Drain          time.Duration `conf:"drain" usage:"how long agents are given to move to another replica when the hub stops; 0 where there is no other"`
	TicketLifetime time.Duration `conf:"ticket-lifetime" usage:"how long a ticket, which is a token for a short while, may last"`

	VerifyEvery time.Duration `conf:"verify-every" usage:"between recomputing a cluster's digests from its stored rows; 0 never does"`
}

// TunnelConfig is about the listener that agents come to.
type TunnelConfig struct {
	Listen  string   `conf:"listen" usage:"address of the tunnels, host:port"`
	Address string   `conf:"address" usage:"how agents reach tunnel.listen, tls://host:port; worked out from tunnel.listen if empty"`
	Names   []string `conf:"names" usage:"further DNS names and addresses in the hub's tunnel certificate"`
}

// CAConfig is about the certificates of agents.
type CAConfig struct {
	File      string        `conf:"file" usage:"PEM file with the hub's root certificate and key, the same for all replicas; made in data-dir if empty"`
	Trusted   string        `conf:"trusted" usage:"PEM file with further roots that agents are to trust, during a rotation"`
	Domain    string        `conf:"domain" usage:"SPIFFE trust domain of agents' identities"`
	Lifetime  time.Duration `conf:"lifetime" usage:"of agents' certificates"`
	TokenLife time.Duration `conf:"token-lifetime" usage:"of join tokens"`
}

// KeepConfig is how long what is past is kept.
type KeepConfig struct {
	Feed    time.Duration `conf:"feed" usage:"changes, for streams that resume"`
	History time.Duration `conf:"history" usage:"past versions of resources and edges"`
	Events  time.Duration `conf:"events" usage:"Kubernetes Events"`
	Audit   time.Duration `conf:"audit" usage:"the record of who did what, to the day"`
}

// KubeConfig bounds what goes to clusters' Kubernetes APIs. 0 bounds nothing.
type KubeConfig struct {
	UserRate        int `conf:"user-rate" usage:"requests a second that one user may send to clusters' Kubernetes APIs, and twice as many at once; 0 is no bound, as in all of these"`
	ClusterRate     int `conf:"cluster-rate" usage:"requests a second that one cluster's Kubernetes API may be sent, and twice as many at once"`
	UserRequests    int `conf:"user-requests" usage:"requests of one user that are under way"`
	ClusterRequests int `conf:"cluster-requests" usage:"requests to one cluster that are under way"`
	UserStreams     int `conf:"user-streams" usage:"watches, followed logs and connections of one user"`
	ClusterStreams  int `conf:"cluster-streams" usage:"watches, followed logs and connections to one cluster"`
}

func (k KubeConfig) limits() kubeproxy.Limits { return kubeproxy.Limits(k) }

// NotifyConfig is whom to tell what. Only the file can say it.
type NotifyConfig struct {
	Targets []notify.Target `conf:"targets" usage:"whom"`
	Rules   []notify.Rule   `conf:"rules" usage:"what"`
}

// TraceConfig is about traces.
type TraceConfig struct {
	Endpoint string   `conf:"endpoint" usage:"URL of the collector that takes traces (OTLP over HTTP), such as http://collector:4318; none are made if empty"`
	Sample   float64  `conf:"sample" usage:"share of requests, and of agents' changes, that is traced, 0 to 1"`
	Headers  []string `conf:"headers" usage:"headers of what is sent to the collector, name=value" secret:"true"`
	Trust    bool     `conf:"trust" usage:"clients' requests go on with the traces that they name (traceparent), recorded when they say so; else they are only noted"`
}

func (t TraceConfig) of(instance string) obs.TraceConfig {
	return obs.TraceConfig{Endpoint: t.Endpoint, Sample: t.Sample, Headers: t.Headers, Instance: instance}
}

// LogConfig is about the log.
type LogConfig struct {
	Level  string `conf:"level" usage:"debug, info, warn or error"`
	Format string `conf:"format" usage:"json or text"`
}

// DefaultConfig is what holds where nothing else is said: a hub for this machine alone.
func DefaultConfig() Config {
	return Config{
		Listen:  "127.0.0.1:8400",
		DataDir: defaultDataDir(),
		Tenant:  "default",
		Tunnel:  TunnelConfig{Listen: "127.0.0.1:8443"},
		CA:      CAConfig{Domain: "kubilitics.internal", Lifetime: 24 * time.Hour, TokenLife: time.Hour},
		Keep:    KeepConfig{Feed: 24 * time.Hour, History: 30 * 24 * time.Hour, Events: 7 * 24 * time.Hour, Audit: 90 * 24 * time.Hour},
		Kube:    KubeConfig(kubeproxy.DefaultLimits()),
		Trace:   TraceConfig{Sample: 0.01},
		Log:     LogConfig{Level: "info", Format: "json"},

		TicketLifetime: 8 * time.Hour,

		VerifyEvery: 6 * time.Hour,
	}
}

func defaultDataDir() string {
	if dir, err := os.UserConfigDir(); err == nil {
		return filepath.Join(dir, "kubilitics")
	}
	return "kubilitics"
}

// check finds what can't be right, all of it at once.
func (c Config) check() error {
	f := fault.New(fault.BadRequest, "the configuration can't be right")
	for key, value := range map[string]string{"listen": c.Listen, "tunnel.listen": c.Tunnel.Listen} {
		if _, _, err := net.SplitHostPort(value); err != nil {
			f = f.WithField(key, "%q is no host:port", value)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		f = f.WithField("tls-cert", "tls-cert and tls-key go together")
	}
	f = c.checkTimes(f)
	f = c.checkNumbers(f)
	if c.Tunnel.Address != "" {
		if err := tunnel.CheckURL(c.Tunnel.Address); err != nil {
			f = f.WithField("tunnel.address", "%v", err)
		}
	}
	for _, origin := range c.CORSOrigins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			f = f.WithField("cors-origins", "%q is no origin such as https://portal.example", origin)
		}
	}
	if len(validation.IsDNS1123Subdomain(c.CA.Domain)) > 0 {
		f = f.WithField("ca.domain", "%q is no name such as kubilitics.internal", c.CA.Domain)
	}
	if why := checkPublicURL(c.PublicURL); why != "" {
		f = f.WithField("public-url", "%s", why)
	}
	if c.Tenant == "" {
		f = f.WithField("tenant", "must not be empty")
	}
	if _, err := c.proxies(); err != nil {
		f = f.WithField("trusted-proxies", "%v", err)
	}
	f.Fields = append(f.Fields, c.Trace.of("").Check("trace")...)
	f.Fields = append(f.Fields, plugin.Check(c.Plugins)...)
	f.Fields = append(f.Fields, notify.Check(c.Notify.Targets, c.Notify.Rules, plugin.Notifiers(c.Plugins))...)
	if len(f.Fields) == 0 {
		return nil
	}
	for _, field := range f.Fields {
		f.Message += "; " + field.Name + ": " + field.Reason
	}
	return f
}

func (c Config) checkTimes(f *fault.Error) *fault.Error {
	for key, d := range map[string]time.Duration{
		"ca.lifetime": c.CA.Lifetime, "ca.token-lifetime": c.CA.TokenLife, "ticket-lifetime": c.TicketLifetime,
		"keep.feed": c.Keep.Feed, "keep.history": c.Keep.History, "keep.events": c.Keep.Events, "keep.audit": c.Keep.Audit,
	} {
		if d <= 0 {
			f = f.WithField(key, "must be longer than nothing")
		}
	}
	for key, d := range map[string]time.Duration{"drain": c.Drain, "verify-every": c.VerifyEvery} {
		if d < 0 {
			f = f.WithField(key, "must not be negative")
		}
	}
	return f
}

func (c Config) checkNumbers(f *fault.Error) *fault.Error {
	for key, n := range map[string]int{
		"kube.user-rate": c.Kube.UserRate, "kube.cluster-rate": c.Kube.ClusterRate, "kube.user-requests": c.Kube.UserRequests,
		"kube.cluster-requests": c.Kube.ClusterRequests, "kube.user-streams": c.Kube.UserStreams, "kube.cluster-streams": c.Kube.ClusterStreams,
	} {
		if n < 0 {
			f = f.WithField(key, "must not be negative; 0 is no bound")
		}
	}
	return f
}

func (c Config) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.TrustedProxies {
		if addr, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// caFile is where the root is.
func (c Config) caFile() string {
	if c.CA.File != "" {
		return c.CA.File
	}
	return filepath.Join(c.DataDir, "ca.pem")
}

// isPostgres tells which body of the store is meant.
func (c Config) isPostgres() bool {
	return strings.HasPrefix(c.Database, "postgres://") || strings.HasPrefix(c.Database, "postgresql://")
}

// sqliteFile is the file of the embedded store.
func (c Config) sqliteFile() (string, error) {
	if c.Database == "" {
		return filepath.Join(c.DataDir, "kubilitics.db"), nil
	}
	file, ok := strings.CutPrefix(c.Database, "sqlite:")
	if !ok || file == "" {
		return "", fault.New(fault.BadRequest, "the database is neither postgres://… nor sqlite:FILE").WithField("database", "unknown scheme")
	}
	return file, nil
}

// tunnelAddress is how agents are told to reach the tunnels.
func (c Config) tunnelAddress(bound net.Addr) string {
	if c.Tunnel.Address != "" {
		return c.Tunnel.Address
	}
	host, _, _ := net.SplitHostPort(c.Tunnel.Listen)
	_, port, _ := net.SplitHostPort(bound.String())
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host, _ = os.Hostname()
	}
	return "tls://" + net.JoinHostPort(host, port)
}
