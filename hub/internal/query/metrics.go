package query

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/obs"
)

// question is a kind of question, for whom wants to know how long its answers take.
type question string

// questions are all there are. What takes more than one snapshot, as a difference does, is counted by each.
var questions = []question{
	"added", "cluster", "clusters", "compare", "diff", "events", "export", "findings", "get", "graph", "groups", "health", "history", "impact", "info", "kinds", "list",
	"members", "neighbours", "objects", "paths", "revision", "search", "shared", "summary", "values", "workloads",
}

type metrics struct {
	took map[question]prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) *metrics {
	all := obs.Histograms(obs.Or(reg), "kubilitics_hub_query_seconds", "Questions about clusters, from the look-up of whom they may concern to the end of reading, by kind of question.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30}, "question")
	m := &metrics{took: make(map[question]prometheus.Observer, len(questions))}
	for _, q := range questions {
		m.took[q] = all.WithLabelValues(string(q))
	}
	return m
}

func (m *metrics) asked(what question, began time.Time) {
	m.took[what].Observe(time.Since(began).Seconds())
}

// Announce has the Querier's metrics told. It is to be called before the first question.
func (q *Querier) Announce(reg prometheus.Registerer) *Querier {
	q.metrics = newMetrics(reg)
	return q
}
