package agent

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/agent/internal/uplink"
	"github.com/kubilitics/kubilitics/agent/internal/watch"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// retryAfter is how long a failed read of the cluster takes, so that it isn't tried again at once.
const retryAfter = 2 * time.Second

// maxRelisted bounds the events listed again: the newest are kept.
const maxRelisted = 4096

// watched is the watch as the uplink sees it.
type watched struct {
	*watch.Source
	log     *zap.Logger
	reached func(watch.Reach) // hears whether the API server answers
}

// Next words a batch of the watch as news.
func (w watched) Next(ctx context.Context) (uplink.News, error) {
	b, err := w.Source.Next(ctx)
	if err != nil {
		return uplink.News{}, err
	}
	n := uplink.News{Since: b.Since, Events: b.Events, Synced: b.Synced}
	for _, k := range b.Kinds {
		w.kind(&n, k)
	}
	for _, c := range b.Changes {
		n.Changes = append(n.Changes, c.Change)
		if c.Resource != nil && !c.Hash.IsZero() {
			n.Manifests = append(n.Manifests, topo.Manifest{Ref: c.Ref, Hash: c.Hash, Body: c.Body})
		}
	}
	if b.EventsLost > 0 {
		n.EventsMissed = 1 // since when isn't known; the hub has those it has
	}
	for _, p := range b.Problems {
		w.log.Warn("an object was passed over", zap.Stringer("object", p.Ref), zap.String("reason", p.Reason))
	}
	if r := b.Reach; r != nil {
		w.log.Info("the cluster's API server", zap.Bool("answers", !r.Down), zap.String("reason", r.Reason))
		w.reached(*r)
	}
	return n, nil
}

func (w watched) kind(n *uplink.News, k watch.KindStatus) {
	if k.Gone {
		n.Forgotten = append(n.Forgotten, k.GroupKind)
		return
	}
	n.Kinds = append(n.Kinds, topo.KindReport{
		GroupKind: k.GroupKind, Version: k.Version, Plural: k.Plural, Namespaced: k.Namespaced, Observed: k.Observed, Reason: k.Reason,
	})
}

// Read gets texts of objects again. It fails after a pause.
func (w watched) Read(ctx context.Context, refs []topo.Ref, give func(topo.Manifest) error) error {
	err := w.ReadMany(ctx, refs, give)
	if err != nil && ctx.Err() == nil {
		w.log.Warn("objects can't be read again now", zap.Error(err))
		pause(ctx)
	}
	return err
}

// Events lists events again, oldest first.
func (w watched) Events(ctx context.Context, since int64) ([]topo.Event, error) {
	var out []topo.Event
	err := w.EventsSince(ctx, time.Unix(since, 0), func(e topo.Event) error {
		out = append(out, e)
		if len(out) > 2*maxRelisted {
			out = newest(out)
		}
		return nil
	})
	if err != nil {
		pause(ctx)
		return nil, err
	}
	return newest(out), nil
}

func newest(events []topo.Event) []topo.Event {
	slices.SortFunc(events, func(a, b topo.Event) int { return cmp.Compare(a.Last, b.Last) })
	return slices.Delete(events, 0, max(0, len(events)-maxRelisted))
}

func pause(ctx context.Context) {
	t := time.NewTimer(retryAfter)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
