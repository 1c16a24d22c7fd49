// Package search reads the query language in which people look for resources and narrow lists and graphs:
//
//	kind:Pod ns:prod* image:nginx status!=Running cluster:eu-* label.app=web -health:ok restarts>3 age<1h "free text"
//
// All terms hold. A term is a key, an operator and a value, or a word alone, which is looked for in names, labels, images and addresses. A comma
// parts alternatives; * stands for any text and ? for one character, except in quotes; letter case doesn't count. A minus before a term, or !=,
// turns it around.
package search

import (
	"strconv"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of one query.
const (
	MaxLength = 2000 // bytes
	MaxTerms  = 40
	maxValues = 100 // alternatives of a term
)

// Query is what was asked for.
type Query struct {
	Terms    []store.Term
	Clusters []ClusterTerm
}

// ClusterTerm is a condition on the cluster that a resource is in: on its name or id, or on one of its labels.
type ClusterTerm struct {
	Label  string   // "" for the name or id
	Values []string // patterns
	Not    bool
}

// Fits tells whether a cluster fulfils the condition.
func (t ClusterTerm) Fits(name, id string, labels map[string]string) bool {
	candidates := []string{name, id}
	if t.Label != "" {
		value, ok := labels[t.Label]
		if !ok {
			return t.Not
		}
		candidates = []string{value}
	}
	for _, pattern := range t.Values {
		for _, c := range candidates {
			if Match(pattern, c) {
				return !t.Not
			}
		}
	}
	return t.Not
}

// Parse reads a query; now is what ages are counted from. What can't be read is a BadRequest that says where it stands.
func Parse(text string, now time.Time) (Query, error) {
	if len(text) > MaxLength {
		return Query{}, bad("is longer than %d bytes", MaxLength)
	}
	s := scanner{text: text}
	var q Query
	for n := 0; ; n++ {
		t, err := s.next()
		if err != nil {
			return Query{}, err
		}
		if t == nil {
			return q, nil
		}
		if n == MaxTerms {
			return Query{}, bad("has more than %d terms", MaxTerms)
		}
		if err := q.add(t, now); err != nil {
			return Query{}, err
		}
	}
}

func bad(format string, args ...any) error {
	return fault.New(fault.BadRequest, "the query can't be read").WithField("q", format, args...)
}

func (t *term) bad(format string, args ...any) error {
	return bad("at character %d: "+format, append([]any{t.at + 1}, args...)...)
}

func (q *Query) add(t *term, now time.Time) error {
	switch {
	case t.key == "":
		q.Terms = append(q.Terms, store.Term{Key: store.TextKey, Op: store.Like, Values: t.containing(), Not: t.not})
		return nil
	case t.key == "cluster":
		return q.addCluster(t, "")
	case strings.HasPrefix(t.key, "cluster."):
		return q.addCluster(t, t.raw[len("cluster."):])
	case t.key == "label" || strings.HasPrefix(t.key, "label."):
		return q.addLabel(t)
	case strings.HasPrefix(t.key, "attr."):
		return q.addKey(t, Key{Name: t.key, Store: store.AttrKey + t.raw[len("attr."):]})
	case t.key == "age":
		return q.addAge(t, now)
	}
	k, ok := byName[t.key]
	if !ok {
		return t.bad("%s", unknownKey(t.raw))
	}
	return q.addKey(t, k)
}

func (q *Query) addCluster(t *term, label string) error {
	if t.op.compares() {
		return t.bad("clusters aren't compared by %s", t.op)
	}
	q.Clusters = append(q.Clusters, ClusterTerm{Label: label, Values: t.patterns(), Not: t.not})
	return nil
}

// addLabel takes label.KEY=value, label:KEY=value and label:KEY, which asks whether the label is there.
func (q *Query) addLabel(t *term) error {
	key, values := strings.TrimPrefix(t.raw, t.raw[:len("label")]), t.patterns()
	key = strings.TrimPrefix(key, ".")
	if key == "" {
		if len(t.values) != 1 {
			return t.bad("a label is written label.KEY=value, with alternatives for the value")
		}
		name, value, valued := strings.Cut(t.values[0].text, "=")
		key, values = name, []string{"*"}
		if valued {
			values = []string{pattern(value, t.values[0].quoted)}
		}
	}
	op, numbers, err := t.compare()
	if err != nil {
		return err
	}
	if numbers != nil {
		values = numbers
	}
	q.Terms = append(q.Terms, store.Term{Key: store.LabelKey + key, Op: op, Values: values, Not: t.not})
	return nil
}

// addAge turns an age into an instant of creation: the younger, the greater.
func (q *Query) addAge(t *term, now time.Time) error {
	if !t.op.compares() || len(t.values) != 1 {
		return t.bad("an age is compared: age<1h, age>30d")
	}
	age, err := ParseAge(t.values[0].text)
	if err != nil {
		return t.bad("%q is no age; write 90s, 15m, 12h, 30d or 2w", t.values[0].text)
	}
	op := store.Greater
	if t.op == greater || t.op == atLeast {
		op = store.Less
	}
	q.Terms = append(q.Terms, store.Term{Key: store.AgeKey, Op: op, Values: []string{strconv.FormatInt(now.Add(-age).Unix(), 10)}, Not: t.not})
	return nil
}

// ParseAge is time.ParseDuration with days and weeks, "30d" or "2w".
func ParseAge(text string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			count, err := strconv.ParseInt(n, 10, 16)
			return time.Duration(count) * unit, err
		}
	}
	return time.ParseDuration(text)
}

func (q *Query) addKey(t *term, k Key) error {
	op, values, err := t.compare()
	if err != nil {
		return err
	}
	if values == nil {
		values = t.valuesOf(k)
	}
	if k.Words != nil {
		if values, err = t.words(k); err != nil {
			return err
		}
	}
	q.Terms = append(q.Terms, store.Term{Key: k.Store, Op: op, Values: values, Not: t.not})
	return nil
}

func (t *term) valuesOf(k Key) []string {
	if k.Contains && t.op == has {
		return t.containing()
	}
	values := t.patterns()
	if k.Store == "kind" {
		for i, v := range values {
			if long, ok := shortKinds[strings.ToLower(v)]; ok {
				values[i] = long
			}
		}
	}
	return values
}

// words gives the members of a fixed list that the patterns fit.
func (t *term) words(k Key) ([]string, error) {
	if t.op.compares() {
		return nil, t.bad("%s isn't compared by %s", t.raw, t.op)
	}
	var out []string
	for i, p := range t.patterns() {
		found := false
		for _, w := range k.Words {
			if Match(p, w) {
				out, found = append(out, w), true
			}
		}
		if !found {
			return nil, t.bad("%s is never %q; it is one of %s", t.raw, t.values[i].text, strings.Join(k.Words, ", "))
		}
	}
	return out, nil
}

// compare gives the store's operator, and for numbers the value.
func (t *term) compare() (store.TermOp, []string, error) {
	if !t.op.compares() {
		return store.Like, nil, nil
	}
	n, err := strconv.ParseInt(t.values[0].text, 10, 62)
	if err != nil || len(t.values) != 1 {
		return "", nil, t.bad("%s compares with one whole number, not %q", t.op, t.values[0].text)
	}
	op := store.Less
	if t.op == greater || t.op == atLeast {
		op = store.Greater
	}
	switch t.op {
	case atLeast:
		n--
	case atMost:
		n++
	}
	return op, []string{strconv.FormatInt(n, 10)}, nil
}

// Key is a key of the language.
type Key struct {
	Name     string
	Doc      string
	Store    string   // the key of the store's term
	Words    []string // the values there are; nil: any
	Contains bool     // with ":" the value may stand anywhere in the text
	Aliases  []string
}

// Keys are the keys of the language, besides label.KEY, attr.KEY and cluster.KEY, a label of the cluster.
var Keys = []Key{
	{Name: "kind", Doc: "Pod, Deployment.apps; short names as in kubectl", Store: "kind"},
	{Name: "namespace", Doc: "the namespace", Store: "namespace", Aliases: []string{"ns"}},
	{Name: "name", Doc: "part of the name; with = the whole name", Store: "name", Contains: true},
	{Name: "cluster", Doc: "name or id of the cluster"},
	{Name: "status", Doc: "the word kubectl shows: Running, CrashLoopBackOff", Store: "status"},
	{Name: "health", Doc: "how it fares", Store: "health", Words: healthWords()},
	{Name: "presence", Doc: "whether the object is known to be there", Store: "presence", Words: []string{"present", "missing", "unobserved"}},
	{Name: "image", Doc: "part of an image's name", Store: store.ImageKey, Contains: true},
	{Name: "ip", Doc: "part of an address", Store: store.IPKey, Contains: true, Aliases: []string{"address"}},
	{Name: "app", Doc: "the application", Store: store.AppKey, Aliases: []string{"application"}},
	{Name: "node", Doc: "the node a Pod runs on", Store: store.AttrKey + "node"},
	{Name: "release", Doc: "the Helm release, namespace/name", Store: store.AttrKey + "release"},
	{Name: "restarts", Doc: "restarts of a Pod's containers; compared", Store: store.AttrKey + "restarts"},
	{Name: "replicas", Doc: "replicas wanted; compared", Store: store.AttrKey + "replicas"},
	{Name: "group", Doc: "the API group", Store: "group"},
	{Name: "version", Doc: "the API version", Store: "version"},
	{Name: "uid", Doc: "the object's UID", Store: "uid"},
	{Name: "age", Doc: "compared: age<1h, age>30d"},
	{Name: "text", Doc: "anywhere in name, labels, images, addresses", Store: store.TextKey, Contains: true},
}

var byName = func() map[string]Key {
	m := map[string]Key{}
	for _, k := range Keys {
		for _, name := range append([]string{k.Name}, k.Aliases...) {
			m[name] = k
		}
	}
	return m
}()

func healthWords() []string {
	var words []string
	for h := topo.Unknown; h <= topo.Error; h++ {
		words = append(words, h.String())
	}
	return words
}

func unknownKey(key string) string {
	names := []string{"label.KEY", "attr.KEY"}
	for name := range byName {
		names = append(names, name)
	}
	if best := fault.Nearest(key, names); best != "" {
		return strconv.Quote(key) + " is no key; the nearest is " + strconv.Quote(best)
	}
	return strconv.Quote(key) + " is no key; quote the text to look for it as it is"
}

// LookUp gives the store's key that a key of the language stands for.
func LookUp(name string) (string, error) {
	switch {
	case name == "label":
		return store.LabelKey, nil
	case strings.HasPrefix(name, "label."):
		return store.LabelKey + name[len("label."):], nil
	case strings.HasPrefix(name, "attr."):
		return store.AttrKey + name[len("attr."):], nil
	}
	if k, ok := byName[strings.ToLower(name)]; ok && k.Store != "" {
		return k.Store, nil
	}
	return "", fault.New(fault.BadRequest, "values of that key can't be told").WithField("key", "%s", unknownKey(name))
}

// shortKinds are kubectl's short names of kinds, and plurals, as far as they belong to Kubernetes itself.
var shortKinds = func() map[string]string {
	m := map[string]string{}
	for kind, names := range map[string]string{
		"Pod": "po pods", "Service": "svc services", "Deployment": "deploy deployments", "ReplicaSet": "rs replicasets", "StatefulSet": "sts statefulsets",
		"DaemonSet": "ds daemonsets", "ConfigMap": "cm configmaps", "Secret": "secrets", "PersistentVolume": "pv persistentvolumes",
		"PersistentVolumeClaim": "pvc persistentvolumeclaims", "ServiceAccount": "sa serviceaccounts", "Ingress": "ing ingresses", "Namespace": "ns namespaces",
		"Node": "no nodes", "CronJob": "cj cronjobs", "Job": "jobs", "HorizontalPodAutoscaler": "hpa horizontalpodautoscalers",
		"PodDisruptionBudget": "pdb poddisruptionbudgets", "NetworkPolicy": "netpol networkpolicies", "CustomResourceDefinition": "crd crds",
		"ReplicationController": "rc", "StorageClass": "sc storageclasses", "ResourceQuota": "quota", "EndpointSlice": "endpointslices",
		"RoleBinding": "rolebindings", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "ClusterRole": "clusterroles",
	} {
		for name := range strings.FieldsSeq(names) {
			m[name] = kind
		}
	}
	return m
}()
