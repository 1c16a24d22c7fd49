package kubeproxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// passage is one request on its way, from the decision on it to the end of its answer's body. over must be called.
type passage struct {
	proxy   *Proxy
	by      Caller
	at      store.Scope
	cluster string // how people know it
	request kube.Request
	table   bool // it asks for rows, so a person reads them
	began   time.Time
	entry   *audit.Entry
	span    obs.Span
	ctx     context.Context // of what lasts: ended with a cause by end
	end     context.CancelCauseFunc

	once    sync.Once
	status  int    // of the answer; 0 before
	created string // the name of what was created, where the answer told it

	mu     sync.Mutex
	client net.Conn // of a connection that is spliced
	speaks bool     // it tells its client of its end by itself
}

var (
	errUnanswered = fault.New(fault.Unavailable, "the request wasn't answered")
	errLeft       = fault.New(fault.Unavailable, "the client left before it was answered")
	errClosing    = fault.New(fault.Unavailable, "this hub is shutting down").After(time.Second)
)

// admit decides on a request, counts it in and puts it on record. What is refused is on record too.
func (p *Proxy) admit(r *http.Request, by Caller, cluster fleet.ClusterID) (*passage, error) {
	s := &passage{
		proxy: p, by: by, at: store.Scope{Tenant: by.Principal.Tenant, Cluster: cluster}, cluster: cluster.String(),
		table: strings.Contains(r.Header.Get("Accept"), "as=Table"), began: time.Now(), ctx: r.Context(), end: func(error) {},
	}
	_, deciding := obs.Step(s.ctx, "decide")
	err := s.decide(r)
	s.tell(deciding)
	deciding.End(err)
	if err != nil {
		s.refused(r, err)
		return nil, err
	}
	if err := s.enter(r); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *passage) decide(r *http.Request) (err error) {
	if s.request, err = kube.Parse(r); err != nil {
		s.request = kube.Request{Verb: "other", Path: r.URL.Path}
		return err
	}
	if err := errors.Join(kube.CheckConnection(r.Header), sayable(s.by.Principal)); err != nil {
		return err
	}
	if err := decide(s.by.Principal, s.at.Cluster, s.request); err != nil {
		return err
	}
	c, err := s.proxy.cluster(r.Context(), s.at)
	if err != nil {
		return err
	}
	s.cluster = called(c)
	return nil
}

// sayable refuses names that a header would carry as other names than they are.
func sayable(p fleet.Principal) error {
	for _, name := range append([]string{p.Name}, p.Groups...) {
		if name == "" || strings.TrimSpace(name) != name || !httpguts.ValidHeaderFieldValue(name) {
			return fault.New(fault.Forbidden, "the name or a group of this token can't be told to a cluster: it is empty, or begins or ends with a space")
		}
	}
	return nil
}

// lasts tells of what has no end of its own, and of what leaves the server's hands.
func (s *passage) lasts() bool { return lasts(s.request) }

func lasts(q kube.Request) bool { return q.Lasts() || q.Upgrades }

func (s *passage) user() user { return user{s.at.Tenant, s.by.Principal.Name} }

// enter counts the request in, then puts it on record; it is forwarded only after both.
func (s *passage) enter(r *http.Request) error {
	if err := s.proxy.limits.enter(s.user(), s.at.Cluster, s.lasts()); err != nil {
		s.refused(r, err)
		return err
	}
	s.by.writes(s.request)
	ctx, recording := obs.Step(s.ctx, "record")
	entry, err := s.proxy.cfg.Audit.Begin(ctx, s.record(r), !s.request.Reads())
	recording.End(err)
	if err != nil {
		s.proxy.limits.leave(s.user(), s.at.Cluster, s.lasts())
		s.proxy.metrics.refused.WithLabelValues("record").Inc()
		return fault.Wrap(err, fault.Unavailable, "the request can't be put on record now, and isn't done without")
	}
	s.entry = entry
	s.ctx, s.span = obs.Call(s.ctx, "forward")
	s.tell(s.span)
	s.proxy.metrics.began(s.request)
	if s.lasts() && !s.proxy.keep(s) {
		s.status = http.StatusServiceUnavailable
		s.proxy.metrics.refused.WithLabelValues("closing").Inc()
		s.over(errClosing)
		return errClosing
	}
	return nil
}

// tell says of a span what is asked of which cluster; names of objects are in the record, by the request's id.
func (s *passage) tell(span obs.Span) {
	if !span.On() {
		return
	}
	span.Text("kubilitics.cluster", s.at.Cluster.String())
	span.Text("kubilitics.via", s.by.Via)
	span.Text("k8s.verb", verbLabel(s.request))
	span.Text("k8s.group", s.request.Group)
	span.Text("k8s.resource", resourceText(s.request))
}

// refused notes what isn't forwarded.
func (s *passage) refused(r *http.Request, why error) {
	s.proxy.metrics.refused.WithLabelValues(strings.ToLower(string(fault.CodeOf(why)))).Inc()
	if fault.Is(why, fault.Internal) {
		s.proxy.cfg.Log.Error("a request could not be decided on", zap.String("request", s.by.Request), obs.Trace(s.ctx), zap.Error(why))
	}
	s.by.writes(s.request)
	entry, err := s.proxy.cfg.Audit.Begin(s.ctx, s.record(r), false)
	if err != nil {
		s.proxy.cfg.Log.Warn("a refusal is not on record", zap.String("request", s.by.Request), obs.Trace(s.ctx), zap.Error(err))
		return
	}
	status := kube.Status(why)
	entry.End(int(status.Code), string(status.Reason), "", nil)
}

func (s *passage) record(r *http.Request) store.AuditRecord {
	q, p := s.request, s.by.Principal
	out := store.AuditRecord{
		Tenant: s.at.Tenant, Cluster: s.at.Cluster, Request: s.by.Request, Who: p.Name, Groups: p.Groups, Token: p.Token,
		From: s.by.From, Agent: s.by.Agent, Via: s.by.Via,
		Verb: q.Verb, Group: q.Group, Version: q.Version, Namespace: q.Namespace, Name: q.Name,
	}
	if q.Resource == "" {
		out.Path = q.Path
		return out
	}
	out.Resource = resourceText(q)
	if q.Connects() && q.Subresource == "exec" {
		out.Command = r.URL.Query()["command"]
	}
	if strings.Contains(r.URL.RawQuery, "dryRun") {
		out.DryRun = len(r.URL.Query()["dryRun"]) > 0
	}
	return out
}

// over ends the passage, once: an error is what kept the answer from coming, or from coming wholly.
func (s *passage) over(err error) {
	s.once.Do(func() {
		reason := ""
		if s.status >= http.StatusBadRequest {
			reason = strings.ReplaceAll(http.StatusText(s.status), " ", "")
		}
		s.entry.End(s.status, reason, s.created, err)
		s.span.Number("http.response.status_code", int64(s.status))
		s.span.End(err)
		s.proxy.metrics.ended(s.request, s.status, time.Since(s.began))
		s.proxy.limits.leave(s.user(), s.at.Cluster, s.lasts())
		s.proxy.drop(s)
		s.end(nil)
	})
}

// served ends the passage when nobody serves it any more. A connection that the client has ended isn't closed by then, and was answered all the same.
func (s *passage) served() {
	if s.connected() {
		s.over(nil)
	} else {
		s.over(errUnanswered)
	}
}

// connected tells whether the client's side was taken out of the server's hands.
func (s *passage) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client != nil
}

// spliced notes the client's side of a connection that was taken out of the server's hands; false when the passage was ended already.
func (s *passage) spliced(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c
	return s.ctx.Err() == nil
}

// speak leaves a connection that is cut the time for its last words.
func (s *passage) speak() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.speaks = true
}

// cut ends what lasts, at once but for last words.
func (s *passage) cut(why error) {
	s.end(why)
	s.mu.Lock()
	defer s.mu.Unlock()
	client := s.client
	switch {
	case client == nil:
	case s.speaks:
		time.AfterFunc(lastWords, func() { _ = client.Close() }) // who doesn't read doesn't hear them; mostly it is closed by then
	default:
		_ = client.Close()
	}
}
