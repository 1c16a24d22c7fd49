// Package notify tells people and their programs what happens in clusters: rules say what is worth telling and to whom, and what can't be delivered after
// many attempts is kept for somebody to look at. Each rule follows the feed for each of its targets by itself, so one that is slow delays nobody else.
package notify

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// The ways to reach somebody.
const (
	Webhook = "webhook" // a POST of JSON, signed
	Slack   = "slack"   // a message to an incoming webhook of Slack, or of what takes the same
	Plugin  = "plugin"  // a notifier plugin
)

// Target is somebody who can be told, as the hub's configuration describes it.
type Target struct {
	Name       string        `conf:"name" usage:"name that rules call it by"`
	As         string        `conf:"as" usage:"webhook, slack or plugin"`
	URL        string        `conf:"url" usage:"where to send to" secret:"true"`
	URLFile    string        `conf:"url-file" usage:"file that holds the url, instead of it; read at each use"`
	Secret     string        `conf:"secret" usage:"key of the webhook's HMAC-SHA256 signatures" secret:"true"`
	SecretFile string        `conf:"secret-file" usage:"file that holds the secret, instead of it; read at each use"`
	CAFile     string        `conf:"ca-file" usage:"PEM file of the roots that the server's certificate is checked against; the system's if empty"`
	Plugin     string        `conf:"plugin" usage:"name of the notifier plugin"`
	PublicOnly bool          `conf:"public-only" usage:"refuse to connect to addresses of private networks, and to this machine"`
	Timeout    time.Duration `conf:"timeout" usage:"of one attempt"`
	Attempts   int           `conf:"attempts" usage:"until it is put on the list of what could not be delivered"`
}

// Rule is what is worth telling, as the hub's configuration describes it. Empty lists don't restrict.
type Rule struct {
	Name       string        `conf:"name" usage:"its name, as notifications tell it"`
	To         []string      `conf:"to" usage:"names of targets"`
	Tenants    []string      `conf:"tenants" usage:"slugs of the tenants it is about; * for all"`
	On         []string      `conf:"on" usage:"health (it changed), missing (an object that something refers to went, or never was), found (it came), finding (a plugin found something), resolved (it is no longer so)"`
	Kinds      []string      `conf:"kinds" usage:"kinds of objects: Pod, Deployment.apps"`
	Namespaces []string      `conf:"namespaces" usage:"names of namespaces, * for any text"`
	Clusters   []string      `conf:"clusters" usage:"names of clusters, * for any text"`
	From       []string      `conf:"from" usage:"with on health: what it was before: unknown, ok, progressing, warning, error"`
	Becomes    []string      `conf:"becomes" usage:"with on health: what it is now; error if neither from nor becomes is said"`
	Severity   string        `conf:"severity" usage:"of findings, at least: info, warning, error"`
	Plugins    []string      `conf:"plugins" usage:"whose findings"`
	Window     time.Duration `conf:"window" usage:"how long changes are gathered for one notification; it doubles, up to 5m, while they keep coming"`
}

const (
	defaultTimeout  = 10 * time.Second
	defaultAttempts = 8
	defaultWindow   = 10 * time.Second
)

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// What a rule may be on.
const (
	onHealth   = "health"
	onMissing  = "missing"
	onFound    = "found"
	onFinding  = "finding"
	onResolved = "resolved"
)

// Check finds what can't be right, each with its key in the configuration: "notify.rules[0].to" and why. plugins are the names of the notifier plugins.
func Check(targets []Target, rules []Rule, plugins []string) []fault.Field {
	f := fault.New(fault.BadRequest, "")
	names := map[string]bool{}
	for i, t := range targets {
		f = within(f, fmt.Sprintf("notify.targets[%d].", i), t.Name, names, t.wrong(plugins))
	}
	known, names := names, map[string]bool{}
	for i, r := range rules {
		f = within(f, fmt.Sprintf("notify.rules[%d].", i), r.Name, names, r.wrong(known))
	}
	return f.Fields
}

// within adds what is wrong with one of a list, its name included.
func within(f *fault.Error, at, name string, taken map[string]bool, wrong []fault.Field) *fault.Error {
	if !nameForm.MatchString(name) {
		f = f.WithField(at+"name", "%q is no name: 1 to 63 lower-case letters, digits, - and .", name)
	}
	if taken[name] {
		f = f.WithField(at+"name", "%q is taken", name)
	}
	taken[name] = true
	for _, w := range wrong {
		f = f.WithField(at+w.Name, "%s", w.Reason)
	}
	return f
}

func (t Target) wrong(plugins []string) []fault.Field {
	f := fault.New(fault.BadRequest, "")
	switch t.As {
	case Plugin:
		if !slices.Contains(plugins, t.Plugin) {
			f = f.WithField("plugin", "there is no notifier plugin %q", t.Plugin)
		}
	case Webhook, Slack:
		if err := checkURL(t.URL, t.As == Slack); (t.URLFile == "" || t.URL != "") && err != "" {
			f = f.WithField("url", "%s", err)
		}
	default:
		f = f.WithField("as", "%q is none of webhook, slack and plugin", t.As)
	}
	if t.Timeout < 0 || t.Attempts < 0 {
		f = f.WithField("attempts", "attempts and timeout must not be negative")
	}
	for _, file := range []struct{ key, path string }{{"url-file", t.URLFile}, {"secret-file", t.SecretFile}, {"ca-file", t.CAFile}} {
		if file.path != "" && !filepath.IsAbs(file.path) {
			f = f.WithField(file.key, "must be an absolute path")
		}
	}
	return f.Fields
}

// checkURL gives what is wrong with a URL, without telling the URL, which is a secret.
func checkURL(text string, secure bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return "must be an http or https URL"
	case secure && u.Scheme != "https":
		return "must be an https URL, since it is a secret itself"
	case u.User != nil:
		return "must not hold a user and password"
	}
	return ""
}

func (r Rule) wrong(targets map[string]bool) []fault.Field {
	f := fault.New(fault.BadRequest, "")
	if len(r.To) == 0 {
		f = f.WithField("to", "a rule that tells nobody is of no use")
	}
	for _, to := range r.To {
		if !targets[to] {
			f = f.WithField("to", "there is no target %q", to)
		}
	}
	if len(r.Tenants) == 0 {
		f = f.WithField("tenants", "say whose clusters it is about; * means everybody's")
	}
	for _, on := range r.On {
		if !slices.Contains([]string{onHealth, onMissing, onFound, onFinding, onResolved}, on) {
			f = f.WithField("on", "%q is none of health, missing, found, finding and resolved", on)
		}
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"from", r.From}, {"becomes", r.Becomes}} {
		for _, word := range list.values {
			if _, ok := topo.ParseHealth(word); !ok {
				f = f.WithField(list.key, "%q is none of unknown, ok, progressing, warning and error", word)
			}
		}
	}
	if _, ok := store.ParseSeverity(cmp.Or(r.Severity, "info")); !ok {
		f = f.WithField("severity", "%q is none of info, warning and error", r.Severity)
	}
	if r.Window < 0 {
		f = f.WithField("window", "must not be negative")
	}
	return f.Fields
}
