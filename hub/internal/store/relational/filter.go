package relational

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// where collects conditions that all hold, and the arguments they take.
type where struct {
	dialect    *Dialect
	tables     sources
	conditions []string
	args       []any
	inRow      bool // labels are looked for in the row itself, since it is at hand
}

// arg adds an argument and gives its number.
func (w *where) arg(v any) int {
	w.args = append(w.args, v)
	return len(w.args)
}

// param adds an argument and gives its placeholder.
func (w *where) param(v any) string { return "$" + strconv.Itoa(w.arg(v)) }

func (w *where) and(condition string) { w.conditions = append(w.conditions, condition) }

func (w *where) equal(column string, v any) string { return column + " = " + w.param(v) }

func (w *where) ints(column string, list []int64) string {
	if len(list) == 1 {
		return w.equal(column, list[0])
	}
	return w.dialect.InInts(column, w.arg(list))
}

func (w *where) strings(column string, list []string) string {
	if len(list) == 1 {
		return w.equal(column, list[0])
	}
	return w.dialect.InStrings(column, w.arg(list))
}

func (w *where) ids(column string, list []topo.ID) string {
	return w.dialect.InIDs(column, w.arg(list))
}

func (w *where) String() string { return strings.Join(w.conditions, " AND ") }

func anyOf(conditions []string) string { return "(" + strings.Join(conditions, " OR ") + ")" }

// access is which rows a view shows: all of some clusters, and some namespaces of others.
type access struct {
	whole   []int64
	partial []spaces
	// every tells that whole lists each cluster that has rows at all, so that it need not be asked for.
	every bool
}

type spaces struct {
	clusters   []int64
	namespaces []string
}

func (a *access) empty() bool { return len(a.whole) == 0 && len(a.partial) == 0 }

// only gives the cluster when there is no more than one.
func (a *access) only() (int64, bool) {
	switch {
	case len(a.whole) == 1 && len(a.partial) == 0:
		return a.whole[0], true
	case len(a.whole) == 0 && len(a.partial) == 1 && len(a.partial[0].clusters) == 1:
		return a.partial[0].clusters[0], true
	}
	return 0, false
}

// accessTo works out what the view shows of the clusters that readers may see, and of those asked for (none: of all).
func accessTo(seen *sight, v fleet.View, wanted []fleet.ClusterID) access {
	a := access{every: !seen.hidden && len(wanted) == 0 && v.Everything}
	partial := map[string]*spaces{}
	for _, id := range seen.order {
		if len(wanted) > 0 && !slices.Contains(wanted, id) {
			continue
		}
		some, all, ok := v.Namespaces(id)
		switch {
		case !ok:
		case all:
			a.whole = append(a.whole, int64(id))
		default:
			key := strings.Join(some, ",")
			if partial[key] == nil {
				partial[key] = &spaces{namespaces: some}
			}
			partial[key].clusters = append(partial[key].clusters, int64(id))
		}
	}
	for _, p := range partial {
		a.partial = append(a.partial, *p)
	}
	return a
}

// split gives one access a cluster, when the clusters are few enough to ask one by one, each along its own index: among the rows of all
// clusters of a tenant, those of a few may be far apart.
func (a *access) split() (each []access) {
	n := len(a.whole)
	for _, p := range a.partial {
		n += len(p.clusters)
	}
	if a.every || n < 2 || n > 8 {
		return nil
	}
	for _, c := range a.whole {
		each = append(each, access{whole: []int64{c}})
	}
	for _, p := range a.partial {
		for _, c := range p.clusters {
			each = append(each, access{partial: []spaces{{[]int64{c}, p.namespaces}}})
		}
	}
	return each
}

// in gives the condition that a row with those columns for cluster and namespace is shown; "" when every row is.
func (a *access) in(w *where, cluster, namespace string) string {
	if a.every {
		return ""
	}
	var any []string
	if len(a.whole) > 0 {
		any = append(any, w.ints(cluster, a.whole))
	}
	for _, p := range a.partial {
		any = append(any, w.ints(cluster, p.clusters)+" AND "+w.strings(namespace, p.namespaces))
	}
	if len(any) == 1 {
		return any[0]
	}
	return anyOf(any)
}

// filter adds what a filter asks for, besides access, of rows r of resources.
func (w *where) filter(f *store.Filter) error {
	if !f.Placeholders {
		w.and("r.presence = 0")
	}
	if len(f.Kinds) > 0 {
		w.and(w.kinds(f.Kinds))
	}
	if len(f.Namespaces) > 0 {
		w.and(w.strings("r.namespace", f.Namespaces))
	}
	if len(f.Names) > 0 {
		w.and(w.strings("r.name", f.Names))
	}
	for _, q := range f.Labels {
		if err := w.label(q); err != nil {
			return err
		}
	}
	for _, q := range f.Fields {
		if err := w.field(q); err != nil {
			return err
		}
	}
	for i := range f.Terms {
		if err := w.term(&f.Terms[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *where) kinds(kinds []topo.GroupKind) string {
	var any []string
	for _, k := range kinds {
		any = append(any, w.equal("r.api_group", k.Group)+" AND "+w.equal("r.kind", k.Kind))
	}
	if len(any) == 1 {
		return any[0]
	}
	return anyOf(any)
}

// label asks the labels' own table, which is ordered by key and value.
func (w *where) label(q store.Requirement) error {
	if w.inRow {
		condition, err := w.labelInRow(q)
		w.and(condition)
		return err
	}
	key := "l.tenant_id = $1 AND " + w.equal("l.key", q.Key)
	same := " AND l.cluster_id = r.cluster_id AND l.id = r.id)"
	switch q.Op {
	case store.In, store.NotIn:
		if len(q.Values) == 0 {
			return fault.New(fault.BadRequest, "a condition on the label %q needs a value", q.Key)
		}
		key += " AND " + w.strings("l.value", q.Values)
	case store.Exists, store.NotExists:
	default:
		return fault.New(fault.BadRequest, "there is no operator %q", q.Op)
	}
	if q.Op == store.NotIn || q.Op == store.NotExists {
		w.and("NOT EXISTS (SELECT 1 FROM " + w.tables.labels + " l WHERE " + key + same)
		return nil
	}
	w.and("(r.cluster_id, r.id) IN (SELECT l.cluster_id, l.id FROM " + w.tables.labels + " l WHERE " + key + ")")
	return nil
}

// Fields that are plain texts.
var fieldColumns = map[string]string{"name": "r.name", "namespace": "r.namespace", "status": "r.status", "uid": "r.uid"}

func (w *where) field(q store.Requirement) error {
	condition, err := w.fieldIn(q)
	if err != nil {
		return err
	}
	switch q.Op {
	case store.In:
		w.and(condition)
	case store.NotIn:
		w.and("NOT " + condition)
	default:
		return fault.New(fault.BadRequest, "the field %q can't be asked for with %q", q.Key, q.Op)
	}
	return nil
}

func (w *where) fieldIn(q store.Requirement) (string, error) {
	if len(q.Values) == 0 {
		return "", fault.New(fault.BadRequest, "a condition on the field %q needs a value", q.Key)
	}
	if column, ok := fieldColumns[q.Key]; ok {
		return "(" + w.strings(column, q.Values) + ")", nil
	}
	switch q.Key {
	case "kind":
		return w.kindWords(q.Values), nil
	case "health":
		return w.words("r.health", q, func(s string) (int64, bool) { h, ok := topo.ParseHealth(s); return int64(h), ok })
	case "presence":
		return w.words("r.presence", q, parsePresence)
	}
	return "", fault.New(fault.BadRequest, "there is no field %q", q.Key)
}

func parsePresence(s string) (int64, bool) {
	for p := topo.Present; p <= topo.Unobserved; p++ {
		if p.String() == s {
			return int64(p), true
		}
	}
	return 0, false
}

// kindWords takes kinds as GroupKind words them; without a group, a kind of any group is meant.
func (w *where) kindWords(words []string) string {
	var any []string
	for _, word := range words {
		kind, group, grouped := strings.Cut(word, ".")
		one := w.equal("r.kind", kind)
		if grouped {
			one += " AND " + w.equal("r.api_group", group)
		}
		any = append(any, one)
	}
	return anyOf(any)
}

func (w *where) words(column string, q store.Requirement, parse func(string) (int64, bool)) (string, error) {
	var numbers []int64
	for _, word := range q.Values {
		n, ok := parse(word)
		if !ok {
			return "", fault.New(fault.BadRequest, "the field %q is never %q", q.Key, word)
		}
		numbers = append(numbers, n)
	}
	return "(" + w.ints(column, numbers) + ")", nil
}

// after continues a list: only rows behind the key in the order (group, kind, namespace, name, cluster). Where the cluster is fixed, it is left out
// of the comparison, as it is of the index.
func (w *where) after(k *store.Key, only int64, one bool) {
	if k == nil {
		return
	}
	left, right := "r.api_group, r.kind, r.namespace, r.name", []string{w.param(k.Ref.Group), w.param(k.Ref.Kind), w.param(k.Ref.Namespace), w.param(k.Ref.Name)}
	compare := " > "
	switch {
	case !one:
		left, right = left+", r.cluster_id", append(right, w.param(int64(k.Cluster)))
	case only > int64(k.Cluster):
		compare = " >= "
	}
	w.and("(" + left + ")" + compare + "(" + strings.Join(right, ", ") + ")")
}
