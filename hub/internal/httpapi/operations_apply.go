package httpapi

import (
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"golang.org/x/sync/semaphore"

	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// maxApplied is how many bytes of documents are in memory at once; while they are applied they take about five times as much.
const maxApplied = 2 * ops.MaxDocuments

func (a *API) applying() huma.Operation {
	op := a.object(http.MethodPost, applyRoute, "apply", "Apply documents by server-side apply")
	op.MaxBodyBytes, op.BodyReadTimeout = ops.MaxDocuments, a.cfg.ExportTimeout
	op.Middlewares = append(op.Middlewares, a.roomFor(semaphore.NewWeighted(maxApplied)))
	op.Description = "Documents of YAML, or JSON ones one after the other; Lists are taken apart. Namespaces and definitions of kinds come first, whatever the order, and " +
		"the rest waits for them. What can't be read is a BAD_REQUEST that names the documents, and nothing was applied then. What fails afterwards is told document by " +
		"document: the answer is 200 in any case, and its summary says how many failed."
	return op
}

// roomFor lets no more bodies in than fit, since all of a body is held in memory.
func (a *API) roomFor(bytes *semaphore.Weighted) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(c)
		size := r.ContentLength
		if size < 0 || size > ops.MaxDocuments { // it isn't known, or will be refused when it is read
			size = ops.MaxDocuments
		}
		if !bytes.TryAcquire(size) {
			a.fail(w, r, fault.New(fault.TooManyRequests, "documents of %d bytes are being applied; no more fit into memory", maxApplied).After(2*time.Second))
			return
		}
		defer bytes.Release(size)
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
