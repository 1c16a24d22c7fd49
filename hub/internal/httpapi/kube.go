package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubefleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// KubeRoot is what the paths of Kubernetes APIs begin with here.
const KubeRoot = "/k8s/"

// Kube is the handler of everything below "/k8s/": the Kubernetes APIs of clusters and of the fleet. It stands apart from the product's interface,
// because nothing may be done to its requests on the way, and because its errors are Statuses.
func (a *API) Kube() http.Handler {
	return a.origins.handler()(http.HandlerFunc(a.serveKube))
}

// serveKube gives a request its id and its caller, and notes how it went.
func (a *API) serveKube(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	by := kubeproxy.Caller{From: a.clientOf(r), Agent: r.UserAgent(), Request: r.Header.Get(requestIDHeader), Via: "kubernetes"}
	if !goodRequestID.MatchString(by.Request) {
		by.Request = newRequestID()
	}
	w.Header().Set(requestIDHeader, by.Request)
	if r.ProtoMajor == 1 { // what the product's interface left on the connection isn't meant for what may last
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // not every writer can; then it has no deadline
	}
	ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
	if ctx, span := a.trace(r); ctx != r.Context() {
		r = r.WithContext(ctx)
		route := kubeRoute(r.URL.Path)
		defer func() { traced(span, r.Method, route, by.Request, ww.Status()) }()
	}
	defer func() {
		if e := a.cfg.Log.Check(zap.DebugLevel, "kubernetes request"); e != nil {
			e.Write(zap.String("request", by.Request), obs.Trace(r.Context()), zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Int("status", ww.Status()),
				zap.Duration("took", time.Since(began)), zap.String("principal", by.Principal.Name), zap.String("from", by.From))
		}
	}()
	defer a.recoverKube(r.Context(), ww, by.Request)
	if wantsToPass(r.Header) { // it is dropped; whoever believes to be less than they are must not act in silence
		w.Header().Add("Warning", `299 - "impersonation isn't passed on by this hub: you act as yourself"`)
	}
	var err error
	if by.Principal, err = a.kubeCaller(r); err == nil {
		err = a.toKube(ww, r, by)
	}
	if err != nil {
		a.failKube(r.Context(), ww, by.Request, err)
	}
}

// kubeRoute is what of a path doesn't name anything.
func kubeRoute(path string) string {
	switch {
	case strings.HasPrefix(path, KubeRoot+"clusters/"):
		return KubeRoot + "clusters/{cluster}/*"
	case strings.HasPrefix(path, KubeRoot+"fleet"):
		return KubeRoot + "fleet/*"
	default:
		return "none"
	}
}

// wantsToPass tells that the client asks to be taken for somebody else, as kubectl does with --as.
func wantsToPass(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Impersonate-") {
			return true
		}
	}
	return false
}

// recoverKube answers what a bug leaves unanswered, and logs where it is.
func (a *API) recoverKube(ctx context.Context, w middleware.WrapResponseWriter, id string) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler { //nolint:errorlint // the server compares it in this way too
		a.cfg.Log.Error("a handler panicked", zap.String("request", id), obs.Trace(ctx), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		if w.Status() == 0 {
			kube.WriteStatus(w, fault.New(fault.Internal, "something failed here; the log has the details under the request's id %s", id))
			return
		}
	}
	panic(http.ErrAbortHandler) // an answer has begun: only cutting it off tells that it isn't whole
}

func (a *API) failKube(ctx context.Context, w http.ResponseWriter, id string, err error) {
	if fault.Is(err, fault.Internal) {
		a.cfg.Log.Error("a request failed", zap.String("request", id), obs.Trace(ctx), zap.Error(err))
	}
	kube.WriteStatus(w, err)
}

// kubeBearer begins the subprotocol by which Kubernetes lets browsers send a token with a WebSocket.
const kubeBearer = "base64url.bearer.authorization.k8s.io."

// kubeCaller finds out who asks. A token that came as a subprotocol is taken out: nobody behind this hub may see it.
func (a *API) kubeCaller(r *http.Request) (fleet.Principal, error) {
	if token := takeProtocolToken(r.Header); token != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	select {
	case a.strangers <- struct{}{}:
	default:
		return fleet.Principal{}, fault.New(fault.TooManyRequests, "too many requests are being authenticated").After(time.Second)
	}
	defer func() { <-a.strangers }()
	return a.whoSends(r)
}

func takeProtocolToken(h http.Header) (token string) {
	const name = "Sec-Websocket-Protocol"
	var kept []string
	for _, line := range h.Values(name) {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			text, ours := strings.CutPrefix(p, kubeBearer)
			switch {
			case ours:
				raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
				if err == nil {
					token = string(raw)
				}
			case strings.HasPrefix(p, bearerProtocol): // the product's own
			default:
				kept = append(kept, p)
			}
		}
	}
	if h.Del(name); len(kept) > 0 {
		h.Set(name, strings.Join(kept, ", "))
	}
	return token
}

// toKube shows a request to whose API it is for, with a path as it would be there. Its error is one that wasn't answered yet.
func (a *API) toKube(w middleware.WrapResponseWriter, r *http.Request, by kubeproxy.Caller) error {
	const clusters, all = KubeRoot + "clusters/", KubeRoot + "fleet"
	if rest, ok := strings.CutPrefix(r.URL.Path, clusters); ok {
		name, _, _ := strings.Cut(rest, "/")
		within, err := below(r, clusters+name)
		if err != nil {
			return a.astray(r, by, err)
		}
		id, err := fleet.ParseClusterID(name)
		if err != nil {
			return a.astray(r, by, fault.New(fault.NotFound, "there is no cluster %q: the path must be %s{id of a cluster}/api/…", name, clusters))
		}
		a.cfg.Kube.Serve(w, within, by, id)
		return nil
	}
	if r.URL.Path == all || strings.HasPrefix(r.URL.Path, all+"/") {
		within, err := below(r, all)
		if err != nil {
			return a.astray(r, by, err)
		}
		return a.toFleet(w, within, by)
	}
	return a.astray(r, by, fault.New(fault.NotFound, "there is nothing at %s: the path must begin with %s{id of a cluster}/ or %s/", r.URL.Path, clusters, all))
}

// astray puts on record what was for nobody here, and gives why.
func (a *API) astray(r *http.Request, by kubeproxy.Caller, why error) error {
	entry, err := a.cfg.Audit.Begin(r.Context(), fleetRecord(kube.Request{Verb: "other", Path: r.URL.Path}, by), false)
	if err != nil {
		a.cfg.Log.Warn("a refusal is not on record", zap.String("request", by.Request), obs.Trace(r.Context()), zap.Error(err))
		return why
	}
	status := kube.Status(why)
	entry.End(int(status.Code), string(status.Reason), "", nil)
	return why
}

// below is the request as it is without a prefix of its path, which must be written plainly: one that is encoded could be read in two ways.
func below(r *http.Request, prefix string) (*http.Request, error) {
	u := *r.URL
	escaped := u.EscapedPath()
	if !strings.HasPrefix(escaped, prefix) || (&url.URL{Path: prefix}).EscapedPath() != prefix {
		return nil, fault.New(fault.BadRequest, "the path up to the Kubernetes API's own must not be encoded")
	}
	u.Path = u.Path[len(prefix):]
	if u.RawPath != "" {
		u.RawPath = escaped[len(prefix):]
	}
	if u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	out := *r
	out.URL = &u
	return &out, nil
}

// toFleet serves from the index, with the same record as what goes to a cluster.
func (a *API) toFleet(w middleware.WrapResponseWriter, r *http.Request, by kubeproxy.Caller) error {
	r = r.WithContext(obs.WithRequest(r.Context(), by.Request))
	within, _ := kubefleet.Within(r) // what is asked of one cluster alone is on record, and bounded, like what is asked of all
	q, refusal := kube.Parse(within)
	if refusal != nil {
		q = kube.Request{Verb: "other", Path: within.URL.Path}
	}
	by.Via = "fleet"
	entry, err := a.cfg.Audit.Begin(r.Context(), fleetRecord(q, by), false)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the request can't be put on record now, and isn't done without")
	}
	if refusal == nil && !q.Lasts() {
		if _, refusal = a.asks(by.Principal); refusal == nil {
			defer a.answered(by.Principal)
		}
	}
	if refusal != nil {
		status := kube.Status(refusal)
		entry.End(int(status.Code), string(status.Reason), "", nil)
		return refusal
	}
	broken := error(fault.New(fault.Unavailable, "the answer was cut off")) // by a panic
	defer func() { entry.End(w.Status(), "", "", broken) }()
	if q.Lasts() {
		a.followFleet(w, r, by)
	} else {
		a.cfg.Fleet.Serve(w, r, by.Principal)
	}
	broken = nil
	return nil
}

// followFleet serves what lasts until either side or this hub ends it.
func (a *API) followFleet(w http.ResponseWriter, r *http.Request, by kubeproxy.Caller) {
	end, err := a.begin(by.Principal)
	if err != nil {
		kube.WriteStatus(w, err)
		return
	}
	defer end()
	ctx, cancel := context.WithCancelCause(r.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-a.closing:
			cancel(errClosing())
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-over }()
	a.cfg.Fleet.Serve(w, r.WithContext(ctx), by.Principal)
}

func fleetRecord(q kube.Request, by kubeproxy.Caller) store.AuditRecord {
	p := by.Principal
	out := store.AuditRecord{
		Tenant: p.Tenant, Request: by.Request, Who: p.Name, Groups: p.Groups, Token: p.Token, From: by.From, Agent: by.Agent, Via: by.Via,
		Verb: q.Verb, Group: q.Group, Version: q.Version, Resource: q.Resource, Namespace: q.Namespace, Name: q.Name,
	}
	if q.Subresource != "" {
		out.Resource += "/" + q.Subresource
	}
	if q.Resource == "" {
		out.Path = q.Path
	}
	return out
}
