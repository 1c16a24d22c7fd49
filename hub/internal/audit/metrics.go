package audit

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	written, failures, waited, lost prometheus.Counter
	firm                            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, waiting func() float64) metrics {
	m := metrics{
		written:  prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_hub_audit_rows_total", Help: "Rows written of the record of requests; a request that lasts has two."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_hub_audit_failures_total", Help: "Writes of the record that failed."}),
		waited:   prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_hub_audit_full_total", Help: "Requests that had to wait, since too many records were yet to be written."}),
		lost:     prometheus.NewCounter(prometheus.CounterOpts{Name: "kubilitics_hub_audit_lost_total", Help: "Records that could not be written before the hub ended, or at all."}),
		firm: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kubilitics_hub_audit_firm_seconds", Help: "How long requests waited to be on record before they were done.", Buckets: []float64{.001, .002, .005, .01, .05, .25, 1, 5, 30},
		}),
	}
	if reg != nil {
		reg.MustRegister(m.written, m.failures, m.waited, m.lost, m.firm, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kubilitics_hub_audit_waiting", Help: "Records that are yet to be written.",
		}, waiting))
	}
	return m
}
