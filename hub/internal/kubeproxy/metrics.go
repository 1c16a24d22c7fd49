package kubeproxy

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/kube"
)

type metrics struct {
	requests *prometheus.HistogramVec
	inFlight prometheus.Gauge
	streams  *prometheus.GaugeVec
	refused  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubilitics_hub_kube_request_seconds", Help: "Requests to clusters' Kubernetes APIs that end by themselves, by verb and class of status.",
			Buckets: []float64{.001, .002, .005, .01, .025, .1, .5, 2, 10, 60},
		}, []string{"verb", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubilitics_hub_kube_requests_in_flight", Help: "Such requests that are under way."}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubilitics_hub_kube_streams", Help: "Watches, followed logs and connections to clusters that are open.",
		}, []string{"kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubilitics_hub_kube_refused_total", Help: "Requests to clusters' Kubernetes APIs that this hub refused, by why.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.requests, m.inFlight, m.streams, m.refused)
	return m
}

// verbLabel never is the client's to choose.
func verbLabel(q kube.Request) string {
	switch _, known := verbs[q.Verb]; {
	case q.Connects():
		return "connect"
	case known:
		return q.Verb
	default:
		return "other"
	}
}

func (m metrics) began(q kube.Request) {
	if lasts(q) {
		m.streams.WithLabelValues(kind(q)).Inc()
		return
	}
	m.inFlight.Inc()
}

func (m metrics) ended(q kube.Request, status int, took time.Duration) {
	if lasts(q) {
		m.streams.WithLabelValues(kind(q)).Dec()
		return
	}
	m.inFlight.Dec()
	m.requests.WithLabelValues(verbLabel(q), classOf(status)).Observe(took.Seconds())
}

func kind(q kube.Request) string {
	switch {
	case q.Connects():
		return "connection"
	case q.Verb != "watch":
		return "log"
	default:
		return "watch"
	}
}

func classOf(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}
