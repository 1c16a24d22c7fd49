package live

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What is a sort of news.
type What string

// What can be subscribed to. Topology is resources, the places of those that aren't there, and edges. Texts are the names of what has another manifest
// and is otherwise as it was: mostly the manifest itself, which comes to the hub a moment after what else changed.
const (
	Resources What = "resources"
	Topology  What = "topology"
	Events    What = "events"
	Clusters  What = "clusters"
	Texts     What = "texts"
)

// Scope narrows a subscription; empty parts don't. An edge is in it when either end is in the namespaces and either end is
// of the kinds; an event when what it is about is. The selector is about resources alone: edges and events have no labels.
type Scope struct {
	Clusters   []fleet.ClusterID
	Kinds      []topo.GroupKind
	Namespaces []string
	Selector   labels.Selector
	Regarding  *topo.Ref // events about this alone; nil: about anything
}

// Op is what happened.
type Op string

// What may have happened. Loaded and Deleted are about clusters: one became visible as a whole and must be read anew; one is
// gone with all that was in it.
const (
	Add     Op = "add"
	Update  Op = "update"
	Remove  Op = "remove"
	Loaded  Op = "loaded"
	Deleted Op = "deleted"
)

var ops = map[topo.Op]Op{topo.Add: Add, topo.Update: Update, topo.Remove: Remove}

// Change is one piece of news; exactly one of Node, Edge, Event, Text and About says of what, none when a cluster was deleted.
type Change struct {
	Op    Op
	Node  *topo.Node
	Edge  *topo.Edge
	Event *topo.Event
	Text  *topo.Ref
	About *fleet.Cluster
}

// sieve lets through what a subscription wants. One goroutine uses it.
type sieve struct {
	scope Scope
	what  map[What]bool
	// removed holds nodes that were told as removed because they don't match, so that each further change of them isn't told as one more removal.
	removed map[nodeKey]struct{}
}

type nodeKey struct {
	cluster fleet.ClusterID
	id      topo.ID
}

// maxRemoved bounds what a sieve remembers; having forgotten, it repeats a removal, which does no harm.
const maxRemoved = 1024

func newSieve(scope Scope, what []What) *sieve {
	s := &sieve{scope: scope, what: map[What]bool{}, removed: map[nodeKey]struct{}{}}
	for _, w := range what {
		s.what[w] = true
	}
	return s
}

// sift gives what of an entry is wanted and may be seen.
func (s *sieve) sift(v *fleet.View, i *item) []Change {
	if _, _, ok := v.Namespaces(i.Cluster); !ok || !in(s.scope.Clusters, i.Cluster) {
		return nil
	}
	switch i.Kind {
	case store.EntryDeleted:
		return []Change{{Op: Deleted}}
	case store.EntryLoaded:
		if i.cluster != nil {
			return []Change{{Op: Loaded, About: i.cluster}}
		}
	case store.EntryCluster:
		if i.cluster != nil && s.what[Clusters] {
			return []Change{{Op: Update, About: i.cluster}}
		}
	case store.EntryDiff:
		return s.diff(v, i)
	}
	return nil
}

func (s *sieve) diff(v *fleet.View, i *item) (out []Change) {
	if s.what[Resources] || s.what[Topology] {
		for n := range i.Diff.Nodes {
			if c := &i.Diff.Nodes[n]; v.Sees(i.Cluster, c.Node.Ref.Namespace) && s.near(c.Node.Ref) {
				out = s.node(out, i.Cluster, c)
			}
		}
	}
	if s.what[Topology] {
		for n := range i.Diff.Edges {
			if c := &i.Diff.Edges[n]; s.edge(v, i.Cluster, &c.Edge) {
				out = append(out, Change{Op: ops[c.Op], Edge: &c.Edge})
			}
		}
	}
	if s.what[Events] {
		for n := range i.Events {
			if e := &i.Events[n]; v.Sees(i.Cluster, e.Namespace) && in(s.scope.Namespaces, e.Namespace) && in(s.scope.Kinds, e.Regarding.GroupKind()) && s.about(e.Regarding) {
				out = append(out, Change{Op: Update, Event: e})
			}
		}
	}
	if s.what[Texts] {
		for n := range i.Texts {
			if r := &i.Texts[n]; v.Sees(i.Cluster, r.Namespace) && s.near(*r) {
				out = append(out, Change{Op: Update, Text: r})
			}
		}
	}
	return out
}

func (s *sieve) about(r topo.Ref) bool { return s.scope.Regarding == nil || r == *s.scope.Regarding }

// near tells whether something of that name can be in the scope; what of it can change is looked at elsewhere.
func (s *sieve) near(r topo.Ref) bool {
	return in(s.scope.Namespaces, r.Namespace) && in(s.scope.Kinds, r.GroupKind())
}

// node tells a change as the subscriber sees it. The feed knows the new state only: a resource that changed and doesn't match may have matched
// before, so it is told as removed.
func (s *sieve) node(out []Change, cluster fleet.ClusterID, c *topo.NodeChange) []Change {
	op, matches := ops[c.Op], s.matches(&c.Node)
	if s.scope.Selector == nil && s.what[Topology] { // everything near matches, always
		return append(out, Change{Op: op, Node: &c.Node})
	}
	key := nodeKey{cluster, c.Node.Ref.ID()}
	switch {
	case matches || op == Remove:
		delete(s.removed, key)
	case op == Add:
		return out
	default:
		if _, told := s.removed[key]; told {
			return out
		}
		if len(s.removed) >= maxRemoved {
			clear(s.removed)
		}
		s.removed[key] = struct{}{}
		op = Remove
	}
	if !matches && c.Op == topo.Remove { // it had left before
		return out
	}
	return append(out, Change{Op: op, Node: &c.Node})
}

func (s *sieve) matches(n *topo.Node) bool {
	if n.Presence != topo.Present && !s.what[Topology] {
		return false
	}
	return s.scope.Selector == nil || s.scope.Selector.Matches(labelled(n.Labels))
}

func (s *sieve) edge(v *fleet.View, cluster fleet.ClusterID, e *topo.Edge) bool {
	return v.Sees(cluster, e.Source.Namespace) && v.Sees(cluster, e.Target.Namespace) &&
		(in(s.scope.Namespaces, e.Source.Namespace) || in(s.scope.Namespaces, e.Target.Namespace)) &&
		(in(s.scope.Kinds, e.Source.GroupKind()) || in(s.scope.Kinds, e.Target.GroupKind()))
}

// in tells membership in a list whose emptiness doesn't restrict.
func in[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// labelled lets a selector look at a node's labels.
type labelled []topo.Pair

func (l labelled) Has(key string) bool { _, ok := topo.Value(l, key); return ok }

func (l labelled) Get(key string) string { v, _ := topo.Value(l, key); return v }

func (l labelled) Lookup(key string) (string, bool) { return topo.Value(l, key) }
