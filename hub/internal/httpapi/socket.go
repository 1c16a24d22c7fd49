package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	maxCommand = 64 << 10 // bytes of one message from a client
	maxSubID   = 128
	farewell   = 2 * time.Second // for the last frame
)

func (a *API) socketOperation() *huma.Operation {
	schemas := a.huma.OpenAPI().Components.Schemas
	schemas.Schema(reflect.TypeFor[StreamCommand](), true, "")
	schemas.Schema(reflect.TypeFor[StreamFrame](), true, "")
	return &huma.Operation{
		Method: http.MethodGet, Path: "/ws/v1/stream", OperationID: "stream-websocket", Tags: []string{"streams"},
		Summary: "Changes as they happen, many subscriptions on one WebSocket",
		Description: "The client sends messages of the schema StreamCommand and gets messages of the schema StreamFrame. Browsers, which can't send " +
			"Authorization here, offer the subprotocols \"kubilitics.v1\" and \"bearer.\" followed by the token in unpadded base64url.",
		Responses: map[string]*huma.Response{"101": {Description: "The stream is open"}},
	}
}

// serveSocket is a WebSocket with many subscriptions.
func (a *API) serveSocket(w http.ResponseWriter, r *http.Request) {
	if err := checkParameters(r, nil); err != nil {
		a.fail(w, r, err)
		return
	}
	if !a.origins.permits(r) {
		a.fail(w, r, fault.New(fault.Forbidden, "pages of %s may not open streams here", r.Header.Get("Origin")))
		return
	}
	end, err := a.begin(principalOf(r.Context()))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer end()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{streamProtocol}, InsecureSkipVerify: true}) // the origin was checked above
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(maxCommand)
	s := &socket{api: a, conn: conn, principal: principalOf(r.Context()), subs: map[string]context.CancelFunc{}}
	s.run(r.Context())
}

type socket struct {
	api       *API
	conn      *websocket.Conn
	principal fleet.Principal

	mu   sync.Mutex
	subs map[string]context.CancelFunc
}

var errHangUp = errors.New("the stream is over")

// run serves the socket until either side ends it; every goroutine it started has ended then.
func (s *socket) run(ctx context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.listen(ctx, g) })
	g.Go(func() error { return s.ping(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.api.closing:
			return s.hangUp(ctx, "", errClosing())
		}
	})
	_ = g.Wait() // whatever ended it, the client has been told or is gone
	_ = s.conn.CloseNow()
}

// listen obeys commands. Reading also keeps pongs and the closing handshake going.
func (s *socket) listen(ctx context.Context, g *errgroup.Group) error {
	for {
		kind, text, err := s.conn.Read(ctx)
		if err != nil {
			return errHangUp
		}
		id, err := s.obey(ctx, g, kind, text)
		switch {
		case fault.Is(err, fault.Unauthorized):
			return s.hangUp(ctx, id, err)
		case err != nil:
			if err := s.write(ctx, s.api.errorFrame(ctx, id, err)); err != nil {
				return err
			}
		}
	}
}

func (s *socket) obey(ctx context.Context, g *errgroup.Group, kind websocket.MessageType, text []byte) (id string, err error) {
	var c StreamCommand
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil || kind != websocket.MessageText {
		return c.ID, fault.Wrap(err, fault.BadRequest, "the message is no command in JSON: %v", err)
	}
	if c.ID == "" || len(c.ID) > maxSubID {
		return "", fault.New(fault.BadRequest, "a command needs an id").WithField("id", "must have 1 to %d bytes", maxSubID)
	}
	switch c.Type {
	case "subscribe":
		return c.ID, s.subscribe(ctx, g, &c)
	case "unsubscribe":
		return c.ID, s.unsubscribe(c.ID)
	default:
		return c.ID, fault.New(fault.BadRequest, "there is no command %q", c.Type).WithField("type", "must be subscribe or unsubscribe")
	}
}

func (s *socket) subscribe(ctx context.Context, g *errgroup.Group, c *StreamCommand) error {
	r, err := s.api.request(ctx, s.principal, c)
	if err != nil {
		return err
	}
	sub, err := s.api.cfg.Live.Subscribe(ctx, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	if err := s.enter(c.ID, cancel); err != nil {
		cancel()
		sub.Close()
		return err
	}
	g.Go(func() error {
		defer sub.Close()
		defer cancel()
		return s.pump(ctx, c.ID, sub)
	})
	return nil
}

func (s *socket) enter(id string, cancel context.CancelFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.subs[id]; taken {
		return fault.New(fault.Conflict, "there is a subscription %q already", id)
	}
	if len(s.subs) >= s.api.cfg.Subscriptions {
		return fault.New(fault.TooManyRequests, "a socket has %d subscriptions at most", s.api.cfg.Subscriptions)
	}
	s.subs[id] = cancel
	return nil
}

func (s *socket) unsubscribe(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel, ok := s.subs[id]
	if !ok {
		return fault.New(fault.NotFound, "there is no subscription %q", id)
	}
	delete(s.subs, id)
	cancel()
	return nil
}

// leave frees the id before the last frame goes out, so that a client may use it again as soon as it has that.
func (s *socket) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subs, id)
}

// pump carries a subscription's frames to the client. An error ends the socket.
func (s *socket) pump(ctx context.Context, id string, sub *live.Subscription) error {
	for {
		f, err := sub.Next(ctx)
		switch {
		case ctx.Err() != nil: // unsubscribed, or the socket is ending
			return nil
		case fault.Is(err, fault.Unauthorized):
			return s.hangUp(ctx, id, err)
		case err != nil:
			s.leave(id)
			return s.write(ctx, s.api.errorFrame(ctx, id, err))
		}
		over := f.Kind == live.Lagged || f.Kind == live.Reset
		if over {
			s.leave(id)
		}
		if err := s.api.frames(id, f, func(f *StreamFrame) error { return s.write(ctx, f) }); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if over {
			return nil
		}
	}
}

// write sends a frame. The deadline isn't that of a subscription's context: a frame cut off in the middle would end the socket.
func (s *socket) write(ctx context.Context, f *StreamFrame) error {
	return s.writeWithin(ctx, f, s.api.cfg.WriteTimeout)
}

func (s *socket) writeWithin(ctx context.Context, f *StreamFrame, limit time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}

// hangUp tells the client why the socket ends, and ends it.
func (s *socket) hangUp(ctx context.Context, id string, why error) error {
	code := websocket.StatusGoingAway
	if fault.Is(why, fault.Unauthorized) {
		code = websocket.StatusPolicyViolation
	}
	f := s.api.errorFrame(ctx, id, why)
	if err := s.writeWithin(ctx, f, min(s.api.cfg.WriteTimeout, farewell)); err != nil {
		_ = s.conn.CloseNow() // also ends a write that hangs
		return errHangUp
	}
	_ = s.conn.Close(code, string(f.Code)) // the client may not answer; run closes for good
	return errHangUp
}

// ping finds clients that are gone, and keeps proxies from closing what is idle.
func (s *socket) ping(ctx context.Context) error {
	tick := time.NewTicker(s.api.cfg.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.pong(ctx); err != nil {
			return err
		}
	}
}

func (s *socket) pong(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.api.cfg.WriteTimeout)
	defer cancel()
	return s.conn.Ping(ctx)
}
