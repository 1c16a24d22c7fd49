package relational

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/obs"
)

// Metrics measures the transactions of a body and tells of its connections.
type Metrics struct {
	read, write prometheus.Observer
	failed      func(error)
}

// NewMetrics announces them; pools is asked whenever somebody looks.
func NewMetrics(reg prometheus.Registerer, pools func() []Pool) *Metrics {
	reg = obs.Or(reg)
	took := obs.Histograms(reg, "kubilitics_hub_store_transaction_seconds", "Transactions of the database, with the wait for a connection: those that see one state and write nothing, and those that write. What ingest applies is told by its own metrics.",
		[]float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 2, 10, 60}, "of")
	reg.MustRegister(poolStats{pools})
	return &Metrics{
		read: took.WithLabelValues("read"), write: took.WithLabelValues("write"),
		failed: obs.ByCode(obs.Counters(reg, "kubilitics_hub_store_failures_total", "Transactions of the database that failed, by the code of the fault; not found, conflict and the like are answers, and no failures of the database.", "code")),
	}
}

// Measure gives a backend whose transactions are measured.
func (m *Metrics) Measure(db Backend) Backend { return measured{db, m} }

type measured struct {
	Backend
	m *Metrics
}

// Write implements Backend.
func (b measured) Write(ctx context.Context, fn func(context.Context, Conn) error) error {
	began := time.Now()
	err := b.Backend.Write(ctx, fn)
	b.m.took(ctx, b.m.write, began, err)
	return err
}

// Snapshot implements Backend.
func (b measured) Snapshot(ctx context.Context, fn func(context.Context, Conn) error) error {
	began := time.Now()
	err := b.Backend.Snapshot(ctx, fn)
	b.m.took(ctx, b.m.read, began, err)
	return err
}

// took counts a transaction. One whose caller has gone is no failure of the database.
func (m *Metrics) took(ctx context.Context, of prometheus.Observer, began time.Time, err error) {
	of.Observe(time.Since(began).Seconds())
	if err != nil && ctx.Err() == nil {
		m.failed(err)
	}
}

// Pool is how the connections of one kind are used.
type Pool struct {
	Name            string // read, write or record
	Used, Idle, Max int
	Waited          time.Duration // in all, for a connection
}

var (
	connectionsDesc = prometheus.NewDesc("kubilitics_hub_store_connections", "Connections to the database, by what they are for and whether they are in use.", []string{"pool", "state"}, nil)
	mostDesc        = prometheus.NewDesc("kubilitics_hub_store_connections_max", "As many connections there may be.", []string{"pool"}, nil)
	waitedDesc      = prometheus.NewDesc("kubilitics_hub_store_connection_wait_seconds_total", "How long connections were waited for.", []string{"pool"}, nil)
)

type poolStats struct{ pools func() []Pool }

// Describe implements prometheus.Collector.
func (p poolStats) Describe(out chan<- *prometheus.Desc) {
	out <- connectionsDesc
	out <- mostDesc
	out <- waitedDesc
}

// Collect implements prometheus.Collector.
func (p poolStats) Collect(out chan<- prometheus.Metric) {
	for _, s := range p.pools() {
		out <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(s.Used), s.Name, "used")
		out <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(s.Idle), s.Name, "idle")
		out <- prometheus.MustNewConstMetric(mostDesc, prometheus.GaugeValue, float64(s.Max), s.Name)
		out <- prometheus.MustNewConstMetric(waitedDesc, prometheus.CounterValue, s.Waited.Seconds(), s.Name)
	}
}
