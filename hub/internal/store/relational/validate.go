package relational

import (
	"strings"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What both databases must take alike is checked before either sees it: Postgres refuses NUL and invalid UTF-8 in texts, and keys that don't
// fit a third of an index page.
const (
	keyLimit = 2000    // bytes of a name with its kind and namespace, of a label, of an event's UID
	rowLimit = 1 << 20 // bytes of all texts of a row
)

// checker looks at the texts of one row and keeps the first reason to refuse it.
type checker struct {
	size   int
	reason string
}

func (c *checker) text(what, s string) {
	c.size += len(s)
	switch {
	case c.reason != "":
	case strings.IndexByte(s, 0) >= 0:
		c.reason = what + " holds a NUL character"
	case !utf8.ValidString(s):
		c.reason = what + " is not valid UTF-8"
	}
}

func (c *checker) key(what string, parts ...string) {
	size := 0
	for _, p := range parts {
		c.text(what, p)
		size += len(p)
	}
	if size > keyLimit && c.reason == "" {
		c.reason = what + " is longer than a key may be"
	}
}

func (c *checker) ref(what string, r *topo.Ref) { c.key(what, r.Group, r.Kind, r.Namespace, r.Name) }

func (c *checker) pairs(what string, ps []topo.Pair) {
	for i := range ps {
		c.text(what, ps[i].Key)
		c.text(what, ps[i].Value)
	}
}

func (c *checker) labels(ps []topo.Pair) {
	for i := range ps {
		c.key("a label", ps[i].Key, ps[i].Value)
		if i > 0 && ps[i-1].Key >= ps[i].Key && c.reason == "" {
			c.reason = "the labels are not sorted by key, each key once"
		}
	}
}

func (c *checker) verdict() string {
	if c.reason == "" && c.size > rowLimit {
		return "the row's texts are longer than 1 MiB"
	}
	return c.reason
}

// The functions below give the reason to refuse a row; "" when there is none.

func refuseNode(n *topo.Node) string {
	var c checker
	c.ref("the name", &n.Ref)
	c.text("the UID", n.UID)
	c.text("the version", n.Version)
	c.text("the status", n.Status)
	c.labels(n.Labels)
	c.pairs("an attribute", n.Attrs)
	if n.Presence > topo.Unobserved || n.Health > topo.Error {
		c.reason = "presence or health is no known value"
	}
	return c.verdict()
}

func refuseEdge(e *topo.Edge) string {
	var c checker
	c.ref("the source's name", &e.Source)
	c.ref("the target's name", &e.Target)
	c.text("the rule", e.Rule)
	c.text("the type", string(e.Type))
	c.text("the discriminator", e.Disc)
	c.text("the path", e.Path)
	c.pairs("an attribute", e.Attrs)
	return c.verdict()
}

func refuseManifest(m *topo.Manifest) string {
	var c checker
	c.ref("the name", &m.Ref)
	return c.verdict()
}

func refuseEvent(e *topo.Event) string {
	var c checker
	c.key("the UID", e.UID)
	c.ref("the object's name", &e.Regarding)
	for _, s := range []string{e.Namespace, e.Name, e.Type, e.Reason, e.Message, e.Source} {
		c.text("the event", s)
	}
	return c.verdict()
}

// cleaned makes a text fit for a report on rows whose texts were not.
func cleaned(s string, limit int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") // a character that was cut in two goes
	}
	return s
}

func refused(table, key, reason string) store.Quarantined {
	return store.Quarantined{Table: table, Key: cleaned(key, 500), Reason: cleaned(reason, 500), Count: 1}
}
