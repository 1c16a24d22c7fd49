package rules

import (
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Step is one step of a field path: into a field, or into each item of a list.
type Step struct {
	Field string
	Items bool
}

// Path is where something stands in an object. The empty path is the object itself.
type Path []Step

// maxLists is how many lists a path may pass, as topo.At keeps an index for each.
const maxLists = 3

// ParsePath reads "spec.volumes[*].configMap.name". A name with dots stands as ['kubernetes.io/service-name'].
func ParsePath(text string) (Path, error) {
	var p Path
	for rest := text; rest != ""; {
		var step Step
		var err error
		if step, rest, err = cutStep(rest, len(p) == 0); err != nil {
			return nil, fault.New(fault.BadRequest, "the path %q %s", text, err.Error())
		}
		p = append(p, step)
	}
	if p.lists() > maxLists {
		return nil, fault.New(fault.BadRequest, "the path %q passes more than %d lists", text, maxLists)
	}
	return p, nil
}

type pathError string

func (e pathError) Error() string { return string(e) }

func cutStep(rest string, first bool) (Step, string, error) {
	if after, ok := strings.CutPrefix(rest, "[*]"); ok {
		return Step{Items: true}, after, nil
	}
	if after, ok := strings.CutPrefix(rest, "['"); ok {
		name, after, closed := strings.Cut(after, "']")
		if !closed || name == "" {
			return Step{}, "", pathError("has a [' without its name and ']")
		}
		return Step{Field: name}, after, nil
	}
	if !first {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, "."); !ok {
			return Step{}, "", pathError("lacks a dot between two names, or has a [ that is neither [*] nor ['name']")
		}
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 || strings.ContainsAny(rest[:end], "]'*{}, ") {
		return Step{}, "", pathError("has an empty name or one with a sign that names don't have")
	}
	return Step{Field: rest[:end]}, rest[end:], nil
}

func (p Path) lists() int {
	n := 0
	for _, s := range p {
		if s.Items {
			n++
		}
	}
	return n
}

// pieces is the path's text cut where indices stand: "spec.volumes[", "].configMap".
func (p Path) pieces() []string {
	pieces := []string{""}
	for i, s := range p {
		last := len(pieces) - 1
		switch {
		case s.Items:
			pieces[last] += "["
			pieces = append(pieces, "]")
		case strings.ContainsAny(s.Field, "./"):
			pieces[last] += "['" + s.Field + "']"
		case i > 0:
			pieces[last] += "." + s.Field
		default:
			pieces[last] += s.Field
		}
	}
	return pieces
}

// expand gives the paths that "spec.{containers,initContainers}[*]" stands for.
func expand(text string) []string {
	before, rest, ok := strings.Cut(text, "{")
	if !ok {
		return []string{text}
	}
	choices, after, ok := strings.Cut(rest, "}")
	if !ok {
		return []string{text}
	}
	var all []string
	for _, c := range strings.Split(choices, ",") {
		all = append(all, expand(before+c+after)...)
	}
	return all
}
