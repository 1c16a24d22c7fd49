package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// huma makes its errors through these two functions, which are the process's. What is set is the same for every API.
func init() {
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return foreign(status, msg, infoOf(ctx.Context()).id, errs)
	}
	huma.DefaultArrayNullable = false // lists are empty, never null
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError { return foreign(status, msg, "", errs) }
}

// Problem is the document of RFC 9457, as huma takes it from a handler.
type Problem struct{ httpfault.Problem }

// Error is the sentence.
func (p *Problem) Error() string { return p.Message }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is what goes beside the document.
func (p *Problem) GetHeaders() http.Header { return p.Header() }

// ContentType is always that of problems.
func (p *Problem) ContentType(string) string { return httpfault.ContentType }

// foreign makes a problem of what huma found wrong with a request. 422 is told as 400: to a client both are bad input.
func foreign(status int, msg, requestID string, errs []error) *Problem {
	f := fault.New(httpfault.Code(status), "%s", msg)
	for _, err := range errs {
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			detail := d.ErrorDetail()
			f = f.WithField(fieldName(detail.Location), "%s", detail.Message)
		} else if err != nil {
			f = f.WithField("", "%s", err.Error())
		}
	}
	p := &Problem{*httpfault.Of(f, requestID)}
	if status != http.StatusUnprocessableEntity && status >= 400 {
		p.Status, p.Title = status, http.StatusText(status)
	}
	return p
}

// fieldName turns "query.limit" and "body.labels.x" into what the client wrote.
func fieldName(location string) string {
	for _, prefix := range []string{"query.", "path.", "body.", "header."} {
		if name, ok := strings.CutPrefix(location, prefix); ok {
			return name
		}
	}
	return location
}

// problem is what the client is told of err; what it isn't told is logged, once, here.
func (a *API) problem(ctx context.Context, err error) *Problem {
	info := infoOf(ctx)
	if fault.Is(err, fault.Internal) {
		path, _, _ := strings.Cut(info.uri, "?") // what somebody looks for is nobody else's business
		a.cfg.Log.Error("a request failed", obs.About(ctx), zap.String("path", path), zap.Error(err))
	}
	return &Problem{*httpfault.Of(err, info.id)}
}

// fail answers with a problem where no huma operation does.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	a.write(w, a.problem(r.Context(), err))
}

func (a *API) write(w http.ResponseWriter, p *Problem) {
	for k, v := range p.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", httpfault.ContentType)
	w.WriteHeader(p.Status)
	_ = encode(w, p.Problem) // the client may be gone; there is nobody to tell
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
