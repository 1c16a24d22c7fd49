package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// Registerer is where metrics are announced.
type Registerer = prometheus.Registerer

// metrics are of all clusters together: their number would be the number of series. Children are made beforehand, since some are counted for each delta.
type metrics struct {
	rows, batches, loads prometheus.Counter
	bytes, raw           prometheus.Counter
	acks                 prometheus.Counter
	sessions             prometheus.Counter
	quarantined          *prometheus.CounterVec
	failed               func(error)
	repaired             *prometheus.CounterVec
	equal, unequal       prometheus.Counter
	load, found, changed prometheus.Observer
	lag                  prometheus.Histogram
}

// tables are those that rows are set aside from.
var tables = append([]string{"events"}, topo.Nodes.String(), topo.Edges.String(), topo.Manifests.String())

func newMetrics(reg Registerer) *metrics {
	reg = obs.Or(reg)
	compared := obs.Counters(reg, "kubilitics_hub_ingest_comparisons_total", "Comparisons of digests with agents, by whether all was equal.", "result")
	took := obs.Histograms(reg, "kubilitics_hub_ingest_apply_seconds", "How long deltas took to be committed: pieces of first loads, what comparisons found, and changes.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}, "of")
	m := &metrics{
		rows:        obs.Counter(reg, "kubilitics_hub_ingest_rows_total", "Rows that agents' deltas changed."),
		batches:     obs.Counter(reg, "kubilitics_hub_ingest_batches_total", "Deltas committed."),
		loads:       obs.Counter(reg, "kubilitics_hub_ingest_loads_total", "First loads completed."),
		bytes:       obs.Counter(reg, "kubilitics_hub_ingest_bytes_total", "Rows received from agents, compressed."),
		raw:         obs.Counter(reg, "kubilitics_hub_ingest_raw_bytes_total", "Rows received from agents, decompressed."),
		acks:        obs.Counter(reg, "kubilitics_hub_ingest_acknowledged_total", "Acknowledgements sent: of each delta, once it is committed, and of each piece of a load."),
		sessions:    obs.Counter(reg, "kubilitics_hub_ingest_sessions_total", "Sync sessions opened."),
		quarantined: obs.Counters(reg, "kubilitics_hub_ingest_quarantined_total", "Rows refused and set aside, by table.", "table"),
		failed:      obs.ByCode(obs.Counters(reg, "kubilitics_hub_ingest_sessions_failed_total", "Sync sessions refused, or ended by an error, by its code.", "code")),
		repaired:    obs.Counters(reg, "kubilitics_hub_ingest_unequal_buckets_total", "Buckets found unequal by a comparison, whose rows are sent again, by table.", "table"),
		equal:       compared.WithLabelValues("equal"),
		unequal:     compared.WithLabelValues("unequal"),
		load:        took.WithLabelValues("load"),
		found:       took.WithLabelValues("comparison"),
		changed:     took.WithLabelValues("change"),
		lag: obs.Histogram(reg, "kubilitics_hub_ingest_lag_seconds", "From when an agent heard of the oldest change of a delta until the delta was committed, without the time on the wire; not of loads, nor of what comparisons found.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300),
	}
	for _, table := range tables {
		m.quarantined.WithLabelValues(table)
	}
	for _, table := range topo.Tables {
		m.repaired.WithLabelValues(table.String())
	}
	return m
}

// received counts a delta that has come.
func (m *metrics) received(d *tunnelv1.Delta) {
	m.bytes.Add(float64(len(d.GetRows())))
	m.raw.Add(float64(wire.RawSize(d.GetRows())))
}

// committed takes how long a delta took since it came; what it waited at the agent it says itself.
func (m *metrics) committed(d *tunnelv1.Delta, came time.Time) {
	took := time.Since(came)
	switch {
	case d.GetLoad() || d.GetLoadEnd():
		m.load.Observe(took.Seconds())
	case d.GetResync():
		m.found.Observe(took.Seconds())
	default:
		m.changed.Observe(took.Seconds())
		if waited := d.GetWaitedUs(); waited > 0 {
			m.lag.Observe((time.Duration(waited)*time.Microsecond + took).Seconds())
		}
	}
}
