package httpapi

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/search"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// AtParam is the moment that an answer shows.
type AtParam struct {
	At string `query:"at" doc:"a past moment: a position, a time in RFC 3339, or how long ago, like -2h or -7d; the newest where it isn't given" example:"-2h"`
}

func (a AtParam) when() (store.When, error) { return moment("at", a.At) }

// moment reads a position, an instant, or a time back from now.
func moment(field, text string) (store.When, error) {
	if text == "" {
		return store.When{}, nil
	}
	if pos, err := strconv.ParseInt(text, 10, 64); err == nil && pos > 0 {
		return store.When{Position: topo.Position(pos)}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return store.When{Time: t}, nil
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := search.ParseAge(ago); err == nil && d > 0 {
			return store.When{Time: time.Now().Add(-d)}, nil
		}
	}
	return store.When{}, fault.New(fault.BadRequest, "the moment can't be read").
		WithField(field, "%q is neither a position, nor a time like 2026-01-02T15:04:05Z, nor a time ago like -2h or -7d", text)
}

// QueryParam narrows by the query language.
type QueryParam struct {
	Q string `query:"q" maxLength:"2000" doc:"the query language: kind:Pod ns:prod* image:nginx status!=Running cluster:eu-* label.app=web restarts>3 age<1h \"free text\"" example:"kind:Pod ns:prod* status!=Running"`
}

// narrow reads the query into where, and leaves the principal no other clusters than those that the query means.
func (q QueryParam) narrow(ctx context.Context, a *API, p fleet.Principal, w *query.Where) (fleet.Principal, error) {
	if q.Q == "" {
		return p, nil
	}
	parsed, err := search.Parse(q.Q, time.Now())
	if err != nil {
		return p, err
	}
	w.Terms = parsed.Terms
	if len(parsed.Clusters) == 0 {
		return p, nil
	}
	list, err := a.cfg.Query.Clusters(ctx, p)
	if err != nil {
		return p, err
	}
	var ids []fleet.ClusterID
	for _, c := range list.Items {
		if id, err := fleet.ParseClusterID(c.ID); err == nil && fits(parsed.Clusters, &c) {
			ids = append(ids, id)
		}
	}
	return p.Within(ids), nil
}

func fits(terms []search.ClusterTerm, c *query.Cluster) bool {
	for _, t := range terms {
		if !t.Fits(c.Name, c.ID, c.Labels) {
			return false
		}
	}
	return true
}
