package rules

import (
	"errors"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Capture is what one rule wants of an object: at each place that At leads to, the values of Fields. They become a
// topo.Fact with the number of the rule, unless all of them are absent. Scalars are taken as their text, lists and
// objects as JSON.
type Capture struct {
	Rule   uint16
	At     Path
	Fields []Path
	Always bool  // a fact even if all values are absent
	Needs  []int // the fields without which there is no fact
}

// Table is a compiled table of relationships. It implements topo.Rules and never changes.
type Table struct {
	rows     []Row
	variants []variant
	byKind   map[topo.GroupKind][]int // variants; those of every kind under the zero GroupKind, of custom ones under customKind
	owners   []int                    // variants that read owner references
	cluster  []topo.GroupKind
}

// variant is a row at one of its places, for some of its kinds. A context reads fields at the object's root for one that
// stands deeper.
type variant struct {
	row     *Row
	kinds   []topo.GroupKind // empty for all
	at      Path
	fields  []Path
	slots   slots
	context int // the variant that reads the root's fields, or -1
	link    linker
}

// slots says which field is what: an index into a fact's values, -1 for none. Those at the root stand in the fact of
// the context.
type slots struct {
	name, namespace, kind, apiVersion, group slot
	selector, namespaces, anywhere, disc     slot
	keep, where, fields                      []slot
	to, otherwise                            topo.GroupKind
}

type slot struct {
	index int
	root  bool
}

var noSlot = slot{index: -1}

// linker turns a fact of a variant into links.
type linker func(v *variant, r *topo.Resource, f facts, emit func(*topo.Link))

// facts is one fact and that of its context.
type facts struct {
	at   topo.At
	own  []string
	root []string
	link *topo.Link // room for a link, so that not each of a large object's is made anew
}

func (f facts) get(s slot) string {
	values := f.own
	if s.root {
		values = f.root
	}
	if s.index < 0 || s.index >= len(values) {
		return ""
	}
	return values[s.index]
}

// New compiles rows. The error names the row and what is wrong with it.
func New(rows []Row) (*Table, error) {
	t := &Table{rows: slices.Clone(rows), byKind: map[topo.GroupKind][]int{}}
	t.cluster = slices.Concat(clusterScoped, ecosystemScoped)
	seen := map[string]bool{}
	for i := range t.rows {
		row := &t.rows[i]
		if err := check(row); err != nil {
			return nil, err
		}
		if seen[row.Name] {
			return nil, fault.New(fault.BadRequest, "two rules are called %q", row.Name)
		}
		seen[row.Name] = true
		if err := t.compile(row); err != nil {
			return nil, fault.New(fault.BadRequest, "rule %q: %s", row.Name, err.Error())
		}
	}
	return t, nil
}

// Default is the table of what Kubilitics knows, and of the rows given.
func Default(more ...Row) (*Table, error) {
	return New(slices.Concat(defaultRows, more))
}

// Rows lists the rows of the table, for docs, legends and tests.
func (t *Table) Rows() []Row { return slices.Clone(t.rows) }

// Captures lists what to take out of an object of a kind, at a version of its API.
func (t *Table) Captures(gk topo.GroupKind, version string) []Capture {
	var all []Capture
	mine := slices.Concat(t.byKind[topo.GroupKind{}], t.byKind[gk])
	if custom(gk) {
		mine = append(mine, t.byKind[customKind]...)
	}
	for _, i := range mine {
		v := &t.variants[i]
		if gk == secretKind && !v.ofSecret() {
			continue
		}
		if len(v.fields) > 0 && (len(v.row.Versions) == 0 || slices.Contains(v.row.Versions, version)) {
			all = append(all, Capture{
				Rule: uint16(i), At: v.at, Fields: v.fields,
				Always: v.always(), Needs: v.needs(),
			})
		}
	}
	return all
}

// customKind stands for all kinds that Kubernetes doesn't have by itself: "*.*".
var customKind = topo.GroupKind{Group: "*", Kind: "*"}

// custom tells such a kind by its group: a CustomResourceDefinition's has a dot, and k8s.io is Kubernetes' own.
func custom(gk topo.GroupKind) bool {
	return strings.Contains(gk.Group, ".") && !strings.HasSuffix(gk.Group, ".k8s.io")
}

func (t *Table) compile(row *Row) error {
	for _, place := range places(row) {
		at, err := ParsePath(place.at)
		if err != nil {
			return err
		}
		v := variant{row: row, kinds: place.kinds, at: at, context: -1, link: linkers[form(row)]}
		root := variant{row: row, kinds: place.kinds, context: -1}
		if err := v.fill(&root); err != nil {
			return err
		}
		if err := errors.Join(v.keepSecrets(), root.keepSecrets()); err != nil {
			return err
		}
		if len(root.fields) > 0 {
			v.context = t.add(root)
		}
		t.add(v)
	}
	if row.Ref != nil && row.Ref.Cluster {
		t.cluster = append(t.cluster, parseKind(row.Ref.To))
	}
	return nil
}

func (t *Table) add(v variant) int {
	n := len(t.variants)
	t.variants = append(t.variants, v)
	if v.row.Func == "owners" {
		t.owners = append(t.owners, n)
	}
	if len(v.kinds) == 0 {
		t.byKind[topo.GroupKind{}] = append(t.byKind[topo.GroupKind{}], n)
	}
	for _, gk := range v.kinds {
		t.byKind[gk] = append(t.byKind[gk], n)
	}
	return n
}

// place is where a row stands in some kinds.
type place struct {
	kinds []topo.GroupKind
	at    string
}

// templates are the kinds that hold a pod template, by where it is.
var templates = []place{
	{kinds: []topo.GroupKind{
		{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "ReplicaSet"}, {Group: "apps", Kind: "StatefulSet"},
		{Group: "apps", Kind: "DaemonSet"}, {Group: "batch", Kind: "Job"}, {Kind: "ReplicationController"},
		{Group: "argoproj.io", Kind: "Rollout"},
		{Group: "serving.knative.dev", Kind: "Service"}, {Group: "serving.knative.dev", Kind: "Configuration"},
	}, at: "spec.template."},
	{kinds: []topo.GroupKind{{Group: "batch", Kind: "CronJob"}}, at: "spec.jobTemplate.spec.template."},
	{kinds: []topo.GroupKind{{Kind: "PodTemplate"}}, at: "template."},
	{kinds: []topo.GroupKind{{Group: "keda.sh", Kind: "ScaledJob"}}, at: "spec.jobTargetRef.template."},
	{kinds: []topo.GroupKind{{Group: "serving.knative.dev", Kind: "Revision"}}},
}

func places(row *Row) []place {
	var kinds []topo.GroupKind
	for _, k := range row.From {
		if k != "*" {
			kinds = append(kinds, parseKind(k))
		}
	}
	ats := row.At
	if len(ats) == 0 {
		ats = []string{""}
	}
	var all []place
	for _, text := range ats {
		for _, at := range expand(text) {
			all = append(all, place{kinds, at})
			for _, holder := range templates {
				if row.Template {
					all = append(all, place{holder.kinds, holder.at + at})
				}
			}
		}
	}
	return all
}

// fill finds a field for each path of the row; those from the root go to the context.
func (v *variant) fill(root *variant) error {
	var failed error
	path := func(text string) slot {
		s, err := v.field(root, text)
		if err != nil && failed == nil {
			failed = err
		}
		return s
	}
	optional := func(text string) slot {
		if text == "" {
			return noSlot
		}
		return path(text)
	}
	s := &v.slots
	*s = slots{name: noSlot, namespace: noSlot, kind: noSlot, apiVersion: noSlot, group: noSlot, selector: noSlot, namespaces: noSlot, anywhere: noSlot, disc: noSlot}
	if ref := v.row.Ref; ref != nil {
		s.to, s.otherwise = parseKind(ref.To), parseKind(ref.Default)
		s.name = path(ref.Name)
		s.namespace, s.kind = optional(ref.Namespace), optional(ref.Kind)
		s.apiVersion, s.group = optional(ref.APIVersion), optional(ref.Group)
	}
	if sel := v.row.Select; sel != nil {
		s.to = parseKind(sel.To)
		s.selector = path(sel.Path)
		if sel.Namespaces != "*" {
			s.namespaces = optional(sel.Namespaces)
		}
		s.anywhere = optional(sel.Anywhere)
	}
	s.disc = optional(v.row.Disc)
	for _, k := range v.row.Keep {
		s.keep = append(s.keep, optional(k.Path))
	}
	for _, w := range v.row.Where {
		s.where = append(s.where, path(w.Path))
	}
	for _, f := range v.row.Fields {
		s.fields = append(s.fields, path(f))
	}
	return failed
}

func (v *variant) field(root *variant, text string) (slot, error) {
	into, s := v, slot{}
	if rooted, ok := strings.CutPrefix(text, "$."); ok && len(v.at) > 0 {
		into, text, s.root = root, rooted, true
	} else if ok {
		text = rooted
	}
	p, err := ParsePath(text)
	if err != nil {
		return noSlot, err
	}
	if p.lists() > 0 {
		return noSlot, fault.New(fault.BadRequest, "the path %q passes a list: only the paths of \"at\" do", text)
	}
	s.index = slices.IndexFunc(into.fields, func(q Path) bool { return slices.Equal(p, q) })
	if s.index < 0 {
		s.index = len(into.fields)
		into.fields = append(into.fields, p)
	}
	return s, nil
}

// parseKind reads "Deployment.apps".
func parseKind(text string) topo.GroupKind {
	kind, group, _ := strings.Cut(text, ".")
	return topo.GroupKind{Group: group, Kind: kind}
}
