package pods

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// Terms are how the connection to a client is kept.
type Terms struct {
	Ping time.Duration     // how often a client is asked for a sign of life, which also keeps load balancers from cutting what is idle
	Gone time.Duration     // after which one who doesn't answer, or doesn't take what he is sent, is gone
	Why  func(error) error // may know better why a session broke off; nil: nobody does
}

const (
	farewell = 2 * time.Second // for the last word to a client
	maxInput = 1 << 20         // bytes of one message of a client
)

// errOver says that a session ended as it should, or that nobody is left to be told why it didn't.
var errOver = errors.New("the session is over")

// bridge carries a client's connection until one of the directions ends, the client is gone or ctx ends. The first who ends says farewell, with
// errOver or why it isn't that; then the connection is closed. ctx isn't that of the directions: the farewell comes before they are cut. from is what
// is known of the client.
func bridge(ctx context.Context, conn *websocket.Conn, t Terms, from *life, bye func(error), directions ...func(context.Context) error) {
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, within := errgroup.WithContext(within)
	var once sync.Once
	end := func(err error) error {
		if err != nil {
			once.Do(func() { bye(t.why(err)) })
		}
		return err
	}
	for _, direction := range directions {
		g.Go(func() error { return end(direction(within)) })
	}
	g.Go(func() error { return end(ping(within, conn, t, from)) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return end(context.Cause(ctx))
		case <-within.Done():
			return nil
		}
	})
	_ = g.Wait() // whatever ended it was told by bye
	_ = conn.CloseNow()
}

func (t Terms) why(err error) error {
	if t.Why == nil || errors.Is(err, errOver) {
		return err
	}
	return t.Why(err)
}

// life is what is known of a client beside his answers to pings, which come behind all that he sends.
type life struct {
	held  atomic.Bool  // what he sent waits to be taken by the cluster
	heard atomic.Int64 // when the last of it came, in nanoseconds since 1970
}

// pass lets the cluster take a message of a client, however long it takes: what runs there may have else to do.
func (l *life) pass(take func() error) error {
	l.held.Store(true)
	err := take()
	l.heard.Store(time.Now().UnixNano())
	l.held.Store(false)
	return err
}

func (l *life) silent(limit time.Duration) bool {
	return !l.held.Load() && time.Since(time.Unix(0, l.heard.Load())) > limit
}

// ping finds clients that are gone.
func ping(ctx context.Context, conn *websocket.Conn, t Terms, from *life) error {
	tick := time.NewTicker(t.Ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := pong(ctx, conn, t.Gone); err != nil && (from.silent(t.Gone) || !errors.Is(err, context.DeadlineExceeded)) {
			return errOver
		}
	}
}

func pong(ctx context.Context, conn *websocket.Conn, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return conn.Ping(ctx)
}

func send(ctx context.Context, conn *websocket.Conn, message []byte, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return conn.Write(ctx, websocket.MessageBinary, message)
}

// HangUp closes a client's WebSocket with what went wrong: 4000 and the status of the fault as code, its sentence as reason. Pages in a browser
// can't read the answer to a handshake that fails, but can read this.
func HangUp(conn *websocket.Conn, why error) {
	f := fault.Public(why)
	_ = conn.Close(websocket.StatusCode(4000+httpfault.Status(f.Code)), reason(f.Message)) // the client may be gone
}

// reason is as much of a sentence as a close frame can hold.
func reason(text string) string {
	const most = 123
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
