package ingest

import "github.com/prometheus/client_golang/prometheus"

// Registerer is where metrics are announced.
type Registerer = prometheus.Registerer

type metrics struct {
	rows        prometheus.Counter
	batches     prometheus.Counter
	quarantined *prometheus.CounterVec
	refused     *prometheus.CounterVec
	repaired    *prometheus.CounterVec
	loads       prometheus.Counter
}

func newMetrics(reg Registerer) *metrics {
	m := &metrics{
		rows:        prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_ingest_rows_total", Help: "Rows that agents' deltas changed."}),
		batches:     prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_ingest_batches_total", Help: "Deltas committed."}),
		loads:       prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_ingest_loads_total", Help: "First loads completed."}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_ingest_quarantined_total", Help: "Rows refused and set aside, by table."}, []string{"table"}),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_ingest_sessions_failed_total", Help: "Sessions ended by an error, by its code."}, []string{"code"}),
		repaired:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_ingest_unequal_buckets_total", Help: "Buckets found unequal by a comparison, by table."}, []string{"table"}),
	}
	reg.MustRegister(m.rows, m.batches, m.loads, m.quarantined, m.refused, m.repaired)
	return m
}
