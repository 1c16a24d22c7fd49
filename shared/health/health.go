// Package health judges how an object fares: one health and one status word for every kind, from fields that rows name by path.
//
// The healths are those of kstatus, the library that kubectl's own tools wait by, wherever it has an opinion: what it calls current is ok, in
// progress and terminating are progressing, failed is error. Where more can be told than it tells, as of a Pod whose image can't be pulled,
// the difference is on purpose and has a name in the tests. An object whose kind has no status by nature, or whose status says nothing that
// anybody agreed on, is ok by being there, as kstatus has it; what can't be known, as the state of a Node that is silent, is unknown and never
// green. The words are those of kubectl's STATUS column.
package health

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Row says how the objects of some kinds are judged.
type Row struct {
	Kinds  []topo.GroupKind // none: every kind that no other row names
	Groups []Group          // by convention the first is fields of the object itself
	Judge  func(Facts) Verdict
}

// Group is fields that are read together, once for each element of the list that Path names, or once where it names none. Path and fields are
// as in rules: "status.containerStatuses[*]" with "state.waiting.reason". A path of "" is the object itself.
type Group struct {
	Path   string
	Fields []string
	Raw    bool // objects and lists are given as their JSON
}

// Facts are what was found, group by group: for each occurrence the values of the group's fields, "" where one is absent. Numbers and
// booleans are in JSON's text; of an object or a list, only that it is there is told, by Present, but where the group is raw. They begin with
// the two groups that every row has.
type Facts [][][]string

// Present is the value of a field that is an object or a list.
const Present = "{}"

// Verdict is what comes of it.
type Verdict struct {
	Health topo.Health
	Status string
	Attrs  []topo.Pair // sorted by key

	// deletion tells that the judge has minded the object's deletion, which otherwise outweighs all it says.
	deletion bool
}

// shared are the groups that stand before every row's own: what any object may say, and how most say what they think of themselves.
var shared = []Group{
	{Path: "", Fields: []string{
		"metadata.deletionTimestamp", "metadata.generation", "status.observedGeneration", "metadata.namespace",
		"metadata.annotations['meta.helm.sh/release-name']", "metadata.annotations['meta.helm.sh/release-namespace']",
		"metadata.annotations['argocd.argoproj.io/tracking-id']",
	}},
	{Path: "status.conditions[*]", Fields: []string{"type", "status", "reason"}},
}

// Where the groups stand: the shared ones, then a row's first and those after it.
const (
	ofObject = iota
	ofConditions
	ofOwn
	ofSecond
	ofThird
	ofFourth
	ofFifth
	ofSixth
)

// Of judges an object of that row, which has these labels.
func (r *Row) Of(f Facts, labels []topo.Pair) Verdict {
	v := r.Judge(f)
	f.overrule(&v)
	v.Status = clipped(v.Status, maxStatus)
	v.Attrs = belonging(v.Attrs, f, labels)
	for i := range v.Attrs {
		v.Attrs[i].Value = clipped(v.Attrs[i].Value, maxAttr)
	}
	return v
}

// overrule is what holds for every kind, whatever its row says.
func (f Facts) overrule(v *Verdict) {
	switch {
	case f.deleted():
		if !v.deletion {
			v.Health, v.Status = topo.Progressing, "Terminating"
		}
		return
	case f.behind():
		v.Health = topo.Progressing
		return
	}
	for _, c := range f.items(ofConditions) {
		switch {
		case c[1] != "True":
		case c[0] == "Reconciling":
			v.Health, v.Status = topo.Progressing, cmpOr(c[2], c[0])
			return
		case c[0] == "Stalled":
			v.Health, v.Status = topo.Error, cmpOr(c[2], c[0])
			return
		}
	}
}

// The longest that may be shown, in bytes: some controllers write sentences where words belong, and lists have no end.
const (
	maxStatus = 128
	maxAttr   = 4096
)

func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	n := most - len("…")
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

// For gives the row of a kind.
func For(gk topo.GroupKind) *Row {
	if r, ok := byKind[gk]; ok {
		return r
	}
	return &generic
}

var byKind = index(Rows)

func index(rows []Row) map[topo.GroupKind]*Row {
	m := map[topo.GroupKind]*Row{}
	for i := range rows {
		rows[i].Groups = withShared(rows[i].Groups)
		for _, gk := range rows[i].Kinds {
			m[gk] = &rows[i]
		}
	}
	return m
}

func withShared(own []Group) []Group { return append(shared[:len(shared):len(shared)], own...) }

// value is a field of a group's first occurrence.
func (f Facts) value(group, field int) string {
	if group < len(f) && len(f[group]) > 0 {
		return f[group][0][field]
	}
	return ""
}

// own is a field of the row's first group.
func (f Facts) own(field int) string { return f.value(ofOwn, field) }

// number is a field of the row's first group as a number; without one, otherwise.
func (f Facts) number(field, otherwise int) int {
	n, err := strconv.Atoi(f.own(field))
	if err != nil {
		return otherwise
	}
	return n
}

// items are a group's occurrences.
func (f Facts) items(group int) [][]string {
	if group < len(f) {
		return f[group]
	}
	return nil
}

// condition finds a condition's status ("True", "False", "Unknown", "" for none) and reason.
func (f Facts) condition(name string) (status, reason string) {
	for _, c := range f.items(ofConditions) {
		if c[0] == name {
			return c[1], c[2]
		}
	}
	return "", ""
}

// is tells whether a condition is true.
func (f Facts) is(name string) bool {
	status, _ := f.condition(name)
	return status == "True"
}

// first gives the first of the object's conditions that is true and has one of these names.
func (f Facts) first(names ...string) string {
	for _, c := range f.items(ofConditions) {
		if c[1] == "True" && slices.Contains(names, c[0]) {
			return c[0]
		}
	}
	return ""
}

func (f Facts) deleted() bool { return f.value(ofObject, 0) != "" }

// behind tells that a controller has not yet seen the newest generation.
func (f Facts) behind() bool {
	generation, observed := f.value(ofObject, 1), f.value(ofObject, 2)
	return generation != "" && observed != "" && generation != observed
}

// pairs makes attributes, leaving empty ones out; keys must be given in order. There is room for those that every kind may have.
func pairs(kv ...string) []topo.Pair {
	out := make([]topo.Pair, 0, len(kv)/2+2)
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			out = append(out, topo.Pair{Key: kv[i], Value: kv[i+1]})
		}
	}
	return out
}

func verdict(h topo.Health, status string, kv ...string) Verdict {
	return Verdict{Health: h, Status: status, Attrs: pairs(kv...)}
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
