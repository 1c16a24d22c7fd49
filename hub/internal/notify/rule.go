package notify

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// rule is a Rule made ready.
type rule struct {
	name                 string
	tenants              []string
	health               bool
	missing, found       bool
	finding, resolved    bool
	kinds                []topo.GroupKind
	namespaces, clusters *regexp.Regexp // nil: all
	from, becomes        []topo.Health
	severity             store.Severity
	plugins              []string
	window               time.Duration
}

func compile(r Rule) *rule {
	c := &rule{
		name: r.Name, tenants: r.Tenants, namespaces: patterns(r.Namespaces), clusters: patterns(r.Clusters),
		from: healths(r.From), becomes: healths(r.Becomes), plugins: r.Plugins, window: cmp.Or(r.Window, defaultWindow),
	}
	on := r.On
	if len(on) == 0 {
		on = []string{onHealth}
	}
	for word, is := range map[string]*bool{onHealth: &c.health, onMissing: &c.missing, onFound: &c.found, onFinding: &c.finding, onResolved: &c.resolved} {
		*is = slices.Contains(on, word)
	}
	if len(c.from)+len(c.becomes) == 0 {
		c.becomes = []topo.Health{topo.Error}
	}
	for _, word := range r.Kinds {
		kind, group, _ := strings.Cut(word, ".")
		c.kinds = append(c.kinds, topo.GroupKind{Group: group, Kind: kind})
	}
	c.severity, _ = store.ParseSeverity(cmp.Or(r.Severity, "info")) // checked at the start
	return c
}

func healths(words []string) (list []topo.Health) {
	for _, w := range words {
		if h, ok := topo.ParseHealth(w); ok {
			list = append(list, h)
		}
	}
	return list
}

// patterns makes one expression of texts in which * stands for any text; nil when there are none.
func patterns(list []string) *regexp.Regexp {
	if len(list) == 0 {
		return nil
	}
	var parts []string
	for _, p := range list {
		parts = append(parts, strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, `.*`))
	}
	return regexp.MustCompile(`^(?s:` + strings.Join(parts, "|") + `)$`)
}

func fits(e *regexp.Regexp, s string) bool { return e == nil || e.MatchString(s) }

func (r *rule) sees(slug string) bool {
	return slices.Contains(r.tenants, "*") || slices.Contains(r.tenants, slug)
}

// covers tells whether an object is among those that the rule is about, wherever it is.
func (r *rule) covers(ref topo.Ref) bool {
	return (len(r.kinds) == 0 || slices.Contains(r.kinds, ref.GroupKind())) && fits(r.namespaces, ref.Namespace)
}

// feeds tells whether the rule is about what the feed tells; findings tells whether it is about findings.
func (r *rule) feeds() bool    { return r.health || r.missing || r.found }
func (r *rule) findings() bool { return r.finding || r.resolved }

// state is what rules look at of a node.
type state struct {
	there    bool // there is such a node
	presence topo.Presence
	health   topo.Health
}

func stateOf(n *topo.Node) state { return state{there: true, presence: n.Presence, health: n.Health} }

// may tells whether a node that is so now can match, depending on what it was.
func (r *rule) may(now state) bool {
	switch now.presence {
	case topo.Missing:
		return r.missing
	case topo.Present:
		return r.found || (r.health && (len(r.becomes) == 0 || slices.Contains(r.becomes, now.health)))
	}
	return false
}

// matches gives what the rule calls the change; "" when it isn't about it.
func (r *rule) matches(was, now state) string {
	switch {
	case now.presence == topo.Missing:
		if r.missing && (!was.there || was.presence != topo.Missing) {
			return onMissing
		}
	case now.presence != topo.Present:
	case r.found && was.there && was.presence == topo.Missing:
		return onFound
	case r.health && r.turned(was, now.health):
		return onHealth
	}
	return ""
}

// turned tells whether health changed in the way the rule is about. What wasn't there was in unknown health.
func (r *rule) turned(was state, now topo.Health) bool {
	before := topo.Unknown
	if was.there && was.presence == topo.Present {
		before = was.health
	}
	return before != now && (len(r.from) == 0 || slices.Contains(r.from, before)) && (len(r.becomes) == 0 || slices.Contains(r.becomes, now))
}

// matchesNews gives what the rule calls news of a finding; "" when it isn't about it.
func (r *rule) matchesNews(n *store.FindingNews) string {
	switch {
	case n.Finding.Severity < r.severity || !r.covers(n.Ref) || (len(r.plugins) > 0 && !slices.Contains(r.plugins, n.Plugin)):
		return ""
	case n.Resolved && r.resolved:
		return onResolved
	case !n.Resolved && r.finding:
		return onFinding
	}
	return ""
}
