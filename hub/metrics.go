package hub

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// census counts what only the database knows: clusters by freshness, and how far feeds have come. It asks now and then rather than whenever somebody looks
// at the metrics, so that a database that hangs doesn't hide the other metrics, and many who look cost it nothing.
type census struct {
	hub      *Hub
	found    atomic.Pointer[[]seen]
	position *prometheus.GaugeVec
	bytes    prometheus.Gauge
	taken    prometheus.Gauge
}

// countEvery is how often: a cluster's state changes within seconds, and an alert waits for minutes.
const (
	countEvery   = 15 * time.Second
	countTimeout = 10 * time.Second
	sizeEvery    = 20 // censuses
)

func newCensus(h *Hub, reg prometheus.Registerer) *census {
	c := &census{
		hub:      h,
		position: obs.Gauges(reg, "kubilitics_hub_feed_position", "Position that a tenant's feed has come to; one series a tenant.", "tenant"),
		bytes:    obs.Gauge(reg, "kubilitics_hub_store_bytes", "Bytes that the database takes."),
		taken:    obs.Gauge(reg, "kubilitics_hub_census_timestamp_seconds", "When the last count of the clusters began: the figures of clusters and feeds are as old as that."),
	}
	c.found.Store(&[]seen{})
	reg.MustRegister(c)
	if !h.cfg.isPostgres() {
		obs.Asked(reg, "kubilitics_hub_data_free_bytes", "Bytes free where the data directory is, with the embedded database in it.", func() float64 { free, _ := room(h.cfg.DataDir); return free })
		obs.Asked(reg, "kubilitics_hub_data_size_bytes", "Bytes that there are in all where the data directory is.", func() float64 { _, size := room(h.cfg.DataDir); return size })
	}
	return c
}

func (c *census) run(ctx context.Context) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := c.count(ctx, n%sizeEvery == 0); err != nil && ctx.Err() == nil {
			c.hub.log.Warn("the clusters were not counted", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// seen is one cluster.
type seen struct {
	tenant string
	fleet.Cluster
}

func (c *census) count(ctx context.Context, size bool) error {
	began := time.Now() // the figures are as old as the first question, however long the answers take
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	tenants, err := c.hub.store.Tenants(ctx)
	if err != nil {
		return err
	}
	var all []seen
	for _, t := range tenants {
		clusters, err := c.hub.store.Clusters(ctx, t.ID)
		if err != nil {
			return err
		}
		for i := range clusters {
			all = append(all, seen{t.Slug, clusters[i]})
		}
		_, last, err := c.hub.store.FeedBounds(ctx, t.ID)
		if err != nil {
			return err
		}
		c.position.WithLabelValues(t.Slug).Set(float64(last))
	}
	c.found.Store(&all)
	if s, ok := c.hub.store.(interface {
		Size(context.Context) (int64, error)
	}); ok && size {
		bytes, err := s.Size(ctx)
		if err != nil {
			return err
		}
		c.bytes.Set(float64(bytes))
	}
	c.taken.Set(float64(began.UnixMilli()) / 1e3)
	return nil
}

var (
	clustersDesc = prometheus.NewDesc("kubilitics_hub_clusters", "Enrolled clusters by freshness: live, stale, or never connected.", []string{"freshness"}, nil)
	liveDesc     = prometheus.NewDesc("kubilitics_hub_cluster_live", "1 while what is known of the cluster is current, 0 while it is stale; one series a cluster that has ever connected.", []string{"tenant", "cluster", "name"}, nil)
	heardDesc    = prometheus.NewDesc("kubilitics_hub_cluster_heard_timestamp_seconds", "When the cluster's agent was last heard; one series a cluster that has ever connected.", []string{"tenant", "cluster", "name"}, nil)
)

// Describe implements prometheus.Collector.
func (c *census) Describe(out chan<- *prometheus.Desc) {
	out <- clustersDesc
	out <- liveDesc
	out <- heardDesc
}

// Collect implements prometheus.Collector. It tells one census whole: clusters that were deleted or have another name leave no series behind, and none is
// missing for a moment, which would begin an alert's time anew.
func (c *census) Collect(out chan<- prometheus.Metric) {
	by := map[fleet.FreshnessState]float64{fleet.Live: 0, fleet.Stale: 0, fleet.Never: 0}
	for _, s := range *c.found.Load() {
		f := s.Freshness
		by[f.State]++
		if f.State == fleet.Never {
			continue
		}
		of := []string{s.tenant, s.ID.String(), s.Name}
		out <- prometheus.MustNewConstMetric(liveDesc, prometheus.GaugeValue, obs.Truth(f.State == fleet.Live), of...)
		out <- prometheus.MustNewConstMetric(heardDesc, prometheus.GaugeValue, float64(f.LastHeard.UnixMilli())/1e3, of...)
	}
	for state, n := range by {
		out <- prometheus.MustNewConstMetric(clustersDesc, prometheus.GaugeValue, n, string(state))
	}
}

// chores are the metrics of what the janitor does.
type chores struct {
	pieces    *prometheus.CounterVec
	done      *prometheus.GaugeVec
	corrected prometheus.Counter
	verified  prometheus.Counter
}

// What the janitor does, by the names that metrics know it by.
const (
	trimming   = "retention"
	forgetting = "audit"
	purging    = "purge"
)

func newChores(reg prometheus.Registerer) *chores {
	c := &chores{
		pieces:    obs.Counters(reg, "kubilitics_hub_janitor_pieces_total", "Pieces of at most 5,000 rows that were deleted or found not to be due: what is past its retention, the record of requests past its own, and deleted clusters.", "task"),
		done:      obs.Gauges(reg, "kubilitics_hub_janitor_done_timestamp_seconds", "When a task was last done to its end; 0 for never since the start.", "task"),
		corrected: obs.Counter(reg, "kubilitics_hub_verify_corrected_total", "Stored rows whose hash or digest did not tell what their columns say."),
		verified:  obs.Counter(reg, "kubilitics_hub_verify_total", "Clusters whose digests were recomputed from their stored rows."),
	}
	for _, task := range []string{trimming, forgetting, purging} {
		c.pieces.WithLabelValues(task)
		c.done.WithLabelValues(task)
	}
	return c
}
