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
// errOver or why it isn't that; then the connection is closed. ctx isn't that of the directions: the farewell comes before they are cut. held tells that
// what the client sent waits to be taken by the cluster.
func bridge(ctx context.Context, conn *websocket.Conn, t Terms, held *atomic.Bool, bye func(error), directions ...func(context.Context) error) {
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
	g.Go(func() error { return end(ping(within, conn, t, held)) })
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

// ping finds clients that are gone. While what one sent isn't taken, his signs of life aren't read either: then only a connection that is broken tells.
func ping(ctx context.Context, conn *websocket.Conn, t Terms, held *atomic.Bool) error {
	tick := time.NewTicker(t.Ping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := pong(ctx, conn, t.Gone); err != nil && (!held.Load() || !errors.Is(err, context.DeadlineExceeded)) {
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
