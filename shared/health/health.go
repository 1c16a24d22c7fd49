// Package health judges how an object fares: one health and one status word for every kind, from fields that rows name by path.
// The words are those of kubectl's STATUS column; what can't be known is unknown, and never green.
package health

import (
	"strconv"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Row says how the objects of some kinds are judged.
type Row struct {
	Kinds  []topo.GroupKind // none: every kind that no other row names
	Groups []Group
	Judge  func(Facts) Verdict
}

// Group is fields that are read together, once for each element of the list that Path names, or once where it names none. Path and fields are
// as in rules: "status.containerStatuses[*]" with "state.waiting.reason". A path of "" is the object itself.
type Group struct {
	Path   string
	Fields []string
}

// Facts are what was found, group by group: for each occurrence the values of the group's fields, "" where one is absent. Numbers and
// booleans are in JSON's text; of an object or a list, only that it is there is told, by Present.
type Facts [][][]string

// Present is the value of a field that is an object or a list.
const Present = "{}"

// Verdict is what comes of it.
type Verdict struct {
	Health topo.Health
	Status string
	Attrs  []topo.Pair // sorted by key
}

// common stands in every row's first place: what is true of any object.
var common = Group{Path: "", Fields: []string{"metadata.deletionTimestamp", "metadata.generation", "status.observedGeneration", "status"}}

// conditions are how most kinds say what they think of themselves.
var conditions = Group{Path: "status.conditions[*]", Fields: []string{"type", "status", "reason"}}

// Of judges an object of that row. An object that is being deleted is that first.
func (r *Row) Of(f Facts) Verdict {
	v := r.Judge(f)
	if f.value(0, 0) != "" && v.Status != "Terminating" && !ends(v.Status) {
		v.Health, v.Status = topo.Progressing, "Terminating"
	}
	return v
}

// ends tells words that outlive deletion: kubectl shows a finished Pod's end, and Unknown for one whose node is lost.
func ends(status string) bool {
	return status == "Succeeded" || status == "Completed" || status == "Failed" || status == "Unknown"
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
		rows[i].Groups = append([]Group{common}, rows[i].Groups...)
		for _, gk := range rows[i].Kinds {
			m[gk] = &rows[i]
		}
	}
	return m
}

// value is a field of a group's first occurrence.
func (f Facts) value(group, field int) string {
	if group < len(f) && len(f[group]) > 0 {
		return f[group][0][field]
	}
	return ""
}

// number is a field of a group's first occurrence as a number; without one, otherwise.
func (f Facts) number(group, field, otherwise int) int {
	n, err := strconv.Atoi(f.value(group, field))
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
func (f Facts) condition(group int, name string) (status, reason string) {
	for _, c := range f.items(group) {
		if c[0] == name {
			return c[1], c[2]
		}
	}
	return "", ""
}

// behind tells that a controller has not yet seen the newest generation.
func (f Facts) behind() bool {
	generation, observed := f.number(0, 1, 0), f.number(0, 2, -1)
	return observed >= 0 && observed < generation
}

// pairs makes attributes, leaving empty ones out; keys must be given in order.
func pairs(kv ...string) []topo.Pair {
	var out []topo.Pair
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
