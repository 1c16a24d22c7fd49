// Package reduce turns an object's JSON into what the agent keeps of it: the facts that the rules of its kind look for, its health and
// status, and on request the text that may be shared. One pass, straight into the record.
package reduce

import (
	"sync"

	"github.com/kubilitics/kubilitics/shared/fields"
	"github.com/kubilitics/kubilitics/shared/health"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Reducer reduces objects by one table of rules. It may be used by many at once.
type Reducer struct {
	table *rules.Table
	plans sync.Map // Kind -> *plan
}

// Kind is what decides how an object is read: the same kind may need other paths at another version of its API.
type Kind struct {
	topo.GroupKind
	Version string
}

// Object is what is kept of one object.
type Object struct {
	Resource        topo.Resource
	ResourceVersion string
	Text            []byte // nil unless asked for
}

// plan is how the objects of a kind are read: the groups of the rules, then those of the verdict.
type plan struct {
	fields *fields.Plan
	rules  []rules.Capture // by group
	health *health.Row
}

// New makes a reducer.
func New(table *rules.Table) *Reducer { return &Reducer{table: table} }

// Reduce reads one object of a kind. Malformed JSON is a BadRequest.
func (r *Reducer) Reduce(kind Kind, raw []byte, text bool) (Object, error) {
	if !text {
		return r.ReduceInto(kind, raw, nil)
	}
	return r.ReduceInto(kind, raw, make([]byte, 0, len(raw)))
}

// ReduceInto is Reduce with a buffer for the text, which is no text where the buffer is nil. The object's Text is this buffer, grown if need be.
func (r *Reducer) ReduceInto(kind Kind, raw, text []byte) (Object, error) {
	p, err := r.plan(kind)
	if err != nil {
		return Object{}, err
	}
	o, err := p.fields.ReadInto(raw, text)
	if err != nil {
		return Object{}, err
	}
	facts, found := p.sort(o.Matches)
	v := p.health.Of(found, o.Labels)
	return Object{
		Resource: topo.Resource{
			Ref: topo.Ref{Group: kind.Group, Kind: kind.Kind, Namespace: o.Namespace, Name: o.Name},
			UID: o.UID, Version: kind.Version, Created: o.Created, Labels: o.Labels, Owners: o.Owners,
			Health: v.Health, Status: v.Status, Attrs: v.Attrs, Facts: facts,
		},
		ResourceVersion: o.ResourceVersion,
		Text:            o.Text,
	}, nil
}

func (r *Reducer) plan(kind Kind) (*plan, error) {
	if p, ok := r.plans.Load(kind); ok {
		return p.(*plan), nil
	}
	p := &plan{health: health.For(kind.GroupKind)}
	var groups []fields.Group
	for _, c := range r.table.Captures(kind.GroupKind, kind.Version) {
		g := fields.Group{Path: pathText(c.At), Raw: true}
		for _, f := range c.Fields {
			g.Fields = append(g.Fields, pathText(f))
		}
		groups = append(groups, g)
		p.rules = append(p.rules, c)
	}
	for _, g := range p.health.Groups {
		groups = append(groups, fields.Group{Path: g.Path, Fields: g.Fields, Raw: g.Raw})
	}
	var err error
	if p.fields, err = fields.Compile(kind.GroupKind, groups); err != nil {
		return nil, err
	}
	kept, _ := r.plans.LoadOrStore(kind, p)
	return kept.(*plan), nil
}

// sort parts what the rules look for from what the verdict needs. A fact that says nothing is none, but where a rule wants to
// know even that.
func (p *plan) sort(matches []fields.Match) ([]topo.Fact, health.Facts) {
	found, judged := p.room(matches)
	facts := make([]topo.Fact, 0, len(matches)-judged)
	for _, m := range matches {
		switch {
		case m.Group >= len(p.rules):
			found[m.Group-len(p.rules)] = append(found[m.Group-len(p.rules)], m.Values)
		case p.rules[m.Group].Always || says(m.Values) && has(m.Values, p.rules[m.Group].Needs):
			facts = append(facts, topo.Fact{Rule: p.rules[m.Group].Rule, At: m.At, Values: m.Values})
		}
	}
	return facts, found
}

// room makes room for what the verdict needs, all groups in one piece, and tells how many matches that is.
func (p *plan) room(matches []fields.Match) (found health.Facts, judged int) {
	var few [16]int
	counts := append(few[:0], make([]int, len(p.health.Groups))...)
	for _, m := range matches {
		if m.Group >= len(p.rules) {
			counts[m.Group-len(p.rules)]++
			judged++
		}
	}
	found, rest := make(health.Facts, len(counts)), make([][]string, judged)
	for g, n := range counts {
		found[g], rest = rest[:0:n], rest[n:]
	}
	return found, judged
}

func says(values []string) bool {
	for _, v := range values {
		if v != "" {
			return true
		}
	}
	return false
}

func has(values []string, needs []int) bool {
	for _, i := range needs {
		if values[i] == "" {
			return false
		}
	}
	return true
}

// pathText is a path of the table as a path of fields.
func pathText(p rules.Path) string {
	text := ""
	for _, s := range p {
		if s.Items {
			text += "[*]"
		} else {
			text += "['" + s.Field + "']"
		}
	}
	return text
}
