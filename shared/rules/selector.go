package rules

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

type labelSelector struct {
	MatchLabels      map[string]string
	MatchExpressions []struct {
		Key      string
		Operator string
		Values   []string
	}
}

var operators = map[string]topo.Operator{
	"In": topo.In, "NotIn": topo.NotIn, "Exists": topo.Exists, "DoesNotExist": topo.DoesNotExist,
}

// parseSelector reads the JSON of a selector of a form; "" is an absent one. Requirements come sorted.
func parseSelector(raw, form string) (topo.Selector, error) {
	var ls labelSelector
	sel := topo.Selector{}
	if raw == "" {
		return sel, nil
	}
	into := any(&ls)
	if form == Labels {
		into = &ls.MatchLabels
	}
	if err := json.Unmarshal([]byte(raw), into); err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "a selector that can't be read")
	}
	for _, key := range slices.Sorted(maps.Keys(ls.MatchLabels)) {
		sel = append(sel, topo.Requirement{Key: key, Values: []string{ls.MatchLabels[key]}})
	}
	for _, x := range ls.MatchExpressions {
		op, ok := operators[x.Operator]
		if !ok {
			return nil, fault.New(fault.BadRequest, "a selector with the operator %q", x.Operator)
		}
		slices.Sort(x.Values)
		sel = append(sel, topo.Requirement{Key: x.Key, Op: op, Values: slices.Compact(x.Values)})
	}
	slices.SortFunc(sel, func(a, b topo.Requirement) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Op, b.Op), slices.Compare(a.Values, b.Values))
	})
	return sel, nil
}

// selectorText writes a selector as kubectl does: "app=web,tier in (a,b),!old".
func selectorText(s topo.Selector) string {
	words := make([]string, len(s))
	for i, r := range s {
		list := "(" + strings.Join(r.Values, ",") + ")"
		switch {
		case r.Op == topo.In && len(r.Values) == 1:
			words[i] = r.Key + "=" + r.Values[0]
		case r.Op == topo.In:
			words[i] = r.Key + " in " + list
		case r.Op == topo.NotIn:
			words[i] = r.Key + " notin " + list
		case r.Op == topo.Exists:
			words[i] = r.Key
		default:
			words[i] = "!" + r.Key
		}
	}
	return strings.Join(words, ",")
}

// listed reads a captured value as a list of texts: that of a JSON list, else the value alone.
func listed(value string) []string {
	var all []string
	if strings.HasPrefix(value, "[") && json.Unmarshal([]byte(value), &all) == nil {
		return all
	}
	return []string{value}
}
