package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	kindRoot   = clusterRoot + "/resources/{group}/{version}/{plural}"
	liveRoot   = clusterRoot + "/live/{group}/{version}/{plural}"
	applyRoute = clusterRoot + "/apply"
	drainRoute = clusterRoot + "/nodes/{node}/drain"

	maxObject = 3 << 20 // bytes of one object, as an API server takes it
)

// operations is what changes clusters, and what is read of them as they are now. All of it goes through the tunnel, and is decided on and recorded there.
func (a *API) operations() {
	handle(a, a.onCluster(http.MethodGet, clusterRoot+"/live/api-resources", "list-live-api-resources", "The kinds of a cluster, as it says itself"), a.liveKinds)
	handle(a, a.onCluster(http.MethodGet, liveRoot, "list-live", "List objects of a kind, from the cluster itself"), a.liveList)
	handle(a, a.onCluster(http.MethodGet, liveRoot+"/{namespace}/{name}", "get-live", "Get an object, from the cluster itself"), a.live)
	handle(a, a.object(http.MethodPost, kindRoot, "create-resource", "Create an object; its namespace is its own"), a.create)
	handle(a, a.object(http.MethodPost, kindRoot+"/{namespace}", "create-resource-in", "Create an object in a namespace"), a.createIn)
	handle(a, a.object(http.MethodPut, resourceRoot, "update-resource", "Replace an object"), a.update)
	handle(a, a.patching(), a.patch)
	handle(a, a.onCluster(http.MethodDelete, resourceRoot, "delete-resource", "Delete an object"), a.delete)
	a.workloads()
	a.nodes()
	handle(a, a.applying(), a.apply)
}

// onCluster is an operation on a live cluster. What a body may take to come is what the whole may take: the deadline of reading it goes on to count when it has
// come, and ends the request then.
func (a *API) onCluster(method, path, id, summary string) huma.Operation {
	op := route(method, path, id, summary, "operations")
	op.BodyReadTimeout = a.cfg.RequestTimeout
	return op
}

// object is an operation that takes an object as JSON or YAML.
func (a *API) object(method, path, id, summary string) huma.Operation {
	op := a.onCluster(method, path, id, summary)
	op.MaxBodyBytes = maxObject
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {}}}
	return op
}

func (a *API) patching() huma.Operation {
	op := a.object(http.MethodPatch, resourceRoot, "patch-resource", "Change an object: by a strategic merge, merge or JSON patch, or by server-side apply, as the content type says")
	op.RequestBody.Content = map[string]*huma.MediaType{}
	for _, kind := range []string{"application/strategic-merge-patch+json", "application/merge-patch+json", "application/json-patch+json"} {
		op.RequestBody.Content[kind] = &huma.MediaType{}
	}
	return op
}

// target is the cluster of a path, for an operation of that name.
func (a *API) target(ctx context.Context, c ClusterPath, via string) (*ops.Target, error) {
	id, err := c.id()
	if err != nil {
		return nil, err
	}
	return a.cfg.Ops.On(callerOf(ctx, via), id)
}

// LivePath is a kind of a cluster, in any of its names.
type LivePath struct {
	ClusterPath
	Group   string `path:"group" doc:"API group; - for the core group, or for whichever has a kind of that name" example:"apps"`
	Version string `path:"version" doc:"API version; - for the preferred one" example:"-"`
	Plural  string `path:"plural" doc:"plural, singular, short name or kind, in any case" example:"deployments"`
}

func (p LivePath) place(namespace, name string) ops.Place {
	return ops.Place{Group: p.Group, Version: p.Version, Kind: p.Plural, Namespace: namespace, Name: name}
}

// ObjectPath is an object of a cluster.
type ObjectPath struct {
	LivePath
	Namespace string `path:"namespace" doc:"- for what has none"`
	Name      string `path:"name"`
}

func (p ObjectPath) object() ops.Place { return p.place(p.Namespace, p.Name) }

// DryRunParam asks what would be, in two ways.
type DryRunParam struct {
	DryRun string `query:"dryRun" enum:"All,impact" doc:"All: the cluster does all but keep it. impact: nothing is sent to it, and the answer is what the topology says this touches"`
}

func (d DryRunParam) impact() bool { return d.DryRun == "impact" }

// WriteParams go beside what is written.
type WriteParams struct {
	DryRunParam
	Validation string `query:"fieldValidation" enum:"Strict,Warn,Ignore" doc:"what becomes of fields that are unknown or given twice; Strict where it isn't given"`
	IfMatch    string `header:"If-Match" doc:"the tag (resourceVersion) that the object must have; CONFLICT otherwise"`
}

func (w WriteParams) query() (ops.Query, error) {
	q := ops.Query{DryRun: w.DryRun == "All", Validation: w.Validation}
	tag := strings.TrimSpace(w.IfMatch)
	switch {
	case tag == "" || tag == "*": // it must be there, which it must anyhow
		return q, nil
	case strings.HasPrefix(tag, "W/") || strings.Contains(tag, ","):
		return q, fault.New(fault.BadRequest, "the tag isn't one of a live object").WithField("If-Match", "must be one tag, as reads below /live and writes give it")
	}
	q.Version = strings.Trim(tag, `"`)
	return q, nil
}

// written is the answer to a write.
type written struct {
	Status int
	ETag   string `header:"ETag"`
	Body   *ops.Result
}

func answerTo(r *ops.Result, err error) (*written, error) {
	if err != nil {
		return nil, err
	}
	out := &written{Status: http.StatusOK, ETag: etag(r.Version), Body: r}
	if r.Outcome == ops.Created && r.DryRun == "" {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func etag(version string) string {
	if version == "" {
		return ""
	}
	return strconv.Quote(version)
}

func touches(i *ops.Touched, err error) (*written, error) {
	if err != nil {
		return nil, err
	}
	return answerTo(&ops.Result{DryRun: "impact", Warnings: []string{}, Impact: i}, nil)
}

// LiveKinds is what a cluster serves.
type LiveKinds struct {
	Items  []ops.Kind `json:"items"`
	Absent []string   `json:"absent" doc:"group versions whose servers don't answer"`
}

func (a *API) liveKinds(ctx context.Context, in *ClusterPath) (*body[LiveKinds], error) {
	t, err := a.target(ctx, *in, "api-resources")
	if err != nil {
		return nil, err
	}
	kinds, absent, err := t.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	return &body[LiveKinds]{Body: LiveKinds{Items: kinds, Absent: append([]string{}, absent...)}}, nil
}

type liveListInput struct {
	LivePath
	Namespace     string `query:"namespace" doc:"all where none is given"`
	LabelSelector string `query:"labelSelector"`
	FieldSelector string `query:"fieldSelector"`
	Limit         int    `query:"limit" minimum:"1" maximum:"5000" doc:"500 where it isn't given"`
	Continue      string `query:"continue" doc:"the token of the page before"`
}

// raw is an answer that is the cluster's own text.
type raw struct {
	ETag string `header:"ETag"`
	Body json.RawMessage
}

func (a *API) liveList(ctx context.Context, in *liveListInput) (*raw, error) {
	t, err := a.target(ctx, in.ClusterPath, "list")
	if err != nil {
		return nil, err
	}
	q := url.Values{"limit": {strconv.Itoa(or(in.Limit, 500))}}
	for key, v := range map[string]string{"labelSelector": in.LabelSelector, "fieldSelector": in.FieldSelector, "continue": in.Continue} {
		if v != "" {
			q.Set(key, v)
		}
	}
	text, err := t.LiveList(ctx, in.place(in.Namespace, ""), q)
	return &raw{Body: text}, err
}

func (a *API) live(ctx context.Context, in *ObjectPath) (*raw, error) {
	t, err := a.target(ctx, in.ClusterPath, "get")
	if err != nil {
		return nil, err
	}
	r, err := t.Live(ctx, in.object())
	if err != nil {
		return nil, err
	}
	return &raw{ETag: etag(r.Version), Body: r.Object}, nil
}

// ObjectBody is an object, as JSON or YAML.
type ObjectBody struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/yaml" required:"true"`
}

func (b ObjectBody) body() ops.Body { return ops.Body{Type: b.ContentType, Text: b.RawBody} }

// CreateInput is what is made of an object, and how.
type CreateInput struct {
	LivePath
	DryRunParam
	Validation string `query:"fieldValidation" enum:"Strict,Warn,Ignore" doc:"what becomes of fields that are unknown or given twice; Strict where it isn't given"`
	ObjectBody
}

func (a *API) create(ctx context.Context, in *CreateInput) (*written, error) {
	return a.createAt(ctx, in, "")
}

type createInInput struct {
	CreateInput
	Namespace string `path:"namespace" doc:"- for what has none"`
}

func (a *API) createIn(ctx context.Context, in *createInInput) (*written, error) {
	return a.createAt(ctx, &in.CreateInput, in.Namespace)
}

func (a *API) createAt(ctx context.Context, in *CreateInput, namespace string) (*written, error) {
	t, err := a.target(ctx, in.ClusterPath, "create")
	if err != nil {
		return nil, err
	}
	if in.impact() {
		return touches(t.ImpactOfNew(ctx, in.place(namespace, ""), in.body()))
	}
	return answerTo(t.Create(ctx, in.place(namespace, ""), in.body(), ops.Query{DryRun: in.DryRun == "All", Validation: in.Validation}))
}

type updateInput struct {
	ObjectPath
	WriteParams
	ObjectBody
}

func (a *API) update(ctx context.Context, in *updateInput) (*written, error) {
	return a.change(ctx, in.ObjectPath, in.WriteParams, "update", fleet.Update, func(t *ops.Target, q ops.Query) (*ops.Result, error) {
		return t.Update(ctx, in.object(), in.body(), q)
	})
}

type patchInput struct {
	ObjectPath
	WriteParams
	Force       bool   `query:"force" doc:"with an apply patch: take fields from their managers"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/apply-patch+yaml" required:"true"`
}

func (a *API) patch(ctx context.Context, in *patchInput) (*written, error) {
	return a.change(ctx, in.ObjectPath, in.WriteParams, "patch", fleet.Patch, func(t *ops.Target, q ops.Query) (*ops.Result, error) {
		return t.Patch(ctx, in.object(), ops.Body{Type: in.ContentType, Text: in.RawBody}, q, in.Force)
	})
}

// change does something to an object, or tells what that would touch, for who may do it.
func (a *API) change(ctx context.Context, at ObjectPath, w WriteParams, via string, verb fleet.Verb, do func(*ops.Target, ops.Query) (*ops.Result, error)) (*written, error) {
	t, err := a.target(ctx, at.ClusterPath, via)
	if err != nil {
		return nil, err
	}
	q, err := w.query()
	if err != nil {
		return nil, err
	}
	if w.impact() {
		return touches(t.ImpactOf(ctx, verb, at.object(), ops.ActionChange))
	}
	return answerTo(do(t, q))
}

type deleteInput struct {
	ObjectPath
	DryRunParam
	IfMatch     string `header:"If-Match" doc:"the tag (resourceVersion) that the object must have; CONFLICT otherwise"`
	Propagation string `query:"propagationPolicy" enum:"Background,Foreground,Orphan" doc:"what becomes of what it owns; the kind's own way where it isn't given"`
	Grace       int64  `query:"gracePeriodSeconds" minimum:"-1" default:"-1" doc:"-1: the object's own"`
	UID         string `query:"uid" doc:"that the object must have; CONFLICT otherwise"`
}

func (a *API) delete(ctx context.Context, in *deleteInput) (*written, error) {
	t, err := a.target(ctx, in.ClusterPath, "delete")
	if err != nil {
		return nil, err
	}
	if in.impact() {
		return touches(t.ImpactOf(ctx, fleet.Delete, in.object(), ops.ActionDelete))
	}
	q, err := WriteParams{DryRunParam: in.DryRunParam, IfMatch: in.IfMatch}.query()
	if err != nil {
		return nil, err
	}
	d := ops.Deletion{Query: q, Propagation: in.Propagation, UID: in.UID}
	if in.Grace >= 0 {
		d.Grace = &in.Grace
	}
	return answerTo(t.Delete(ctx, in.object(), d))
}

// applies tells the path of documents that are applied, before there is a route.
func applies(path string) bool {
	below, ok := strings.CutPrefix(path, "/api/v1/clusters/")
	_, rest, _ := strings.Cut(below, "/")
	return ok && rest == "apply"
}

// bodyLimit is how long a body may be that is kept to compare it with a repetition.
func bodyLimit(path string) int64 {
	switch {
	case applies(path), strings.Contains(path, "/resources/"): // more documents may be applied, but needn't be said to be the same: applied again, they are
		return maxObject
	}
	return maxBody
}
