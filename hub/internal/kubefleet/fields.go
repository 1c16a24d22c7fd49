package kubefleet

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// field is one that objects can be selected by.
type field struct {
	name     string
	of       []string // plurals of the core group; none: every kind
	constant bool     // never changes while the object is there
	value    func(*query.Object) []string
	// push has the index answer a condition; without it objects are looked at one by one.
	push func(*query.Where, condition)
	// text tells whose value stands in the object's text alone.
	text func(*topo.Node) bool
}

// condition is one part of a field selector.
type condition struct {
	*field
	want string
	not  bool
}

func (c condition) fits(o *query.Object) bool {
	have := c.value(o)
	return (slices.Contains(have, c.want) || c.want == "" && len(have) == 0) != c.not
}

// theFields are what kubectl's users know, and two of the hub's own.
var theFields = []*field{
	{name: "metadata.name", constant: true, value: one(func(n *topo.Node) string { return n.Ref.Name }), push: asField("name")},
	{name: "metadata.namespace", constant: true, value: one(func(n *topo.Node) string { return n.Ref.Namespace }), push: asField("namespace")},
	{name: "health", value: one(func(n *topo.Node) string { return n.Health.String() }), push: asField("health")},
	{name: "status", value: one(func(n *topo.Node) string { return n.Status }), push: asField("status")},
	{name: "spec.nodeName", of: []string{"pods"}, value: listed("node"), push: asTerm(store.AttrKey + "node")},
	{name: "status.podIP", of: []string{"pods"}, value: listed("ip"), push: asTerm(store.IPKey)},
	{name: "status.phase", of: []string{"pods"}, value: phase, text: func(n *topo.Node) bool { return phaseBy[n.Status] == "" }},
	{name: "status.phase", of: []string{"namespaces", "persistentvolumes", "persistentvolumeclaims"}, value: one(func(n *topo.Node) string { return n.Status }), push: asField("status")},
	{name: "type", of: []string{"secrets"}, value: listed("type"), push: asTerm(store.AttrKey + "type")},
}

func (k *kind) field(name string) *field {
	for _, f := range theFields {
		if f.name == name && k.has(f) {
			return f
		}
	}
	return nil
}

func (k *kind) has(f *field) bool {
	return len(f.of) == 0 || k.Group == "" && slices.Contains(f.of, k.Plural)
}

func (k *kind) fieldNames() []string {
	names := []string{clusterField}
	for _, f := range theFields {
		if k.has(f) {
			names = append(names, f.name)
		}
	}
	return names
}

func one(get func(*topo.Node) string) func(*query.Object) []string {
	return func(o *query.Object) []string { return []string{get(&o.Node)} }
}

// listed are the values of an attribute, which holds several with spaces between.
func listed(attr string) func(*query.Object) []string {
	return func(o *query.Object) []string {
		v, _ := topo.Value(o.Node.Attrs, attr)
		return strings.Fields(v)
	}
}

func asField(key string) func(*query.Where, condition) {
	return func(w *query.Where, c condition) {
		op := "="
		if c.not {
			op = "!="
		}
		if w.Fields != "" {
			w.Fields += ","
		}
		w.Fields += key + op + fields.EscapeValue(c.want)
	}
}

var patternEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)

// asTerm asks for an attribute; that it is empty is the same as that there is none.
func asTerm(key string) func(*query.Where, condition) {
	return func(w *query.Where, c condition) {
		t := store.Term{Key: key, Op: store.Like, Values: []string{patternEscaper.Replace(c.want)}, Not: c.not}
		if c.want == "" {
			t.Values, t.Not = []string{"?*"}, !c.not
		}
		w.Terms = append(w.Terms, t)
	}
}

// phaseBy tells a Pod's phase by the word that kubectl shows, where the word leaves no doubt.
var phaseBy = map[string]string{
	"Pending": "Pending", "Running": "Running", "Succeeded": "Succeeded", "Completed": "Succeeded", "Failed": "Failed", "Evicted": "Failed",
	"ContainerCreating": "Pending", "PodInitializing": "Pending", "SchedulingGated": "Pending",
}

// phase is a Pod's: as its text says, else as its word lets one think.
func phase(o *query.Object) []string {
	if p := phaseBy[o.Node.Status]; p != "" {
		return []string{p}
	}
	var text struct {
		Status struct{ Phase string }
	}
	if len(o.Text) > 0 && json.Unmarshal(o.Text, &text) == nil && text.Status.Phase != "" {
		return []string{text.Status.Phase}
	}
	return []string{phaseOf(&o.Node)}
}

// phaseOf guesses where there is no text: what has a word like CrashLoopBackOff runs, and what hasn't an address doesn't yet.
func phaseOf(n *topo.Node) string {
	if p := phaseBy[n.Status]; p != "" {
		return p
	}
	ip, _ := topo.Value(n.Attrs, "ip")
	switch {
	case n.Status == "Unknown":
		return "Unknown"
	case strings.HasPrefix(n.Status, "Init:") || ip == "":
		return "Pending"
	default:
		return "Running"
	}
}
