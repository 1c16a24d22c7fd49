package obs

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// faultCodes are those that a fault can have; any other counts as internal.
var faultCodes = []fault.Code{
	fault.BadRequest, fault.Unauthorized, fault.Forbidden, fault.NotFound, fault.Conflict, fault.Gone, fault.TooManyRequests, fault.Unavailable, fault.Internal,
}

// ByCode counts failures by the code of their fault, in lower case, under a vector's one label. Each child is made beforehand, so that a failure that
// never happened is a 0, and counting one costs no look-up by a text that was made for it.
func ByCode(v *prometheus.CounterVec) func(error) {
	of := make(map[fault.Code]prometheus.Counter, len(faultCodes))
	for _, c := range faultCodes {
		of[c] = v.WithLabelValues(strings.ToLower(string(c)))
	}
	return func(err error) {
		c, known := of[fault.CodeOf(err)]
		if !known {
			c = of[fault.Internal]
		}
		c.Inc()
	}
}

// Or gives the registerer, or, if there is none, one that nobody reads.
func Or(reg prometheus.Registerer) prometheus.Registerer {
	if reg == nil {
		return prometheus.NewRegistry()
	}
	return reg
}

// Counter makes and announces one.
func Counter(reg prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	reg.MustRegister(c)
	return c
}

// Counters makes and announces a counter with labels.
func Counters(reg prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	reg.MustRegister(c)
	return c
}

// Gauge makes and announces one.
func Gauge(reg prometheus.Registerer, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	reg.MustRegister(g)
	return g
}

// Gauges makes and announces a gauge with labels.
func Gauges(reg prometheus.Registerer, name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	reg.MustRegister(g)
	return g
}

// Asked makes and announces a gauge whose value is asked for when somebody looks.
func Asked(reg prometheus.Registerer, name, help string, value func() float64) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Tallied is Asked for what only grows.
func Tallied(reg prometheus.Registerer, name, help string, value func() float64) {
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Histogram makes and announces one.
func Histogram(reg prometheus.Registerer, name, help string, buckets ...float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	reg.MustRegister(h)
	return h
}

// Histograms makes and announces a histogram with labels.
func Histograms(reg prometheus.Registerer, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	reg.MustRegister(h)
	return h
}

// Truth is 1 or 0.
func Truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
