package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Notification is what matched one rule within a short time; its JSON is the body of webhooks.
type Notification struct {
	Key     string        `json:"key"` // the same whenever the same notification is sent again
	Tenant  string        `json:"tenant"`
	Rule    string        `json:"rule"`
	First   topo.Position `json:"firstPosition"`
	Last    topo.Position `json:"lastPosition"`
	At      time.Time     `json:"at"` // of the last change
	Summary string        `json:"summary"`
	Changes []Change      `json:"changes"`
	LeftOut int           `json:"leftOut,omitempty"` // how many more objects there were
	Missed  bool          `json:"missed,omitempty"`  // changes before it went by unseen: the hub was away for longer than the feed is kept
}

// Change is what became of one object, or of one finding about it, within a notification's time.
type Change struct {
	Cluster   string        `json:"cluster"` // id
	Name      string        `json:"clusterName"`
	Group     string        `json:"group"`
	Kind      string        `json:"kind"`
	Namespace string        `json:"namespace,omitempty"`
	Object    string        `json:"name"`
	What      string        `json:"what"` // health, missing, found, finding or resolved
	From      string        `json:"from,omitempty"`
	To        string        `json:"to,omitempty"`
	Status    string        `json:"status,omitempty"`
	Finding   *Finding      `json:"finding,omitempty"`
	Times     int           `json:"times"` // how often it changed so
	At        time.Time     `json:"at"`
	Position  topo.Position `json:"position,omitempty"`
	GapSince  time.Time     `json:"gapSince,omitzero"` // where it was found late: it happened unseen since then
}

// Finding is what a plugin found.
type Finding struct {
	Plugin     string  `json:"plugin"`
	Code       string  `json:"code"`
	Severity   string  `json:"severity"`
	Sentence   string  `json:"sentence"`
	Confidence float64 `json:"confidence"`
}

// maxChanges is how many objects a notification tells of by name.
const maxChanges = 200

// group gathers what matches, until it is due. Its size is bounded: however often an object changes, it stands in it once.
type group struct {
	due     time.Time
	key     string
	first   topo.Position
	last    topo.Position
	at      time.Time
	items   []*item
	places  map[itemKey]*item
	leftOut map[itemKey]bool // bounded, too
	missed  bool
}

type itemKey struct {
	cluster fleet.ClusterID
	id      topo.ID
	code    string // of a finding, with its plugin
}

type item struct {
	key    itemKey
	ref    topo.Ref
	change Change
	now    state
	gone   bool
}

// maxLeftOut bounds what is counted of what isn't told.
const maxLeftOut = 10_000

func newGroup(due time.Time) *group {
	return &group{due: due, places: map[itemKey]*item{}, leftOut: map[itemKey]bool{}}
}

// add notes a change of an object.
func (g *group) add(key itemKey, ref topo.Ref, c Change, now state) {
	if g.first == 0 {
		g.first = c.Position
	}
	g.last, g.at = max(g.last, c.Position), later(g.at, c.At)
	it := g.places[key]
	switch {
	case it == nil && len(g.items) >= maxChanges:
		if len(g.leftOut) < maxLeftOut {
			g.leftOut[key] = true
		}
		return
	case it == nil:
		it = &item{key: key, ref: ref, change: c, now: now}
		it.change.Group, it.change.Kind, it.change.Namespace, it.change.Object = ref.Group, ref.Kind, ref.Namespace, ref.Name
		g.items = append(g.items, it)
		g.places[key] = it
	default: // what it was before the first change stays
		before := it.change
		c.Group, c.Kind, c.Namespace, c.Object, c.From = before.Group, before.Kind, before.Namespace, before.Object, before.From
		it.change, it.now, it.gone = c, now, false
		it.change.Times = before.Times
	}
	it.change.Times++
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// see notes what became of an object that is in the group already, by a change that doesn't match.
func (g *group) see(key itemKey, now state, status string) {
	it := g.places[key]
	if it == nil || it.change.What != onHealth {
		return
	}
	if it.gone = !now.there; !it.gone {
		it.now, it.change.To, it.change.Status = now, now.health.String(), status
	}
}

// notification makes one of the group; nil when nothing is left to tell. Objects that went meanwhile are in no health that anybody could mend.
func (g *group) notification(tenant fleet.Tenant, r *rule) *Notification {
	n := &Notification{Key: g.key, Tenant: tenant.Slug, Rule: r.name, First: g.first, Last: g.last, At: g.at, LeftOut: len(g.leftOut), Missed: g.missed}
	for _, it := range g.items {
		if !it.gone {
			n.Changes = append(n.Changes, it.change)
		}
	}
	if len(n.Changes) == 0 && !n.Missed && n.LeftOut == 0 {
		return nil
	}
	slices.SortStableFunc(n.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.word()), slices.Index(order, b.word())), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Object, b.Object))
	})
	n.Summary = n.summary()
	return n
}

// order is that of the words in summaries: the worst first.
var order = []string{"error", "warning", "missing", "found (error)", "found (warning)", "found (info)", "unknown", "progressing", "ok", onFound, onResolved}

// summary says it in a line: "2 error, 1 missing, in 2 clusters".
func (n *Notification) summary() string {
	clusters, counts := map[string]bool{}, map[string]int{}
	for _, c := range n.Changes {
		clusters[c.Cluster] = true
		counts[c.word()]++
	}
	var words []string
	for _, word := range order {
		if counts[word] > 0 {
			words = append(words, strconv.Itoa(counts[word])+" "+word)
		}
	}
	text := "nothing more is known"
	if len(words) > 0 {
		text = fmt.Sprintf("%s, in %s", strings.Join(words, ", "), plural(len(clusters), "cluster"))
	}
	if n.LeftOut > 0 {
		text += fmt.Sprintf("; and %s more", plural(n.LeftOut, "object"))
	}
	if n.Missed {
		text += "; changes before went by unseen"
	}
	return text
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// word is what a change comes down to.
func (c *Change) word() string {
	switch c.What {
	case onHealth:
		return c.To
	case onFinding:
		return "found (" + c.Finding.Severity + ")"
	}
	return c.What
}

// message is the notification as plugins get it.
func (n *Notification) message() *pluginv1.Notification {
	m := &pluginv1.Notification{
		Key: n.Key, Tenant: n.Tenant, Rule: n.Rule, FirstPosition: int64(n.First), LastPosition: int64(n.Last), LeftOut: int64(n.LeftOut), Missed: n.Missed, At: instant(n.At),
	}
	for _, c := range n.Changes {
		from, _ := topo.ParseHealth(c.From)
		to, _ := topo.ParseHealth(c.To)
		one := &pluginv1.Change{
			Cluster: c.Cluster, ClusterName: c.Name, Ref: &pluginv1.Ref{Group: c.Group, Kind: c.Kind, Namespace: c.Namespace, Name: c.Object}, What: c.What,
			From: pluginv1.Health(from), To: pluginv1.Health(to), Status: c.Status, Times: int64(c.Times), At: instant(c.At), Position: int64(c.Position), GapSince: instant(c.GapSince),
		}
		if f := c.Finding; f != nil {
			severity, _ := store.ParseSeverity(f.Severity)
			one.Plugin = f.Plugin
			one.Finding = &pluginv1.Finding{Code: f.Code, Severity: pluginv1.Severity(severity), Sentence: f.Sentence, Confidence: f.Confidence}
		}
		m.Changes = append(m.Changes, one)
	}
	return m
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
