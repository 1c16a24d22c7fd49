package kubeproxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// metrics have their children beforehand: there are requests by the thousand a second.
type metrics struct {
	requests map[string]*[6]prometheus.Observer // by verb; the class of the status, 0 for none
	inFlight prometheus.Gauge
	streams  map[string]prometheus.Gauge
	refused  *prometheus.CounterVec
}

var statusClasses = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(reg prometheus.Registerer) metrics {
	took := obs.Histograms(reg, "kubilitics_hub_kube_request_seconds", "Requests to clusters' Kubernetes APIs that end by themselves, by verb and class of status; none is no answer.",
		[]float64{.001, .002, .005, .01, .025, .1, .5, 2, 10, 60}, "verb", "status")
	streams := obs.Gauges(reg, "kubilitics_hub_kube_streams", "Watches, followed logs and connections to clusters that are open.", "kind")
	m := metrics{
		requests: map[string]*[6]prometheus.Observer{},
		inFlight: obs.Gauge(reg, "kubilitics_hub_kube_requests_in_flight", "Requests to clusters' Kubernetes APIs that are under way and end by themselves."),
		streams:  map[string]prometheus.Gauge{},
		refused:  obs.Counters(reg, "kubilitics_hub_kube_refused_total", "Requests to clusters' Kubernetes APIs that this hub refused, by why: a code, or offline, closing, or that they could not be put on record.", "reason"),
	}
	for _, verb := range append([]string{"connect", "other"}, verbWords()...) {
		var of [6]prometheus.Observer
		for i, class := range statusClasses {
			of[i] = took.WithLabelValues(verb, class)
		}
		m.requests[verb] = &of
	}
	for _, kind := range []string{"connection", "log", "watch"} {
		m.streams[kind] = streams.WithLabelValues(kind)
	}
	for _, reason := range []string{"offline", "record", "closing"} {
		m.refused.WithLabelValues(reason)
	}
	obs.ByCode(m.refused) // so that all of them are there
	return m
}

func verbWords() (out []string) {
	for verb := range verbs {
		out = append(out, verb)
	}
	return out
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
		m.streams[kind(q)].Inc()
		return
	}
	m.inFlight.Inc()
}

func (m metrics) ended(q kube.Request, status int, took time.Duration) {
	if lasts(q) {
		m.streams[kind(q)].Dec()
		return
	}
	m.inFlight.Dec()
	m.requests[verbLabel(q)][classOf(status)].Observe(took.Seconds())
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

// classOf is the place of a status in statusClasses.
func classOf(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status / 100
}
