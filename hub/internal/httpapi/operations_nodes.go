package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

func (a *API) nodes() {
	handle(a, a.onCluster(http.MethodPost, clusterRoot+"/nodes/{node}/cordon", "cordon-node", "Keep new Pods from a node"), a.cordon("cordon", true))
	handle(a, a.onCluster(http.MethodPost, clusterRoot+"/nodes/{node}/uncordon", "uncordon-node", "Let Pods come to a node again"), a.cordon("uncordon", false))
	drain := a.onCluster(http.MethodPost, drainRoute, "drain-node", "Cordon a node and evict its Pods, telling each step")
	drain.Description = "Where Pods may not go by what is asked, it is a CONFLICT that names them, and nothing is done. Otherwise the answer is a stream, of which each line, or " +
		"the data of each event where text/event-stream is accepted, is a DrainStep; the last one is done. A client that leaves stops the drain; the node stays cordoned. " +
		"With dryRun=impact it is one JSON document."
	schemas := a.huma.OpenAPI().Components.Schemas
	drain.Responses = map[string]*huma.Response{"200": {Description: "The steps", Content: map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: schemas.Schema(reflect.TypeFor[ops.DrainStep](), true, "")},
		"text/event-stream":    {Schema: &huma.Schema{Type: huma.TypeString}},
		"application/json":     {Schema: schemas.Schema(reflect.TypeFor[ops.Result](), true, "")},
	}}}
	handle(a, drain, a.drain)
}

// NodePath is a node of a cluster.
type NodePath struct {
	ClusterPath
	Node string `path:"node" doc:"name of the node"`
}

type cordonInput struct {
	NodePath
	DryRunParam
	IfMatch string `header:"If-Match" doc:"the tag (resourceVersion) that the node must have; CONFLICT otherwise"`
}

func (a *API) cordon(via string, cordon bool) func(context.Context, *cordonInput) (*written, error) {
	return func(ctx context.Context, in *cordonInput) (*written, error) {
		t, err := a.target(ctx, in.ClusterPath, via)
		if err != nil {
			return nil, err
		}
		if in.impact() {
			return touches(t.ImpactOf(ctx, fleet.Patch, ops.Place{Kind: "nodes", Name: in.Node}, via))
		}
		q, err := WriteParams{DryRunParam: in.DryRunParam, IfMatch: in.IfMatch}.query()
		if err != nil {
			return nil, err
		}
		return answerTo(t.Cordon(ctx, in.Node, cordon, q))
	}
}

type drainInput struct {
	NodePath
	DryRunParam
	Accept string `header:"Accept" hidden:"true"`
	Body   *struct {
		IgnoreDaemonSets   bool   `json:"ignoreDaemonSets,omitempty" doc:"leave Pods of DaemonSets where they are; otherwise they refuse the drain"`
		DeleteEmptyDirData bool   `json:"deleteEmptyDirData,omitempty" doc:"evict Pods though the data of their emptyDir is lost"`
		Force              bool   `json:"force,omitempty" doc:"evict Pods that nothing makes again"`
		Grace              *int64 `json:"gracePeriodSeconds,omitempty" minimum:"0" doc:"each Pod's own where it isn't given"`
		Timeout            int    `json:"timeoutSeconds,omitempty" minimum:"0" doc:"of the whole; none where it isn't given"`
		PodSelector        string `json:"podSelector,omitempty" doc:"label selector of the Pods that are to go; all where it isn't given"`
		DisableEviction    bool   `json:"disableEviction,omitempty" doc:"delete the Pods, past their disruption budgets"`
	}
}

func (in *drainInput) options() ops.DrainOptions {
	o := ops.DrainOptions{DryRun: in.DryRun == "All"}
	if b := in.Body; b != nil {
		o.IgnoreDaemonSets, o.DeleteEmptyDirData, o.Force, o.Grace = b.IgnoreDaemonSets, b.DeleteEmptyDirData, b.Force, b.Grace
		o.Timeout, o.PodSelector, o.DisableEviction = time.Duration(b.Timeout)*time.Second, b.PodSelector, b.DisableEviction
	}
	return o
}

// drain answers with a problem as long as nothing was done, and with a stream from then on. Until it begins, it has a deadline as other requests have.
func (a *API) drain(ctx context.Context, in *drainInput) (*huma.StreamResponse, error) {
	t, err := a.target(ctx, in.ClusterPath, "drain")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.RequestTimeout)
	defer cancel()
	if in.impact() {
		i, err := t.ImpactOfDrain(ctx, in.Node, in.options())
		return document(&ops.Result{DryRun: "impact", Warnings: []string{}, Impact: i}), err
	}
	d, err := t.Drain(ctx, in.Node, in.options())
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) { a.drained(c, d, strings.Contains(in.Accept, "text/event-stream")) }}, nil
}

// document answers with JSON where there may be a stream instead.
func document(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		_ = encode(c.BodyWriter(), v) // the client may be gone; there is nobody to tell
	}}
}

// drained streams a drain, which ends with its client and with this hub.
func (a *API) drained(c huma.Context, d *ops.Drain, events bool) {
	r, w := humachi.Unwrap(c)
	end, err := a.begin(principalOf(r.Context()))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer end()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	done := make(chan struct{})
	go func() { // ends with this handler, which waits for it
		defer close(done)
		select {
		case <-a.closing:
			cancel(errClosing())
		case <-ctx.Done():
		}
	}()
	s := &steps{w: w, control: http.NewResponseController(w), limit: a.cfg.WriteTimeout, events: events}
	s.begin()
	_ = s.control.SetReadDeadline(time.Time{}) // the options have come, and their deadline would end the drain
	err = d.Run(ctx, a.cfg.PingEvery, s.tell)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		_ = s.tell(ops.DrainStep{Step: ops.StepFailed, At: time.Now().UTC(), Reason: fault.Public(cause).Message})
		_ = s.tell(ops.DrainStep{Step: ops.StepDone, At: time.Now().UTC(), Drained: new(false), Failed: 1})
	} else if err != nil {
		a.cfg.Log.Info("a drain ended with its client", obs.About(r.Context()), zap.Error(err))
	}
	cancel(nil)
	<-done
}

// steps writes a drain, as lines or as events.
type steps struct {
	w       http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	events  bool
}

func (s *steps) begin() {
	kind := "application/x-ndjson"
	if s.events {
		kind = "text/event-stream"
	}
	s.w.Header().Set("Content-Type", kind)
	s.w.Header().Set("X-Accel-Buffering", "no") // proxies that buffer would hold the steps back
	s.w.WriteHeader(http.StatusOK)
}

func (s *steps) tell(step ops.DrainStep) error {
	text, err := json.Marshal(step)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if s.events {
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", step.Step, text)
	} else {
		b.Write(append(text, '\n'))
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(s.limit)) // a writer without deadlines has none to obey
	if _, err := s.w.Write(b.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}
