package ops

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Outcomes of a write.
const (
	Created    = "created"
	Configured = "configured"
	Unchanged  = "unchanged"
	Deleted    = "deleted"
	Deleting   = "deleting"
	Failed     = "failed"
	Unchecked  = "unchecked"
)

// Place is an object, or with no name a kind, in the words of whoever asks.
type Place struct {
	Group, Version, Kind string // "-" or "" leave it open; Kind is any of its names
	Namespace, Name      string // "-" is none
}

// Result is what came of a write.
type Result struct {
	Outcome  string          `json:"outcome,omitempty" enum:"created,configured,unchanged,deleted,deleting" doc:"deleting: it goes once its grace period is over or its finalizers are done; absent with dryRun=impact"`
	DryRun   string          `json:"dryRun,omitempty" enum:"All,impact" doc:"that it wasn't done, as was asked"`
	Object   json.RawMessage `json:"object,omitempty" doc:"the object as it is now, as the cluster says"`
	Warnings []string        `json:"warnings" doc:"what the cluster remarks"`
	Impact   *Touched        `json:"impact,omitempty" doc:"with dryRun=impact: what the topology says this touches"`
	Version  string          `json:"-"` // the object's resourceVersion
}

// found is a place that was looked up.
type found struct {
	Kind
	namespace, name string
}

// Locate looks a place up, before anything is decided by it. What has no namespace is asked for with none, what has one with one.
func (t *Target) locate(ctx context.Context, p Place) (found, error) {
	k, err := t.Resolve(ctx, p.Group, p.Version, p.Kind)
	if err != nil {
		return found{}, err
	}
	return k.in(p)
}

func (k Kind) in(p Place) (found, error) {
	f := found{k, undash(p.Namespace), undash(p.Name)}
	switch {
	case !k.Namespaced && f.namespace != "":
		return f, fault.New(fault.BadRequest, "%s have no namespace", k.Resource()).WithField("namespace", "must be -")
	case k.Namespaced && f.namespace == "" && f.name != "":
		return f, fault.New(fault.BadRequest, "%s are in namespaces", k.Resource()).WithField("namespace", "must be given")
	}
	return f, nil
}

func (f found) call(method string) call {
	return call{method: method, kind: f.Kind, namespace: f.namespace, name: f.name}
}

// Live is an object as it is in the cluster now.
func (t *Target) Live(ctx context.Context, p Place) (*Result, error) {
	f, err := t.locate(ctx, p)
	if err != nil {
		return nil, err
	}
	got, err := t.do(ctx, f.call(http.MethodGet))
	if err != nil {
		return nil, err
	}
	return result(got, "")
}

// LiveList is a page of a kind's objects as they are in the cluster now: a List as the cluster gives it.
func (t *Target) LiveList(ctx context.Context, p Place, query url.Values) (json.RawMessage, error) {
	f, err := t.locate(ctx, p)
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodGet)
	c.query = query
	got, err := t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	return got.body, nil
}

// Body is what is sent of an object, and as what.
type Body struct {
	Type string // media type
	Text []byte
}

// plain reads the media type of a whole object, which is JSON or YAML.
func (b Body) plain() (string, error) {
	kind, _, err := mime.ParseMediaType(or(b.Type, "application/json"))
	switch {
	case err == nil && slices.Contains([]string{"application/yaml", "application/x-yaml", "text/yaml"}, kind):
		return "application/yaml", nil
	case err == nil && kind == "application/json":
		return kind, nil
	}
	return "", fault.New(fault.BadRequest, "an object can't be sent as %q", b.Type).WithField("Content-Type", "must be application/json or application/yaml")
}

// patchTypes are those of Kubernetes.
var patchTypes = []string{string(types.StrategicMergePatchType), string(types.MergePatchType), string(types.JSONPatchType), string(types.ApplyYAMLPatchType)}

func (b Body) patch() (string, error) {
	kind, _, err := mime.ParseMediaType(b.Type)
	if err != nil || !slices.Contains(patchTypes, kind) {
		return "", fault.New(fault.BadRequest, "%q is no kind of patch", b.Type).WithField("Content-Type", "must be one of %v", patchTypes)
	}
	return kind, nil
}

// Create makes an object. Its namespace is that of the place, or its own where the place has none.
func (t *Target) Create(ctx context.Context, p Place, b Body, q Query) (*Result, error) {
	f, b, err := t.incoming(ctx, p, b)
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodPost)
	c.name, c.query, c.contentType, c.body = "", q.values(), b.Type, b.Text
	return t.write(ctx, c, q)
}

// incoming looks at an object that is to be made: where it belongs.
func (t *Target) incoming(ctx context.Context, p Place, b Body) (found, Body, error) {
	media, err := b.plain()
	if err != nil {
		return found{}, b, err
	}
	b.Type = media
	f, err := t.locate(ctx, p)
	if err != nil {
		return f, b, err
	}
	var o object
	if err := yaml.Unmarshal(b.Text, &o); err != nil {
		return f, b, fault.Wrap(err, fault.BadRequest, "the object can't be read: %v", err)
	}
	f.name = o.Name
	if f.Namespaced && f.namespace == "" {
		f.namespace = o.Namespace
	}
	if f.Namespaced && f.namespace == "" {
		return f, b, fault.New(fault.BadRequest, "neither the path nor the object says in which namespace it is to be").WithField("metadata.namespace", "must be given")
	}
	return f, b, nil
}

// Update replaces an object by another.
func (t *Target) Update(ctx context.Context, p Place, b Body, q Query) (*Result, error) {
	media, err := b.plain()
	if err != nil {
		return nil, err
	}
	f, err := t.locate(ctx, p)
	if err != nil {
		return nil, err
	}
	if q.Version != "" && media == "application/yaml" {
		if b.Text, err = yaml.YAMLToJSONStrict(b.Text); err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "the object can't be read: %v", err)
		}
		media = "application/json"
	}
	c := f.call(http.MethodPut)
	c.query, c.contentType = q.values(), media
	if c.body, err = withVersion(b.Text, q.Version); err != nil {
		return nil, err
	}
	return t.write(ctx, c, q)
}

// Patch changes an object as a patch says, of any of the four kinds that Kubernetes knows. Force takes fields from their managers, with an apply patch.
func (t *Target) Patch(ctx context.Context, p Place, b Body, q Query, force bool) (*Result, error) {
	media, err := b.patch()
	if err != nil {
		return nil, err
	}
	f, err := t.locate(ctx, p)
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodPatch)
	c.query, c.contentType = q.values(), media
	if force {
		if media != string(types.ApplyYAMLPatchType) {
			return nil, fault.New(fault.BadRequest, "only a patch that applies can be forced").WithField("force", "needs the content type %s", types.ApplyYAMLPatchType)
		}
		c.query.Set("force", "true")
	}
	if c.body, err = patchWithVersion(b.Text, media, q.Version); err != nil {
		return nil, err
	}
	return t.write(ctx, c, q)
}

// patchWithVersion makes a patch fail with a conflict where the object isn't the one that is meant.
func patchWithVersion(text []byte, media, version string) ([]byte, error) {
	if version == "" {
		return text, nil
	}
	switch types.PatchType(media) {
	case types.JSONPatchType:
		var steps []json.RawMessage
		if err := json.Unmarshal(text, &steps); err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "the patch can't be read: %v", err)
		}
		step, err := json.Marshal(map[string]string{"op": "replace", "path": "/metadata/resourceVersion", "value": version})
		if err != nil {
			return nil, err
		}
		return json.Marshal(append([]json.RawMessage{step}, steps...))
	case types.ApplyYAMLPatchType:
		var err error
		if text, err = yaml.YAMLToJSONStrict(text); err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "the patch can't be read: %v", err)
		}
	}
	return withVersion(text, version)
}

// withVersion writes the resourceVersion into an object's text. The rest of it stays as it is, to the digit.
func withVersion(text []byte, version string) ([]byte, error) {
	if version == "" {
		return text, nil
	}
	whole, metadata := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	err := json.Unmarshal(text, &whole)
	if own, ok := whole["metadata"]; ok && err == nil {
		err = json.Unmarshal(own, &metadata)
	}
	if err != nil || whole == nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the object can't be read: %v", err)
	}
	if metadata == nil { // null
		metadata = map[string]json.RawMessage{}
	}
	if metadata["resourceVersion"], err = json.Marshal(version); err != nil {
		return nil, err
	}
	if whole["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	return json.Marshal(whole)
}

// write sends a change and words what came of it.
func (t *Target) write(ctx context.Context, c call, q Query) (*Result, error) {
	got, err := t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	outcome := Configured
	if got.created() {
		outcome = Created
	}
	r, err := result(got, outcome)
	if err != nil {
		return nil, err
	}
	if q.Version != "" && r.Version == q.Version && !q.DryRun {
		r.Outcome = Unchanged
	}
	if q.DryRun {
		r.DryRun = metav1.DryRunAll
	}
	return r, nil
}

func result(got *reply, outcome string) (*Result, error) {
	o, err := read[object](got.body)
	if err != nil {
		return nil, err
	}
	return &Result{Outcome: outcome, Object: got.body, Warnings: notNil(got.warnings), Version: o.ResourceVersion}, nil
}

// Deletion says how something goes.
type Deletion struct {
	Query
	Propagation string // Background, Foreground or Orphan; "" is the kind's own way
	Grace       *int64 // seconds
	UID         string // that it must have
}

// Delete deletes an object.
func (t *Target) Delete(ctx context.Context, p Place, d Deletion) (*Result, error) {
	f, err := t.locate(ctx, p)
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodDelete)
	c.contentType = "application/json"
	if d.DryRun {
		c.query = url.Values{"dryRun": {metav1.DryRunAll}} // the body counts for the cluster, the query is what the record shows
	}
	if c.body, err = json.Marshal(d.options()); err != nil {
		return nil, err
	}
	got, err := t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	return deleted(got, d.DryRun)
}

func (d Deletion) options() metav1.DeleteOptions {
	o := metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}, GracePeriodSeconds: d.Grace}
	if d.Propagation != "" {
		o.PropagationPolicy = new(metav1.DeletionPropagation(d.Propagation))
	}
	if d.UID != "" || d.Version != "" {
		o.Preconditions = &metav1.Preconditions{}
	}
	if d.UID != "" {
		o.Preconditions.UID = new(types.UID(d.UID))
	}
	if d.Version != "" {
		o.Preconditions.ResourceVersion = new(d.Version)
	}
	if d.DryRun {
		o.DryRun = []string{metav1.DryRunAll}
	}
	return o
}

// deleted tells what is gone from what goes yet.
func deleted(got *reply, dryRun bool) (*Result, error) {
	r, err := result(got, Deleted)
	if err != nil {
		return nil, err
	}
	o, err := read[object](got.body)
	if err != nil {
		return nil, err
	}
	if o.Kind == "Status" {
		r.Object, r.Version = nil, ""
	} else if grace := o.DeletionGracePeriodSeconds; len(o.Finalizers) > 0 || grace != nil && *grace > 0 {
		r.Outcome = Deleting
	}
	if dryRun {
		r.DryRun = metav1.DryRunAll
	}
	return r, nil
}
