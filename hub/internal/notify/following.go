package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	patience   = 30 * time.Second // of a read of the feed
	statesKept = 4096             // nodes whose last state needs no look into the past
	newsPage   = 200
)

// following is one rule's way along one tenant's feed for one target. One goroutine uses it.
type following struct {
	*pair
	log    *zap.Logger
	tenant fleet.Tenant
	place  *turn.Place
	states *lru.Cache[itemKey, state]
	names  map[fleet.ClusterID]string
	at     topo.Position
	note   note
	group  *group
	window time.Duration
	ended  time.Time // when the last group was told
}

// note is what is kept beside the position.
type note struct {
	News int64 `json:"news"` // the last news of a finding that is dealt with
}

func newFollowing(p *pair, t fleet.Tenant) *following {
	states, _ := lru.New[itemKey, state](statesKept) // only fails for sizes below one
	return &following{pair: p, tenant: t, states: states, log: p.service.cfg.Log.With(zap.String("rule", p.rule.name), zap.String("target", p.target.Name), zap.Stringer("tenant", t.ID))}
}

// work is one turn. What is in a group isn't dealt with until the group is told: a turn that ends before leaves it to the next.
func (f *following) work(ctx context.Context, p *turn.Place) error {
	f.place, f.group, f.names = p, nil, map[fleet.ClusterID]string{}
	f.states.Purge()
	if err := f.begin(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := f.step(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// begin takes up what was left; a rule that is new begins now.
func (f *following) begin(ctx context.Context) (err error) {
	kept := f.place.Progress()
	f.at, f.note = kept.Position, note{}
	if err := json.Unmarshal([]byte(kept.Note), &f.note); kept.Begun && err == nil {
		return nil
	}
	if f.at, err = f.place.Head(ctx); err != nil {
		return err
	}
	if _, f.note.News, err = f.service.cfg.Store.FindingNews(ctx, f.tenant.ID, 0, 1); err != nil {
		return err
	}
	return f.place.Advance(ctx, f.progress())
}

func (f *following) progress() store.Progress {
	text, _ := json.Marshal(f.note) // a number always has a JSON form
	return store.Progress{Position: f.at, Note: string(text)}
}

// step reads what is new, and tells what is due.
func (f *following) step(ctx context.Context) error {
	entries, err := f.place.Next(ctx, f.at, f.patience())
	if fault.Is(err, fault.Gone) {
		if err = f.skip(ctx); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	for i := range entries {
		if err := f.entry(ctx, &entries[i]); err != nil {
			return err
		}
		f.at = entries[i].Position
	}
	if f.rule.findings() {
		if err := f.news(ctx); err != nil {
			return err
		}
	}
	switch {
	case f.group == nil:
		return f.place.Pass(ctx, f.progress())
	case time.Now().Before(f.group.due):
		return nil
	}
	return f.tell(ctx)
}

// patience is how long to wait for entries: until there is something else to do.
func (f *following) patience() time.Duration {
	wait := patience
	if f.rule.findings() {
		wait = f.service.cfg.Look
	}
	if f.group != nil {
		wait = min(wait, time.Until(f.group.due))
	}
	return max(wait, time.Millisecond)
}

// open gives the group that gathers, a new one if there is none.
func (f *following) open(key string) *group {
	if f.group != nil {
		return f.group
	}
	f.window = nextWindow(f.window, f.rule.window, f.service.cfg.MostWindow, time.Since(f.ended))
	f.group = newGroup(time.Now().Add(f.window))
	f.group.key = fmt.Sprintf("%s.%s.%s", f.tenant.ID, f.rule.name, key)
	return f.group
}

// nextWindow doubles the window while there is always something to tell, so that what flaps makes no storm: the more there is, the seldomer.
func nextWindow(last, first, most, quiet time.Duration) time.Duration {
	if last == 0 || quiet > last {
		return first
	}
	return max(first, min(2*last, most))
}

// skip goes on at the feed's end when entries were trimmed unread, which the next notification says.
func (f *following) skip(ctx context.Context) (err error) {
	from := f.at
	if f.at, err = f.place.Head(ctx); err != nil {
		return err
	}
	f.service.metrics.missed.WithLabelValues(f.target.Name).Inc()
	f.log.Warn("changes went by unseen: the rule was behind for longer than the feed is kept", zap.Int64("from", int64(from)), zap.Int64("to", int64(f.at)))
	f.states.Purge()
	g := f.open(fmt.Sprintf("%d.missed", from))
	g.missed, g.at = true, time.Now().UTC()
	return nil
}

// tell delivers the group, and notes that all up to here is dealt with.
func (f *following) tell(ctx context.Context) error {
	if n := f.group.notification(f.tenant, f.rule); n != nil {
		if err := f.deliver(ctx, n); err != nil {
			return err
		}
	}
	f.group, f.ended = nil, time.Now()
	return f.place.Advance(ctx, f.progress())
}

// deliver tries until it is done, or puts the notification on the list of what could not be delivered. An error means neither.
func (f *following) deliver(ctx context.Context, n *Notification) error {
	cfg := &f.service.cfg
	for attempt := 1; ; attempt++ {
		err := f.target.send(ctx, n)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.service.metrics.attempt(f.target.Name, err)
		switch {
		case err == nil:
			return nil
		case !fault.Retryable(err) || attempt >= f.target.Attempts:
			return f.bury(ctx, n, attempt, err)
		}
		pause := max(turn.Backoff(attempt-1, cfg.FirstPause, cfg.MostPause), min(fault.RetryAfter(err), cfg.MostPause))
		f.log.Info("a notification will be sent again", zap.String("key", n.Key), zap.Int("attempt", attempt), zap.Duration("in", pause), zap.Error(err))
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

func (f *following) bury(ctx context.Context, n *Notification, attempts int, why error) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "a notification has no JSON form")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fault.Wrap(err, fault.Internal, "no id could be drawn")
	}
	f.service.metrics.dead.WithLabelValues(f.target.Name).Inc()
	f.log.Warn("a notification could not be delivered", zap.String("key", n.Key), zap.Int("attempts", attempts), zap.Error(why))
	now := time.Now().UTC()
	return f.service.cfg.Store.PutDeadLetter(ctx, store.DeadLetter{
		Tenant: f.tenant.ID, ID: id.String(), Notifier: f.target.Name, Rule: n.Rule, Key: n.Key, Created: now, Tried: now, Attempts: attempts, Reason: why.Error(), Body: body,
	})
}

func readBody(body []byte) (*Notification, error) {
	var n Notification
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the undelivered notification is damaged")
	}
	return &n, nil
}
