package kubefleet

import (
	"encoding/json"
	"maps"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// teller words objects for one answer.
type teller struct {
	*ask
	clusters map[fleet.ClusterID]fleet.Cluster
	columns  []column
	now      time.Time

	object *query.Object // whose text values are
	values any
}

func (a *ask) teller(p *query.ObjectList) *teller {
	t := &teller{ask: a, clusters: p.Clusters, now: time.Now()}
	if !a.where.At.Now() {
		t.now = p.At // ages were what they were then
	}
	if a.as == asTable && !a.kind.events() {
		t.columns = a.columnsOf()
	}
	return t
}

// wholes tells that answers hold what only the objects' texts say.
func (a *ask) wholes() bool {
	return a.as != asTable || a.include == string(metav1.IncludeObject) || len(a.kind.columns[a.Version]) > 0
}

// wants tells whose texts have to be read for an answer of this form.
func (a *ask) wants() func(n *topo.Node) bool {
	whole := a.wholes()
	return func(n *topo.Node) bool { return whole || a.reads(n) }
}

// raw is an object whose parts aren't looked at until they are needed.
type raw map[string]json.RawMessage

func (r raw) set(key string, v any) {
	if text, err := json.Marshal(v); err == nil { // what is set here are words and plain structs
		r[key] = text
	}
}

// whole gives the object in JSON: its text as its cluster shares it, else what the index knows of it; with where and of when it is. version is
// the resourceVersion that it gets.
func (t *teller) whole(o *query.Object, version topo.Position) (json.RawMessage, error) {
	top, meta := t.parts(o)
	meta.set("resourceVersion", strconv.FormatInt(int64(version), 10))
	annotations := map[string]string{}
	_ = json.Unmarshal(meta["annotations"], &annotations) // an object without any has none
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, t.origin(o.Cluster))
	meta.set("annotations", annotations)
	if t.as == asMetadata {
		top = raw{}
		top.set("kind", asMetadata)
		top.set("apiVersion", t.apiVersion())
	}
	top.set("metadata", meta)
	return json.Marshal(top)
}

// parts gives what is known of an object, and of it the metadata.
func (t *teller) parts(o *query.Object) (top, meta raw) {
	if len(o.Text) > 0 && json.Unmarshal(o.Text, &top) == nil && json.Unmarshal(top["metadata"], &meta) == nil && meta != nil && sameUID(meta, o.Node.UID) {
		t.fill(top, meta, o)
		return top, meta
	}
	o.Text = nil
	top, meta = raw{}, raw{}
	top.set("kind", o.Node.Ref.Kind)
	meta.set("annotations", map[string]string{PartialKey: t.why(o)})
	t.fill(top, meta, o)
	if len(o.Owners) > 0 {
		meta.set("ownerReferences", owners(o.Owners))
	}
	if outline := outlines[o.Node.Ref.GroupKind()]; outline != nil {
		spec, status := outline(&o.Node)
		for key, part := range map[string]map[string]any{"spec": spec, "status": status} {
			if len(part) > 0 {
				top.set(key, part)
			}
		}
	}
	return top, meta
}

// why tells why there is no text.
func (t *teller) why(o *query.Object) string {
	if t.clusters[o.Cluster].Share == fleet.ShareTopology {
		return "the cluster shares its topology only"
	}
	return "the object's text hasn't been received"
}

// sameUID tells whether a text is of the object that the row is about, and not of one of that name before it.
func sameUID(meta raw, uid string) bool {
	var have string
	_ = json.Unmarshal(meta["uid"], &have)
	return have == "" || uid == "" || have == uid
}

// fill adds what a text should have and hasn't.
func (t *teller) fill(top, meta raw, o *query.Object) {
	n := &o.Node
	absent := func(r raw, key string, v any, is bool) {
		if _, ok := r[key]; !ok && is {
			r.set(key, v)
		}
	}
	absent(top, "apiVersion", groupVersion(n.Ref.Group, n.Version), true)
	absent(top, "kind", n.Ref.Kind, true)
	absent(meta, "name", n.Ref.Name, true)
	absent(meta, "namespace", n.Ref.Namespace, n.Ref.Namespace != "")
	absent(meta, "uid", n.UID, n.UID != "")
	absent(meta, "creationTimestamp", created(n.Created), n.Created != 0)
	absent(meta, "labels", pairs(n.Labels), len(n.Labels) > 0)
}

func groupVersion(group, version string) string {
	return schema.GroupVersion{Group: group, Version: version}.String()
}

func created(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

func pairs(ps []topo.Pair) map[string]string {
	m := make(map[string]string, len(ps))
	for _, p := range ps {
		m[p.Key] = p.Value
	}
	return m
}

func owners(list []query.Owner) []metav1.OwnerReference {
	out := make([]metav1.OwnerReference, 0, len(list))
	for _, o := range list {
		r := metav1.OwnerReference{APIVersion: groupVersion(o.Ref.Group, o.Version), Kind: o.Ref.Kind, Name: o.Ref.Name, UID: types.UID(o.UID)}
		if o.Controller {
			yes := true
			r.Controller = &yes
		}
		out = append(out, r)
	}
	return out
}

// origin are the annotations that tell where and of when an object is.
func (t *teller) origin(id fleet.ClusterID) map[string]string {
	c := t.clusters[id]
	m := map[string]string{ClusterKey: id.String(), ClusterNameKey: c.Name}
	if since, stale := staleSince(&c); stale {
		m[StaleKey] = since.UTC().Format(time.RFC3339)
	}
	return m
}

// staleSince tells since when what is known of a cluster is as it is, if that isn't now.
func staleSince(c *fleet.Cluster) (time.Time, bool) {
	return c.Freshness.Since, c.Freshness.State == fleet.Stale
}

// slim gives an object's metadata as they stand in a table's row, from the index alone.
func (t *teller) slim(o *query.Object, version topo.Position) (json.RawMessage, error) {
	n := &o.Node
	meta := metav1.ObjectMeta{Name: n.Ref.Name, Namespace: n.Ref.Namespace, UID: types.UID(n.UID), ResourceVersion: strconv.FormatInt(int64(version), 10),
		Labels: pairs(n.Labels), Annotations: t.origin(o.Cluster)}
	if n.Created != 0 {
		meta.CreationTimestamp = metav1.Unix(n.Created, 0)
	}
	return json.Marshal(metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{Kind: asMetadata, APIVersion: t.apiVersion()}, ObjectMeta: meta})
}
