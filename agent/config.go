package agent

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/agent/internal/kubeserve"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Config is all that an agent is told at its start. Keys, flags and variables come from its tags.
type Config struct {
	Hub      string `conf:"hub" usage:"address of the hub's tunnels: tls://host:port, ws:// or wss://"`
	HubCA    string `conf:"hub-ca" usage:"PEM file with roots for the outer TLS of a wss:// address; the system's if empty"`
	Token    string `conf:"token" usage:"join token, needed until the agent is enrolled" secret:"true"`
	Proxy    string `conf:"proxy" usage:"HTTP proxy through which the hub is reached, http://host:port"`
	StateDir string `conf:"state-dir" usage:"directory of the agent's keys and certificate"`
	Secret   string `conf:"state-secret" usage:"namespace/name of the Secret that holds them instead, in a cluster"`

	Kubeconfig string   `conf:"kubeconfig" usage:"file that says how to reach the cluster; the pod's own account if empty"`
	Context    string   `conf:"context" usage:"context of the kubeconfig; its current one if empty"`
	Share      string   `conf:"share" usage:"what leaves the cluster: manifests, or topology alone"`
	Namespaces []string `conf:"namespaces" usage:"namespaces to watch; all if empty"`
	Without    []string `conf:"exclude-namespaces" usage:"namespaces whose objects are not to leave the cluster; the namespaces themselves are seen"`
	Exclude    []string `conf:"exclude" usage:"kinds not to watch, as Kind.group, or Kind for the core group"`

	Access     string `conf:"access" usage:"what the hub's users may do with the cluster's Kubernetes API through this agent: none, read, operate (both as this agent's account), or impersonate"`
	UserPrefix string `conf:"user-prefix" usage:"stands before the names of users and groups that are impersonated"`

	Rules string `conf:"rules" usage:"YAML file with rows of your own for the table of relationships"`

	Listen string `conf:"listen" usage:"address at which /healthz, /readyz and /metrics are served, host:port or :port; none if empty"`

	Trace TraceConfig `conf:"trace"`
	Log   LogConfig   `conf:"log"`
}

// TraceConfig is about traces. Whether a request that comes through the hub is traced, the hub says.
type TraceConfig struct {
	Endpoint string   `conf:"endpoint" usage:"URL of the collector that takes traces (OTLP over HTTP), such as http://collector:4318; none are made if empty"`
	Sample   float64  `conf:"sample" usage:"share of what begins here that is traced, 0 to 1"`
	Headers  []string `conf:"headers" usage:"headers of what is sent to the collector, name=value" secret:"true"`
}

func (t TraceConfig) of(instance string) obs.TraceConfig {
	return obs.TraceConfig{Endpoint: t.Endpoint, Sample: t.Sample, Headers: t.Headers, Instance: instance}
}

// LogConfig is about the log.
type LogConfig struct {
	Level  string `conf:"level" usage:"debug, info, warn or error"`
	Format string `conf:"format" usage:"json or text"`
}

// The share modes.
const (
	shareManifests = "manifests"
	shareTopology  = "topology"
)

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{StateDir: defaultStateDir(), Share: shareManifests, Access: string(kubeserve.Read), UserPrefix: "kubilitics:", Trace: TraceConfig{Sample: 0.01}, Log: LogConfig{Level: "info", Format: "json"}}
}

func defaultStateDir() string {
	if dir, err := os.UserConfigDir(); err == nil {
		return filepath.Join(dir, "kubilitics", "agent")
	}
	return "kubilitics-agent"
}

// reconnectAfter is the first bound of the wait before a lost session is dialled again.
const reconnectAfter = 2 * time.Second

func (c Config) check() error {
	f := fault.New(fault.BadRequest, "the configuration can't be right")
	if c.Hub == "" {
		f = f.WithField("hub", "must say where the hub is")
	} else if err := tunnel.CheckURL(c.Hub); err != nil {
		f = f.WithField("hub", "%v", err)
	}
	if u, err := url.Parse(c.Proxy); c.Proxy != "" && (err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https") {
		f = f.WithField("proxy", "is no address such as http://host:port") // which may hold a password
	}
	if !slices.Contains([]string{shareManifests, shareTopology}, c.Share) {
		f = f.WithField("share", "%q is neither %s nor %s", c.Share, shareManifests, shareTopology)
	}
	if !slices.Contains(kubeserve.Steps, kubeserve.Access(c.Access)) {
		f = f.WithField("access", "%q is none of %s", c.Access, words(kubeserve.Steps))
	}
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(c.UserPrefix)), "system:") || !printable(c.UserPrefix) {
		f = f.WithField("user-prefix", "%q can't stand before names: those that begin with \"system:\" are the cluster's own, and spaces and what can't be printed don't pass", c.UserPrefix)
	}
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		f = f.WithField("listen", "%q is no host:port", c.Listen)
	}
	if c.Secret != "" && strings.Count(c.Secret, "/") != 1 {
		f = f.WithField("state-secret", "%q is no namespace/name", c.Secret)
	}
	f.Fields = append(f.Fields, c.Trace.of("").Check("trace")...)
	if len(f.Fields) == 0 {
		return nil
	}
	for _, field := range f.Fields {
		f.Message += "; " + field.Name + ": " + field.Reason
	}
	return f
}

func words(steps []kubeserve.Access) string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}

// printable tells whether a text may stand in a header as it is.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// ruleTable is the built-in table with the rows of the user's file, if one is named.
func (c Config) ruleTable() (*rules.Table, error) {
	if c.Rules == "" {
		return rules.Default()
	}
	text, err := os.ReadFile(c.Rules)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the file of rules can't be read").WithField("rules", "%v", err)
	}
	rows, err := rules.Read(c.Rules, text)
	if err != nil {
		return nil, err
	}
	return rules.Default(rows...)
}

// sees tells whether objects of a namespace are watched.
func (c Config) sees(namespace string) bool {
	return !slices.Contains(c.Without, namespace) && (len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace))
}

func (c Config) excluded() []topo.GroupKind {
	var out []topo.GroupKind
	for _, text := range c.Exclude {
		kind, group, _ := strings.Cut(text, ".")
		out = append(out, topo.GroupKind{Group: group, Kind: kind})
	}
	return out
}
