package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const maxBody = 64 << 10 // bytes

var jsonFormat = huma.Format{Marshal: encode, Unmarshal: json.Unmarshal}

func (a *API) humaConfig() huma.Config {
	c := huma.DefaultConfig("Kubilitics", a.cfg.Version)
	c.Info.Description = "The hub's interface: clusters, their resources and topology, events, streams."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // served here, behind authentication
	c.CreateHooks = nil                                   // no $schema in answers
	c.Transformers = []huma.Transformer{project}
	c.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat} // the second stands for every type that ends in +json
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{"bearer": {}}}
	return c
}

// route says where an operation is and what it is for.
func route(method, path, id, summary, tag string) huma.Operation {
	return huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}, MaxBodyBytes: maxBody}
}

// handle registers an operation; its faults become problems.
func handle[I, O any](a *API, op huma.Operation, fn func(context.Context, *I) (*O, error)) {
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		var same *unmodified
		if err != nil && !errors.As(err, &same) {
			err = a.problem(ctx, err)
		}
		return out, err
	})
}

// answer is a body that may be asked for again by its tag.
type answer[T any] struct {
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Body         T
}

// read registers an operation whose answer is determined by who asks, what for, and the position: asked for again at the same position, it
// costs no more than the look at the position.
func read[I any, O interface{ ReadAt() topo.Position }](a *API, op huma.Operation, fn func(context.Context, fleet.Principal, *I) (O, error)) {
	op.Responses = map[string]*huma.Response{"304": {Description: "Not modified since the answer with the tag in If-None-Match"}}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "If-None-Match", In: "header", Description: "tag of an answer had before", Schema: &huma.Schema{Type: huma.TypeString},
	})
	handle(a, op, func(ctx context.Context, in *I) (*answer[O], error) {
		i := infoOf(ctx)
		if i.match != "" && !drifts(i.uri) {
			at, err := a.cfg.Query.Position(ctx, i.principal.Tenant)
			if err != nil {
				return nil, err
			}
			if tag := a.tag(i, at); matches(i.match, tag) {
				i.answer.Del("Cache-Control") // the usual one, beside which ours would stand
				return nil, &unmodified{tag}
			}
		}
		out, err := fn(ctx, i.principal, in)
		if err != nil {
			return nil, err
		}
		return &answer[O]{ETag: a.tag(i, out.ReadAt()), CacheControl: "private, no-cache", Body: out}, nil
	})
}

// drifts tells that an answer may change though the position doesn't: it is about a time that is counted from now.
func drifts(uri string) bool {
	_, query, _ := strings.Cut(uri, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return true
	}
	ago := slices.ContainsFunc([]string{"at", "from", "to"}, func(key string) bool { return strings.HasPrefix(values.Get(key), "-") })
	q := strings.ToLower(values.Get("q"))
	return ago || strings.Contains(q, "age<") || strings.Contains(q, "age>")
}

// tag names an answer. It is weak: two answers with it mean the same, but the last sign of life of a cluster may differ.
func (a *API) tag(i *info, at topo.Position) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{a.cfg.Version, i.principal.Tenant, i.principal.Bindings, at, a.contactsAt(), i.uri}) // a hash takes everything
	return `W/"` + hex.EncodeToString(h.Sum(nil)[:12]) + `"`
}

func matches(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		if t = strings.TrimSpace(t); strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// unmodified is the answer 304 in the form of an error, as huma wants it.
type unmodified struct{ tag string }

func (u *unmodified) Error() string  { return "not modified" }
func (u *unmodified) GetStatus() int { return http.StatusNotModified }
func (u *unmodified) GetHeaders() http.Header {
	return http.Header{"Etag": {u.tag}, "Cache-Control": {"private, no-cache"}}
}

// rejectUnknown refuses what would otherwise be ignored without a word: a parameter that isn't known, and a second value where
// there can be one.
func (a *API) rejectUnknown(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	known := map[string]bool{}
	for _, p := range ctx.Operation().Parameters {
		if p.In == "query" {
			known[p.Name] = p.Schema != nil && p.Schema.Type == huma.TypeArray && (p.Explode == nil || *p.Explode)
		}
	}
	err := checkParameters(r, known)
	if err == nil {
		err = checkPrecondition(r, ctx.Operation())
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	next(ctx)
}

// checkParameters looks at the query of a request; known tells of each parameter whether it may be repeated.
func checkParameters(r *http.Request, known map[string]bool) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the query can't be read: %v", err)
	}
	bad := fault.New(fault.BadRequest, "the query parameters aren't all valid")
	for name, list := range values {
		many, ok := known[name]
		switch {
		case !ok:
			bad = bad.WithField(name, "%s", unknownName("parameter", name, known))
		case len(list) > 1 && !many:
			bad = bad.WithField(name, "is given %d times; it can have one value", len(list))
		}
	}
	if len(bad.Fields) == 0 {
		return nil
	}
	slices.SortFunc(bad.Fields, func(a, b fault.Field) int { return strings.Compare(a.Name, b.Name) })
	return bad
}

func unknownName(what, name string, known map[string]bool) string {
	best := fault.Nearest(name, slices.Collect(maps.Keys(known)))
	if best == "" {
		return fmt.Sprintf("is no %s here", what)
	}
	return fmt.Sprintf("is no %s here; the nearest is %q", what, best)
}
