// Package fields finds the fields that rules and verdicts name in an object's JSON, in one pass, and makes the text of the object that
// may be shared in the same pass. Paths are data; all paths of a kind compile to one plan.
package fields

import (
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Group is fields that are read together: once for each place where Path leads, which may be several where it goes through lists.
// Paths are names joined by dots; "[*]" goes through a list, "['a.b/c']" is a name with dots in it; a path of "" is the object itself, a
// field of "" the place itself.
type Group struct {
	Path   string
	Fields []string
	// Raw gives fields that are objects or lists as their JSON; otherwise such a field is "{}". Strings, numbers and booleans are their text.
	Raw bool
}

// Match is one place of a group: what its fields say, "" where one is absent or null, and the indices of the lists on the way.
type Match struct {
	Group  int
	At     topo.At
	Values []string
}

// Plan is the compiled paths of one kind of object. It is read-only and may be shared.
type Plan struct {
	groups []Group
	root   *step
	drops  *drop
}

// step is one place in an object: what begins and ends there, and where it goes on.
type step struct {
	names  map[string]*step
	each   *step // elements of a list
	starts []int // groups whose place this is
	ends   []end
}

type end struct {
	group, field int
	raw          bool
}

// The groups that every plan has, after its own: what all objects say of themselves.
var builtin = []Group{
	{Path: "", Fields: []string{
		"apiVersion", "kind", "metadata.namespace", "metadata.name", "metadata.uid", "metadata.resourceVersion", "metadata.creationTimestamp",
		"metadata.annotations['k8s.io/initial-events-end']",
	}},
	{Path: "metadata", Fields: []string{"labels"}, Raw: true},
	{Path: "metadata.ownerReferences[*]", Fields: []string{"apiVersion", "kind", "name", "uid", "controller"}},
}

// Compile makes the plan of a kind. Groups keep their numbers. A path that can't be read is a BadRequest that names it.
func Compile(kind topo.GroupKind, groups []Group) (*Plan, error) {
	p := &Plan{groups: append(append([]Group{}, groups...), builtin...), root: &step{}, drops: dropsOf(kind)}
	for i, g := range p.groups {
		place, lists, err := p.root.follow(g.Path)
		if err != nil {
			return nil, err
		}
		if lists > len(topo.At{}) {
			return nil, fault.New(fault.BadRequest, "the path %q goes through %d lists, and %d are the most", g.Path, lists, len(topo.At{}))
		}
		place.starts = append(place.starts, i)
		for j, f := range g.Fields {
			at, inner, err := place.follow(f)
			if err != nil {
				return nil, err
			}
			if inner > 0 {
				return nil, fault.New(fault.BadRequest, "the field %q goes through a list: that belongs into its group's path %q", f, g.Path)
			}
			at.ends = append(at.ends, end{group: i, field: j, raw: g.Raw})
		}
	}
	return p, p.guard(kind)
}

// guard closes the ways to values that nobody may have, whatever paths say.
func (p *Plan) guard(kind topo.GroupKind) error {
	for name, d := range p.drops.names {
		if d.values {
			delete(p.root.names, name)
		}
	}
	if kind == (topo.GroupKind{Kind: "Secret"}) && slices.ContainsFunc(p.root.ends, func(e end) bool { return e.raw }) {
		return fault.New(fault.BadRequest, "a Secret can't be read as a whole")
	}
	return nil
}

// follow gives the step at the end of a path, making those on the way.
func (s *step) follow(path string) (at *step, lists int, err error) {
	at = s
	for rest := path; rest != ""; {
		var name string
		switch {
		case strings.HasPrefix(rest, "[*]"):
			rest, lists = rest[3:], lists+1
			if at.each == nil {
				at.each = &step{}
			}
			at = at.each
			rest = strings.TrimPrefix(rest, ".")
			continue
		case strings.HasPrefix(rest, "['"):
			var ok bool
			if name, rest, ok = strings.Cut(rest[2:], "']"); !ok {
				return nil, 0, fault.New(fault.BadRequest, "the path %q has a [' without its ']", path)
			}
		default:
			n := strings.IndexAny(rest, ".[")
			if n < 0 {
				n = len(rest)
			}
			name, rest = rest[:n], rest[n:]
		}
		if name == "" {
			return nil, 0, fault.New(fault.BadRequest, "the path %q has an empty name in it", path)
		}
		at = at.name(name)
		rest = strings.TrimPrefix(rest, ".")
	}
	return at, lists, nil
}

func (s *step) name(name string) *step {
	if s.names == nil {
		s.names = map[string]*step{}
	}
	next := s.names[name]
	if next == nil {
		next = &step{}
		s.names[name] = next
	}
	return next
}
