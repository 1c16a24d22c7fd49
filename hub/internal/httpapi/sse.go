package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// sseParameters are the query of the event stream; true are lists.
var sseParameters = map[string]bool{"cluster": true, "namespace": true, "kind": true, "what": true, "labelSelector": false, "regarding": false, "from": false}

func (a *API) eventsOperation() *huma.Operation {
	op := &huma.Operation{
		Method: http.MethodGet, Path: "/api/v1/stream", OperationID: "stream-sse", Tags: []string{"streams"},
		Summary: "Changes as they happen, as server-sent events",
		Description: "Each event's data is a StreamFrame, its type the frame's. The id of an event is the position up to which everything was told; a " +
			"client that comes back with it in Last-Event-ID misses nothing.",
		Responses: answers("text/event-stream", "The stream"),
	}
	for _, name := range []string{"cluster", "namespace", "kind", "labelSelector", "regarding", "what", "from"} {
		schema := &huma.Schema{Type: huma.TypeString}
		if sseParameters[name] {
			schema = &huma.Schema{Type: huma.TypeArray, Items: schema}
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Schema: schema})
	}
	op.Parameters = append(op.Parameters, &huma.Param{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString}})
	return op
}

// serveEvents is one subscription as server-sent events.
func (a *API) serveEvents(w http.ResponseWriter, r *http.Request) {
	sub, err := a.subscribeEvents(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer sub.Close()
	end, err := a.begin(principalOf(r.Context()))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer end()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { // ends with this handler, which waits for it
		defer close(done)
		select {
		case <-a.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	e := &eventStream{api: a, w: w, control: http.NewResponseController(w)}
	e.run(ctx, sub)
	cancel()
	<-done
}

func (a *API) subscribeEvents(r *http.Request) (*live.Subscription, error) {
	if err := checkParameters(r, sseParameters); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	from, err := resumeFrom(q, r.Header.Get("Last-Event-ID"))
	if err != nil {
		return nil, err
	}
	c := &StreamCommand{What: q["what"], From: from, Scope: StreamScope{
		Clusters: words(q["cluster"]), Namespaces: q["namespace"], Kinds: q["kind"], Selector: q.Get("labelSelector"), Regarding: q.Get("regarding"),
	}}
	request, err := a.request(r.Context(), principalOf(r.Context()), c)
	if err != nil {
		return nil, err
	}
	return a.cfg.Live.Subscribe(r.Context(), request)
}

// resumeFrom prefers what a client that reconnects says to what its URL has said from the start.
func resumeFrom(q url.Values, last string) (*topo.Position, error) {
	name, text := "Last-Event-ID", last
	if text == "" {
		name, text = "from", q.Get("from")
	}
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, fault.New(fault.BadRequest, "the position can't be read").WithField(name, "must be a position: a whole number")
	}
	p := topo.Position(n)
	return &p, nil
}

type eventStream struct {
	api     *API
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e *eventStream) run(ctx context.Context, sub *live.Subscription) {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would hold the frames back
	if e.write([]byte("retry: 2000\n\n")) != nil {
		return
	}
	for {
		f, err := e.next(ctx, sub)
		switch {
		case ctx.Err() != nil:
			_ = e.frame(e.api.errorFrame(ctx, "", errClosing())) // the client may be what is gone
			return
		case err != nil:
			_ = e.frame(e.api.errorFrame(ctx, "", err))
			return
		}
		if f.Kind == "" {
			err = e.write([]byte(": still here\n\n"))
		} else {
			err = e.api.frames("", f, e.frame)
		}
		if err != nil || f.Kind == live.Lagged || f.Kind == live.Reset {
			return // the client comes back with the position of the last frame
		}
	}
}

// next waits for a frame, but not for ever: an empty one is the time for a sign of life.
func (e *eventStream) next(ctx context.Context, sub *live.Subscription) (live.Frame, error) {
	short, cancel := context.WithTimeout(ctx, e.api.cfg.PingEvery)
	defer cancel()
	f, err := sub.Next(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return live.Frame{}, nil
	}
	return f, err
}

// frame writes one event. Only the last of a position carries it as id: what a client says it has, it has wholly.
func (e *eventStream) frame(f *StreamFrame) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if f.Type != "error" && !f.More {
		fmt.Fprintf(&b, "id: %d\n", f.Position)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", f.Type, text)
	return e.write(b.Bytes())
}

func (e *eventStream) write(b []byte) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(e.api.cfg.WriteTimeout)) // a writer without deadlines has none to obey
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	return e.control.Flush()
}
