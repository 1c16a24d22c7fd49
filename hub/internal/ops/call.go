package ops

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// call is one request to a cluster about an object or a kind.
type call struct {
	method      string
	kind        Kind
	namespace   string
	name        string
	subresource string
	query       url.Values
	accept      string // "" is JSON
	contentType string
	body        []byte
	once        bool // isn't sent again when the cluster asks to come back later
}

// reply is what came of it.
type reply struct {
	body     []byte
	status   int
	warnings []string
}

func (r *reply) created() bool { return r.status == http.StatusCreated }

// do sends a request. What the cluster, or what stands before it, refuses is a fault with the Status's own sentence.
func (t *Target) do(ctx context.Context, c call) (*reply, error) {
	req := t.rest.Verb(c.method).AbsPath(c.kind.root()).NamespaceIfScoped(c.namespace, c.kind.Namespaced && c.namespace != "").
		Resource(c.kind.Plural).SetHeader("Accept", or(c.accept, "application/json"))
	if c.name != "" {
		req = req.Name(c.name)
	}
	if c.subresource != "" {
		req = req.SubResource(c.subresource)
	}
	for key, values := range c.query {
		for _, v := range values {
			req = req.Param(key, v)
		}
	}
	if c.body != nil {
		req = req.Body(c.body).SetHeader("Content-Type", c.contentType)
	}
	if c.once {
		req = req.MaxRetries(0)
	}
	if err := req.Error(); err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "no request can be made of that: %v", err)
	}
	res := req.Do(ctx)
	out := &reply{}
	res.StatusCode(&out.status)
	for _, w := range res.Warnings() {
		out.warnings = append(out.warnings, w.Text)
	}
	if err := res.Error(); err != nil {
		return out, translate(ctx, err)
	}
	var err error
	out.body, err = res.Raw()
	return out, err
}

// translate makes a fault of what a client of Kubernetes reports.
func translate(ctx context.Context, err error) error {
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status) && status.Status().Code > 0:
		return refusal(status.Status(), err)
	case ctx.Err() != nil:
		return fault.Wrap(err, fault.Unavailable, "the operation was cut off before the cluster answered; it may have been done")
	case err != nil && fault.CodeOf(err) == fault.Internal:
		return fault.Wrap(err, fault.Unavailable, "the cluster's answer was lost on its way; what was asked may have been done")
	}
	return err
}

// refusal words a Status. Its causes name fields, as our own faults do.
func refusal(s metav1.Status, cause error) *fault.Error {
	f := fault.Wrap(cause, httpfault.Code(int(s.Code)), "%s", s.Message)
	if s.Message == "" {
		f.Message = "the cluster refuses this: " + string(s.Reason)
	}
	if s.Code == http.StatusInternalServerError && strings.HasPrefix(s.Message, "failed to create typed ") { // what was sent isn't of its type, and the API server words that as a failure of its own
		f.Code = fault.BadRequest
	}
	if s.Details == nil {
		return f
	}
	for _, c := range s.Details.Causes {
		f = f.WithField(c.Field, "%s", c.Message)
	}
	return f.After(time.Duration(s.Details.RetryAfterSeconds) * time.Second)
}

// statusOf is the Status that err was, if it was one.
func statusOf(err error) metav1.Status {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status()
	}
	return metav1.Status{}
}

// object is as much of an object as is needed of any.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

func read[T any](body []byte) (*T, error) {
	out := new(T)
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the cluster's answer can't be read")
	}
	return out, nil
}

// Query is what goes beside most writes.
type Query struct {
	DryRun     bool   // the cluster does all but keep it
	Validation string // Strict where it is empty, Warn or Ignore: what becomes of unknown and repeated fields
	Version    string // the resourceVersion that the object must have; "" is any
}

// values words it for the cluster.
func (q Query) values() url.Values {
	v := url.Values{"fieldManager": {Manager}, "fieldValidation": {or(q.Validation, "Strict")}}
	if q.DryRun {
		v.Set("dryRun", metav1.DryRunAll)
	}
	return v
}

func or(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

// fieldValues leaves out of a list what isn't there.
func nonEmpty(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), " ")
}
