package topotest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// ToyRules are few rules that together use everything an engine can do. Any object may hold any fact of them.
type ToyRules struct{}

// The toy rules by number, and what the values of their facts are.
const (
	toyOwner   uint16 = iota // from Owners
	toyUses                  // name, namespace, optional, disc -> Config
	toyAlso                  // the same rule at another place
	toyOn                    // name -> Host, which has no namespace
	toyScales                // name, kind
	toyAllows                // name -> Range, virtual
	toyServes                // name <- Service, drawn from there
	toyPicks                 // selector, disc, note -> Pods of the namespace
	toyPicks2                // the same rule at another place
	toyWorks                 // selector -> Pods that it doesn't own
	toySpans                 // selector, namespaces -> Pods there
	toyDefines               // selector, kind -> its objects everywhere
)

var toyPod = topo.GroupKind{Kind: "Pod"}

// Rules implements topo.Rules.
func (ToyRules) Rules() []topo.Rule {
	return []topo.Rule{
		toyUses:    {Name: "uses", Type: topo.Mounts, Path: []string{"spec.uses[", "]"}},
		toyAlso:    {Name: "uses", Type: topo.Mounts, Path: []string{"spec.also[", "]"}},
		toyOn:      {Name: "on", Type: topo.RunsOn, Path: []string{"spec.host"}},
		toyOwner:   {Name: "owner", Type: topo.Owns, Reverse: true, Owner: true, Path: []string{"owners[", "]"}},
		toyScales:  {Name: "scales", Type: topo.Scales, Path: []string{"spec.target"}},
		toyAllows:  {Name: "allows", Type: topo.Allows, Path: []string{"spec.peers[", "]"}},
		toyServes:  {Name: "serves", Type: topo.Routes, Reverse: true, Path: []string{"spec.service"}},
		toyPicks:   {Name: "picks", Type: topo.Selects, Selects: toyPod, Path: []string{"spec.selector"}},
		toyPicks2:  {Name: "picks", Type: topo.Selects, Selects: toyPod, Path: []string{"spec.selectors[", "]"}},
		toyWorks:   {Name: "works", Type: topo.Selects, Selects: toyPod, UnlessOwned: true, Path: []string{"spec.works"}},
		toySpans:   {Name: "spans", Type: topo.Selects, Selects: toyPod, Path: []string{"spec.spans"}},
		toyDefines: {Name: "defines", Type: topo.Defines, Path: []string{"spec.defines[", "]"}},
	}
}

// Virtual implements topo.Rules.
func (ToyRules) Virtual(gk topo.GroupKind) bool { return gk.Kind == "Range" }

// ClusterScoped implements topo.Rules.
func (ToyRules) ClusterScoped() []topo.GroupKind { return []topo.GroupKind{{Kind: "Host"}} }

// Links implements topo.Rules.
func (ToyRules) Links(r *topo.Resource, emit func(*topo.Link)) {
	for i, o := range r.Owners {
		l := topo.Link{Rule: toyOwner, At: topo.At{int16(i)}, To: topo.Ref{Group: o.Group, Kind: o.Kind, Name: o.Name}, UID: o.UID}
		if o.Controller {
			l.Attrs = []topo.Pair{{Key: "controller", Value: "true"}}
		}
		emit(&l)
	}
	for _, f := range r.Facts {
		l := toyLink(f, append(f.Values, "", "", "", ""))
		emit(&l)
	}
}

func toyLink(f topo.Fact, v []string) topo.Link {
	l := topo.Link{Rule: f.Rule, At: f.At, To: topo.Ref{Name: v[0]}}
	switch f.Rule {
	case toyUses, toyAlso:
		l.To.Kind, l.To.Namespace, l.Disc = "Config", v[1], v[3]
		if v[2] != "" {
			l.Attrs = []topo.Pair{{Key: "optional", Value: v[2]}}
		}
	case toyOn:
		l.To.Kind = "Host"
	case toyScales:
		l.To.Kind = v[1]
	case toyAllows:
		l.To.Kind, l.TargetAttrs = "Range", []topo.Pair{{Key: "range", Value: v[0]}}
	case toyServes:
		l.To.Kind = "Service"
	default:
		s := ParseSelector(v[0])
		l.To, l.Selector = topo.Ref{}, &s
		if f.Rule == toySpans {
			l.Namespaces = strings.Fields(v[1])
			break
		}
		if f.Rule == toyDefines {
			l.To.Kind, l.Disc, l.Namespaces = v[1], v[1], []string{"*"}
			break
		}
		l.Disc = v[1]
		if v[2] != "" {
			l.Attrs = []topo.Pair{{Key: "note", Value: v[2]}}
		}
	}
	return l
}

// ParseSelector reads "a=1,b=1|2,c!=3,d,!e"; "" is the empty selector.
func ParseSelector(s string) topo.Selector {
	sel := topo.Selector{}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		var r topo.Requirement
		if key, values, ok := strings.Cut(word, "!="); ok {
			r = topo.Requirement{Key: key, Op: topo.NotIn, Values: strings.Split(values, "|")}
		} else if key, values, ok := strings.Cut(word, "="); ok {
			r = topo.Requirement{Key: key, Values: strings.Split(values, "|")}
		} else if key, not := strings.CutPrefix(word, "!"); not {
			r = topo.Requirement{Key: key, Op: topo.DoesNotExist}
		} else {
			r = topo.Requirement{Key: word, Op: topo.Exists}
		}
		sel = append(sel, r)
	}
	return sel
}

var toyFacts = map[string]uint16{
	"uses": toyUses, "also": toyAlso, "on": toyOn, "scales": toyScales, "allows": toyAllows, "serves": toyServes,
	"picks": toyPicks, "picks2": toyPicks2, "works": toyWorks, "spans": toySpans, "defines": toyDefines,
}

// ParseRef reads "Kind namespace/name", "Kind.group name".
func ParseRef(kind, name string) topo.Ref {
	var r topo.Ref
	r.Kind, r.Group, _ = strings.Cut(kind, ".")
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		r.Namespace, name = ns, rest
	}
	r.Name = name
	return r
}

// ToyExec gives what plays scenarios of toy objects, one a line, as the kinds' states and the other verbs are:
//
//	apply Pod a/x uid=1 label:app=web owner=Set/rs/1 uses=cfg;;true picks=app=web
//	delete Pod a/x
//	observe Host cluster
//	observe Config unwatched
//	forget Config
func ToyExec(e *topo.Engine) Exec {
	return func(line, _ string) (topo.Diff, error) {
		words := strings.Fields(line)
		if d, ok := ExecCommon(e, words); ok {
			return d, nil
		}
		if len(words) < 3 || words[0] != "apply" {
			return topo.Diff{}, fmt.Errorf("what is %q?", line)
		}
		res := &topo.Resource{Ref: ParseRef(words[1], words[2])}
		for _, w := range words[3:] {
			key, value, _ := strings.Cut(w, "=")
			if err := toyField(res, key, value); err != nil {
				return topo.Diff{}, err
			}
		}
		return e.Apply(topo.Change{Ref: res.Ref, Resource: res}), nil
	}
}

func toyField(res *topo.Resource, key, value string) error {
	if label, ok := strings.CutPrefix(key, "label:"); ok {
		res.Labels = append(res.Labels, topo.Pair{Key: label, Value: value})
		return nil
	}
	rule, isFact := toyFacts[key]
	switch {
	case key == "uid":
		res.UID = value
	case key == "status":
		res.Status = value
	case key == "owner":
		parts := strings.Split(value, "/")
		res.Owners = append(res.Owners, topo.Owner{Kind: parts[0], Name: parts[1], UID: parts[2]})
	case isFact:
		at := topo.At{int16(len(slices.DeleteFunc(slices.Clone(res.Facts), func(f topo.Fact) bool { return f.Rule != rule })))}
		res.Facts = append(res.Facts, topo.Fact{Rule: rule, At: at, Values: strings.Split(value, ";")})
	default:
		return fmt.Errorf("what is %q?", key)
	}
	return nil
}

// ExecCommon carries out the steps that need no object: delete, observe, forget.
func ExecCommon(e *topo.Engine, words []string) (topo.Diff, bool) {
	if len(words) < 2 {
		return topo.Diff{}, false
	}
	gk := ParseRef(words[1], "").GroupKind()
	switch words[0] {
	case "delete":
		return e.Apply(topo.Change{Ref: ParseRef(words[1], words[2])}), true
	case "observe":
		state := topo.KindState{Namespaced: !slices.Contains(words, "cluster"), Observed: !slices.Contains(words, "unwatched")}
		return e.Observe(gk, state), true
	case "forget":
		return e.Forget(gk), true
	}
	return topo.Diff{}, false
}
