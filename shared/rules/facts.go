package rules

import "slices"

// always tells a row for which what is absent counts as much as what is there.
func (v *variant) always() bool {
	switch {
	case v.link == nil:
		return false // a context
	case v.row.Select != nil:
		return v.row.Select.Absent == All
	case v.row.Func == "":
		return false
	}
	for i, w := range v.row.Where {
		if !v.slots.where[i].root && slices.Contains(w.Is, "") {
			return true
		}
	}
	return false
}

// needs lists the fields without which the row has nothing to say, so that no fact is made where one of them is absent: a name is
// what most places of a list lack.
func (v *variant) needs() []int {
	var all []int
	need := func(s slot) {
		if s.index >= 0 && !s.root && !slices.Contains(all, s.index) {
			all = append(all, s.index)
		}
	}
	if v.link == nil {
		return nil // a context
	}
	if v.row.Ref != nil {
		need(v.slots.name)
	}
	for i, w := range v.row.Where {
		if slices.Contains(w.Not, "") || len(w.Is) > 0 && !slices.Contains(w.Is, "") {
			need(v.slots.where[i])
		}
	}
	return all
}
