package kubeproxy

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// believedFor is how long what is known of a cluster is believed: the longest that one that was deleted is still served.
const believedFor = 500 * time.Millisecond

type cached struct {
	cluster fleet.Cluster
	until   time.Time
}

// cluster tells of a cluster without asking the database each time; NotFound when it isn't the tenant's, or was deleted.
func (p *Proxy) cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error) {
	if c, ok := p.known.Get(at); ok && time.Now().Before(c.until) {
		return c.cluster, nil
	}
	asked := time.Now()
	c, err := p.cfg.Clusters.Cluster(ctx, at)
	if fault.Is(err, fault.NotFound) || err == nil && !c.Deleted.IsZero() {
		p.known.Remove(at)
		return fleet.Cluster{}, noCluster(at.Cluster)
	}
	if err != nil {
		return fleet.Cluster{}, err
	}
	p.known.Add(at, cached{cluster: c, until: asked.Add(believedFor)})
	return c, nil
}

func called(c fleet.Cluster) string { return c.Name + " (" + c.ID.String() + ")" }

// offline says that a cluster can't be reached, and since when. It says nothing of when to come back: clients would wait for that, and seem to hang.
func (p *Proxy) offline(ctx context.Context, at store.Scope) error {
	p.known.Remove(at) // what is told now should be as of now
	c, err := p.cluster(ctx, at)
	switch {
	case err != nil:
		return fault.New(fault.Unavailable, "cluster %s isn't connected to this hub", at.Cluster)
	case c.Freshness.LastHeard.IsZero():
		return fault.New(fault.Unavailable, "cluster %s isn't connected to this hub; it was never heard", called(c))
	default:
		return fault.New(fault.Unavailable, "cluster %s isn't connected to this hub; it was last heard at %s", called(c), c.Freshness.LastHeard.UTC().Format(time.RFC3339))
	}
}
