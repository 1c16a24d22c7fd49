package httpapi

import (
	"context"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// Bundle packs what the hub tells of itself, under a directory of that name, for whom it may be told: else Forbidden, before anything is written.
type Bundle func(ctx context.Context, by fleet.Principal, name string) (write func(io.Writer) error, err error)

const bundleType = "application/gzip"

func (a *API) debug() {
	op := route(http.MethodGet, "/api/v1/debug/bundle", "get-debug-bundle", "What this replica of the hub tells of itself, without secrets, as one archive for those who help", "system")
	op.Description = "A gzipped tar: versions, the configuration with secrets masked, sizes of the database, clusters and sessions, plugins, metrics, goroutines, the heap's profile and the " +
		"newest lines of the log. Needs the verb admin on all clusters and namespaces of the tenant that the hub was started for."
	op.Responses = map[string]*huma.Response{"200": {Description: "The archive", Content: map[string]*huma.MediaType{bundleType: {}}}}
	handle(a, op, a.bundle)
}

func (a *API) bundle(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	p, err := administrator(ctx)
	if err != nil {
		return nil, err
	}
	if a.cfg.Bundle == nil {
		return nil, fault.New(fault.NotFound, "this hub makes no bundles")
	}
	name := "kubilitics-debug-" + time.Now().UTC().Format("20060102-150405")
	write, err := a.cfg.Bundle(ctx, p, name)
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Info("a debug bundle is made", obs.About(ctx), zap.String("by", p.Name))
	return &huma.StreamResponse{Body: func(out huma.Context) {
		out.SetHeader("Content-Type", bundleType)
		out.SetHeader("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name + ".tar.gz"}))
		if err := write(out.BodyWriter()); err != nil {
			a.cfg.Log.Info("a debug bundle was broken off", obs.About(ctx), zap.Error(err))
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
