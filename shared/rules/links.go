package rules

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// linkers turn facts into links, by the form of the row or the name of its function.
var linkers map[string]linker

func init() {
	linkers = map[string]linker{
		formRef:             linkRef,
		formSelect:          linkSelect,
		"owners":            linkOwner,
		"networkPolicyPeer": linkPeer,
		"anyPeer":           linkAnyPeer,
		"statefulSetClaims": linkClaims,
		"ephemeralClaim":    linkEphemeral,
		"volumeNodes":       linkVolumeNodes,
		"instances":         linkInstances,
		"kind":              linkKind,
		"namespaces":        linkNamespaces,
		"grant":             linkGrant,
		"user":              linkUser,
		"holder":            linkHolder,
	}
	maps.Copy(linkers, ecosystemLinkers)
}

const (
	formRef    = "ref"
	formSelect = "select"
)

func form(row *Row) string {
	switch {
	case row.Ref != nil:
		return formRef
	case row.Select != nil:
		return formSelect
	}
	return row.Func
}

// Rules implements topo.Rules.
func (t *Table) Rules() []topo.Rule {
	all := make([]topo.Rule, len(t.variants))
	for i := range t.variants {
		v := &t.variants[i]
		all[i] = topo.Rule{
			Name: v.row.Name, Type: v.row.Type, Reverse: v.row.Reverse, Owner: v.row.Func == "owners", Path: v.shown().pieces(),
		}
		if sel := v.row.Select; sel != nil {
			all[i].Selects, all[i].UnlessOwned = v.slots.to, sel.UnlessOwned
		}
	}
	return all
}

// shown is the path that an edge gives as its reason: down to the name, or to the selector.
func (v *variant) shown() Path {
	s := v.slots.name
	if v.row.Select != nil {
		s = v.slots.selector
	}
	if s.index < 0 || s.root || len(v.fields) == 0 {
		return v.at
	}
	return slices.Concat(v.at, v.fields[s.index])
}

// ClusterScoped implements topo.Rules.
func (t *Table) ClusterScoped() []topo.GroupKind { return t.cluster }

// OwnGroup is the API group of nodes that stand for no object of the cluster: sets of pods, blocks of addresses.
const OwnGroup = "kubilitics.io"

const rbacGroup = "rbac.authorization.k8s.io"

// Virtual implements topo.Rules.
func (t *Table) Virtual(gk topo.GroupKind) bool {
	return gk.Group == OwnGroup || gk.Group == rbacGroup && (gk.Kind == "User" || gk.Kind == "Group")
}

// Links implements topo.Rules.
func (t *Table) Links(r *topo.Resource, emit func(*topo.Link)) {
	for i := range r.Owners {
		t.owner(r, i, emit)
	}
	room := rooms.Get().(*topo.Link)
	defer func() {
		*room = topo.Link{}
		rooms.Put(room)
	}()
	var fact *topo.Fact
	send := func(l *topo.Link) {
		l.Rule, l.At = fact.Rule, fact.At
		emit(l)
	}
	for i := range r.Facts {
		fact = &r.Facts[i]
		if int(fact.Rule) >= len(t.variants) {
			continue
		}
		v := &t.variants[fact.Rule]
		if v.link == nil {
			continue
		}
		f := facts{at: fact.At, own: fact.Values, link: room}
		if v.context >= 0 {
			f.root = contextOf(r, uint16(v.context))
		}
		if v.holds(f) {
			v.link(v, r, f, send)
		}
	}
}

var rooms = sync.Pool{New: func() any { return &topo.Link{} }}

// owner gives the link of an owner reference, by the one row that reads them.
func (t *Table) owner(r *topo.Resource, i int, emit func(*topo.Link)) {
	for _, n := range t.owners {
		v := &t.variants[n]
		if len(v.kinds) > 0 && !slices.Contains(v.kinds, r.Ref.GroupKind()) {
			continue
		}
		v.link(v, r, facts{at: topo.At{int16(min(i, 1<<15-1))}}, func(l *topo.Link) {
			l.Rule = uint16(n)
			emit(l)
		})
	}
}

func linkOwner(_ *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	o := r.Owners[f.at[0]]
	l := topo.Link{At: f.at, To: topo.Ref{Group: o.Group, Kind: o.Kind, Name: o.Name}, UID: o.UID}
	if o.Controller {
		l.Attrs = []topo.Pair{{Key: "controller", Value: "true"}}
	}
	emit(&l)
}

func contextOf(r *topo.Resource, rule uint16) []string {
	for i := range r.Facts {
		if r.Facts[i].Rule == rule {
			return r.Facts[i].Values
		}
	}
	return nil
}

var absent = []string{""}

func (v *variant) holds(f facts) bool {
	for i, w := range v.row.Where {
		values := listed(f.get(v.slots.where[i]))
		if len(values) == 0 {
			values = absent
		}
		in := func(want []string) bool {
			return slices.ContainsFunc(values, func(have string) bool { return slices.Contains(want, have) })
		}
		if len(w.Is) > 0 && !in(w.Is) || in(w.Not) {
			return false
		}
	}
	return true
}

func linkRef(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	to := v.targetKind(f)
	name := f.get(v.slots.name)
	if name == "" || to.Kind == "" {
		return
	}
	l := f.link
	*l = topo.Link{To: topo.Ref{Group: to.Group, Kind: to.Kind, Namespace: f.get(v.slots.namespace), Name: name}}
	if v.virtual(to) {
		l.To.Namespace = ""
	}
	l.Disc, l.Attrs = f.get(v.slots.disc), v.kept(f)
	if v.row.Ref.Granted && l.To.Namespace != "" && l.To.Namespace != r.Ref.Namespace {
		l.Attrs = withPair(l.Attrs, crossNamespace, "true")
	}
	emit(l)
}

// crossNamespace is the attribute of an edge that somebody must have granted.
const crossNamespace = "crossNamespace"

// withPair adds an attribute where its key belongs.
func withPair(pairs []topo.Pair, key, value string) []topo.Pair {
	i, _ := slices.BinarySearchFunc(pairs, key, func(p topo.Pair, key string) int { return cmp.Compare(p.Key, key) })
	return slices.Insert(pairs, i, topo.Pair{Key: key, Value: value})
}

// targetKind is the kind that a reference says, or means where it leaves the kind or the group out.
func (v *variant) targetKind(f facts) topo.GroupKind {
	if v.row.Ref.Kind == "" {
		return v.slots.to
	}
	version, other := f.get(v.slots.apiVersion), v.slots.otherwise
	to := topo.GroupKind{Kind: f.get(v.slots.kind), Group: wordOr(groupOf(version), f.get(v.slots.group))}
	switch {
	case to.Kind == "":
		return other
	case to.Group == "" && version == "" && (to.Kind == other.Kind || v.row.Ref.SameGroup):
		to.Group = other.Group
	}
	return to
}

// groupOf is the group of "apps/v1", and none of "v1".
func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

func (v *variant) virtual(gk topo.GroupKind) bool { return (*Table)(nil).Virtual(gk) }

func linkSelect(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	form := v.row.Select
	raw := f.get(v.slots.selector)
	sel, err := parseSelector(raw, form.Form)
	if err != nil {
		return // the API server takes none that can't be read
	}
	if raw == "" && form.Absent != All || raw != "" && len(sel) == 0 && form.Empty != All {
		return
	}
	spaces, ok := v.spaces(f)
	if !ok {
		return
	}
	emit(&topo.Link{Selector: &sel, Namespaces: spaces, Disc: f.get(v.slots.disc), Attrs: v.kept(f)})
}

// spaces is the namespaces that a selector looks in, nil for the object's own. It is not ok where they can't be told.
func (v *variant) spaces(f facts) (names []string, ok bool) {
	raw := f.get(v.slots.namespaces)
	switch {
	case v.row.Select.Namespaces == "*" || f.get(v.slots.anywhere) == "true":
		return []string{"*"}, true
	case raw == "" || raw == "[]":
		return nil, true
	case !strings.HasPrefix(raw, "{"):
		return listed(raw), true
	}
	sel, err := parseSelector(raw, LabelSelector)
	if err != nil || len(sel) == 0 {
		return []string{"*"}, err == nil
	}
	return namedSpaces(sel)
}

// namedSpaces is the namespaces that a selector wants by their names.
func namedSpaces(sel topo.Selector) (names []string, ok bool) {
	for i, r := range sel {
		if r.Key != "kubernetes.io/metadata.name" || r.Op != topo.In {
			return nil, false
		}
		if i == 0 {
			names = slices.Clone(r.Values)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(r.Values, n) })
	}
	return names, len(names) > 0
}

// kept is the attributes that the row keeps, without those absent.
func (v *variant) kept(f facts) []topo.Pair {
	var pairs []topo.Pair
	for i, k := range v.row.Keep {
		value := k.Value
		if value == "" {
			value = f.get(v.slots.keep[i])
		}
		if value != "" {
			pairs = append(pairs, topo.Pair{Key: k.Attr, Value: value})
		}
	}
	slices.SortFunc(pairs, func(a, b topo.Pair) int { return cmp.Compare(a.Key, b.Key) })
	return pairs
}
