package topo

import "strings"

// Pair is a key and its value: a label, or a fact shown beside a node or edge. Lists of pairs are sorted by key, each
// key once.
type Pair struct {
	Key   string
	Value string
}

// Value gives the value of key in pairs, and whether it is there.
func Value(pairs []Pair, key string) (string, bool) {
	for _, p := range pairs {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Presence tells whether the object behind a node is known to be there.
type Presence uint8

// What a node's object may be. The zero value is Present.
const (
	// Present: the object was seen, or needs no object (a User, a CIDR block).
	Present Presence = iota
	// Missing: something refers to it, its kind is watched, and it is not there.
	Missing
	// Unobserved: something refers to it, and its kind is not watched here: forbidden, excluded or not yet listed.
	Unobserved
)

var presenceWords = [...]string{"present", "missing", "unobserved"}

// String is the word used in JSON and in the stores.
func (p Presence) String() string { return word(presenceWords[:], int(p)) }

// Health is how an object fares, by one formula everywhere. Staleness is no health: it is derived from freshness.
type Health uint8

// From no knowledge to the worst. Their numbers stand in the stores and are no order: Unknown, the zero value, is worse than OK, being no
// green. Worse and Worst know the order.
const (
	Unknown Health = iota
	OK
	Progressing
	Warning
	Error
)

var healthWords = [...]string{"unknown", "ok", "progressing", "warning", "error"}

// String is the word used in JSON and in the stores.
func (h Health) String() string { return word(healthWords[:], int(h)) }

// severity is the order of the roll-up: unknown is never green, and whatever is known to go wrong is worse.
var severity = [...]uint8{Unknown: 1, OK: 0, Progressing: 2, Warning: 3, Error: 4}

// Worse tells whether h stands before o in a roll-up: Error, Warning, Progressing, Unknown, OK.
func (h Health) Worse(o Health) bool { return severity[min(h, Error)] > severity[min(o, Error)] }

// Worst rolls healths up to one: the worst of them, and Unknown where there are none.
func Worst(of ...Health) Health {
	if len(of) == 0 {
		return Unknown
	}
	worst := OK
	for _, h := range of {
		if h.Worse(worst) {
			worst = h
		}
	}
	return worst
}

// ParseHealth reads what String wrote.
func ParseHealth(s string) (Health, bool) {
	for i, w := range healthWords {
		if w == s {
			return Health(i), true
		}
	}
	return Unknown, false
}

func word(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return "invalid"
}

// Node is one vertex of a cluster's graph: an object, or the place of one that something refers to.
type Node struct {
	Ref      Ref
	UID      string // of the object; empty where there is none
	Version  string // the served API version it is watched at, "v1"; empty where there is no object
	Presence Presence
	Created  int64 // the object's own creationTimestamp, Unix seconds; 0 where there is none
	Labels   []Pair
	Health   Health
	Status   string // the word kubectl prints in its STATUS column, or the nearest to it
	Attrs    []Pair // what lists and details show: "ready" "1/1", "image" …
}

// Hash is 128 bits of the row's canonical encoding: equal exactly when the rows are.
func (n *Node) Hash() ID {
	var scratch [512]byte
	c := canon(scratch[:0])
	c = c.str(n.Ref.Group)
	c = c.str(n.Ref.Kind)
	c = c.str(n.Ref.Namespace)
	c = c.str(n.Ref.Name)
	c = c.str(n.UID)
	c = c.str(n.Version)
	c = c.num(int64(n.Presence))
	c = c.num(n.Created)
	c = c.pairs(n.Labels)
	c = c.num(int64(n.Health))
	c = c.str(n.Status)
	c = c.pairs(n.Attrs)
	return c.sum()
}

// EdgeType is what an edge means. The list is short and stable: filters and legends use it.
type EdgeType string

// The types of relationships.
const (
	Owns       EdgeType = "owns"
	Selects    EdgeType = "selects"
	Mounts     EdgeType = "mounts"
	References EdgeType = "references"
	Routes     EdgeType = "routes"
	RunsOn     EdgeType = "runs-on"
	Binds      EdgeType = "binds"
	Grants     EdgeType = "grants"
	Scales     EdgeType = "scales"
	Protects   EdgeType = "protects"
	Allows     EdgeType = "allows"
	Defines    EdgeType = "defines"
	Intercepts EdgeType = "intercepts"
	Reports    EdgeType = "reports"
)

// EdgeTypes lists every type, in the order legends show them.
var EdgeTypes = []EdgeType{Owns, Selects, Mounts, References, Routes, RunsOn, Binds, Grants, Scales, Protects, Allows, Defines, Intercepts, Reports}

// Edge is one relationship, drawn from Source to Target, and why it holds.
type Edge struct {
	Source Ref
	Target Ref
	Rule   string // the row of the rule table that made it
	Type   EdgeType
	Disc   string // tells two edges of one rule between the same ends apart; mostly empty
	Path   string // the field that says so, "spec.volumes[2].configMap.name"
	Attrs  []Pair // what the rule keeps: "optional" "true", "weight" "10", "wantUID" …
}

// Key identifies the edge within its cluster: source, target, rule and discriminator.
func (e *Edge) Key() EdgeID {
	source := e.Source.ID()
	return EdgeID{Source: source, ID: edgeOwnID(source, e.Target.ID(), e.Rule, e.Disc)}
}

// EdgeKey is Edge.Key for one who has the keys of the ends at hand.
func EdgeKey(source, target ID, rule, disc string) EdgeID {
	return EdgeID{Source: source, ID: edgeOwnID(source, target, rule, disc)}
}

func edgeOwnID(source, target ID, rule, disc string) ID {
	var scratch [128]byte
	c := canon(scratch[:0])
	c = c.id(source)
	c = c.id(target)
	c = c.str(rule)
	c = c.str(disc)
	return c.sum()
}

// Hash is 128 bits of the row's canonical encoding, in which the ends stand by their keys: a store recomputes it from
// its columns without looking the ends up.
func (e *Edge) Hash() ID {
	return EdgeHash(e.Source.ID(), e.Target.ID(), e.Rule, e.Type, e.Disc, e.Path, e.Attrs)
}

// EdgeHash is Edge.Hash for one who has the keys of the ends at hand.
func EdgeHash(source, target ID, rule string, t EdgeType, disc, path string, attrs []Pair) ID {
	var scratch [256]byte
	c := canon(scratch[:0])
	c = c.id(source)
	c = c.id(target)
	c = c.str(rule)
	c = c.str(string(t))
	c = c.str(disc)
	c = c.str(path)
	c = c.pairs(attrs)
	return c.sum()
}

// String is "+edge" notation's body: "Service shop/web -> Pod shop/web-1 service-pod".
func (e *Edge) String() string {
	return strings.Join([]string{e.Source.String(), "->", e.Target.String(), e.Rule}, " ")
}
