package httpapi

import (
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	smallBody  = 1 << 20 // bytes; what is longer waits for its turn
	largeSlots = 4       // longer ones that are read and applied at once
)

func (a *API) applying() huma.Operation {
	op := a.object(http.MethodPost, applyRoute, "apply", "Apply documents by server-side apply")
	op.MaxBodyBytes, op.BodyReadTimeout = ops.MaxDocuments, a.cfg.ExportTimeout
	op.Middlewares = append(op.Middlewares, a.fewLarge(make(chan struct{}, largeSlots)))
	op.Description = "Documents of YAML, or JSON ones one after the other; Lists are taken apart. Namespaces and definitions of kinds come first, whatever the order, and " +
		"the rest waits for them. What can't be read is a BAD_REQUEST that names the documents, and nothing was applied then. What fails afterwards is told document by " +
		"document: the answer is 200 in any case, and its summary says how many failed."
	return op
}

// fewLarge lets few requests with a long body in at once, since all of it is held in memory.
func (a *API) fewLarge(slots chan struct{}) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(c)
		if r.ContentLength < 0 || r.ContentLength > smallBody {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			default:
				a.fail(w, r, fault.New(fault.TooManyRequests, "%d long applications are under way; no more fit into memory", largeSlots).After(2*time.Second))
				return
			}
		}
		next(c)
	}
}

type applyInput struct {
	ClusterPath
	DryRunParam
	Validation string `query:"fieldValidation" enum:"Strict,Warn,Ignore" doc:"what becomes of fields that are unknown or given twice; Strict where it isn't given"`
	Force      bool   `query:"force" doc:"take fields from their managers; otherwise such a document fails, and names them"`
	Diff       bool   `query:"diff" doc:"a unified diff against the live object with each document"`
	Namespace  string `query:"namespace" doc:"of documents that name none; default where it isn't given"`
	ObjectBody
}

func (in *applyInput) application() (ops.Application, error) {
	a := ops.Application{
		Text: in.RawBody, Force: in.Force, Diff: in.Diff, Namespace: in.Namespace, Query: ops.Query{DryRun: in.DryRun == "All", Validation: in.Validation},
	}
	kind, _, err := mime.ParseMediaType(or(in.ContentType, "application/yaml"))
	switch {
	case err != nil:
	case kind == "application/json":
		a.JSON = true
		return a, nil
	case kind == "application/yaml", kind == "application/x-yaml", kind == "text/yaml":
		return a, nil
	}
	return a, fault.New(fault.BadRequest, "documents can't be sent as %q", in.ContentType).WithField("Content-Type", "must be application/yaml or application/json")
}

func (a *API) apply(ctx context.Context, in *applyInput) (*body[*ops.Applied], error) {
	what, err := in.application()
	if err != nil {
		return nil, err
	}
	t, err := a.target(ctx, in.ClusterPath, "apply")
	if err != nil {
		return nil, err
	}
	do := t.Apply
	if in.impact() {
		do = t.ImpactOfDocuments
	}
	done, err := do(ctx, what)
	return &body[*ops.Applied]{Body: done}, err
}
