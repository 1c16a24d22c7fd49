package kubeserve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// metrics have a child for each verb and class of status beforehand: there are requests by the thousand a second.
type metrics struct {
	answers map[string]*[6]prometheus.Observer // by verb; the class of the status, 0 for no answer
	flying  prometheus.Gauge
	lasting prometheus.Gauge
	refused func(error)
}

// verbs are those of the API that are told apart; what is neither is "other".
var verbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect", "other"}

var classes = [6]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func newMetrics(reg prometheus.Registerer) *metrics {
	reg = obs.Or(reg)
	heads := obs.Histograms(reg, "kubilitics_agent_kube_answer_seconds", "Requests from the hub to the Kubernetes API, from their arrival to the head of the API server's answer, by verb and class of status; none is no answer.",
		[]float64{.001, .0025, .005, .01, .025, .1, .5, 2, 10, 60}, "verb", "status")
	m := &metrics{
		answers: make(map[string]*[6]prometheus.Observer, len(verbs)),
		flying:  obs.Gauge(reg, "kubilitics_agent_kube_requests_in_flight", "Requests from the hub to the Kubernetes API that are under way and end by themselves."),
		lasting: obs.Gauge(reg, "kubilitics_agent_kube_streams", "Watches, followed logs and connections to pods that are open through the hub."),
		refused: obs.ByCode(obs.Counters(reg, "kubilitics_agent_kube_refused_total", "Requests from the hub that the agent didn't let in, by the code of the answer.", "code")),
	}
	for _, verb := range verbs {
		var of [6]prometheus.Observer
		for i, class := range classes {
			of[i] = heads.WithLabelValues(verb, class)
		}
		m.answers[verb] = &of
	}
	return m
}

// began counts a request in; what it gives counts it out.
func (m *metrics) began(q kube.Request) (ended func()) {
	g := m.flying
	if q.Lasts() {
		g = m.lasting
	}
	g.Inc()
	return g.Dec
}

// answered takes the status of an answer, 0 for none.
func (m *metrics) answered(q kube.Request, status int, began time.Time) {
	verb := q.Verb
	if q.Connects() {
		verb = "connect"
	}
	of, known := m.answers[verb]
	if !known {
		of = m.answers["other"]
	}
	class := status / 100
	if class < 0 || class > 5 {
		class = 0
	}
	of[class].Observe(time.Since(began).Seconds())
}
