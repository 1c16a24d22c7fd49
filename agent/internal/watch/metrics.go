package watch

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	kwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/kubilitics/kubilitics/shared/obs"
)

// metrics are counted where objects come by, so children are made beforehand.
type metrics struct {
	listed, added, modified, deleted, bookmarks prometheus.Counter
	passed                                      prometheus.Counter
	lists, streams                              prometheus.Counter
	refused, answered, unreachable              prometheus.Counter
	readEach, readListed                        prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	reg = obs.Or(reg)
	events := obs.Counters(reg, "kubilitics_agent_watch_events_total", "Objects that lists and watches of the Kubernetes API brought, and bookmarks.", "event")
	lists := obs.Counters(reg, "kubilitics_agent_watch_lists_total", "Times that a kind was listed as a whole, in pages or as a stream; once for each kind at the start, and again after a watch was lost.", "how")
	errors := obs.Counters(reg, "kubilitics_agent_watch_errors_total", "Lists and watches that ended with an error: refused by the API server, answered by it otherwise, or not answered.", "reason")
	reads := obs.Counters(reg, "kubilitics_agent_watch_rereads_total", "Manifests asked of the API again, since there had been no room to keep them: object by object, or by lists of their kind.", "how")
	return &metrics{
		listed: events.WithLabelValues("listed"), added: events.WithLabelValues("added"), modified: events.WithLabelValues("modified"),
		deleted: events.WithLabelValues("deleted"), bookmarks: events.WithLabelValues("bookmark"),
		passed: obs.Counter(reg, "kubilitics_agent_watch_passed_over_total", "Objects that could not be understood."),
		lists:  lists.WithLabelValues("pages"), streams: lists.WithLabelValues("stream"),
		refused: errors.WithLabelValues("refused"), answered: errors.WithLabelValues("answered"), unreachable: errors.WithLabelValues("unreachable"),
		readEach: reads.WithLabelValues("object"), readListed: reads.WithLabelValues("list"),
	}
}

// event counts one of a watch.
func (m *metrics) event(word string) {
	switch kwatch.EventType(word) {
	case kwatch.Added:
		m.added.Inc()
	case kwatch.Modified:
		m.modified.Inc()
	case kwatch.Deleted:
		m.deleted.Inc()
	case kwatch.Bookmark:
		m.bookmarks.Inc()
	}
}

// ask announces what is counted only when somebody looks.
func (s *Source) ask(reg prometheus.Registerer) {
	reg = obs.Or(reg)
	obs.Tallied(reg, "kubilitics_agent_watch_coalesced_total", "Changes that took the place of an older one of the same object that was still waiting.",
		func() float64 { n, _ := s.queue.tally(); return n })
	obs.Tallied(reg, "kubilitics_agent_watch_kubernetes_events_lost_total", "Kubernetes Events that no room was left for; they are listed again.",
		func() float64 { _, n := s.queue.tally(); return n })
	obs.Asked(reg, "kubilitics_agent_watch_waiting", "Objects with a change that the graph hasn't taken in yet.", func() float64 { n, _ := s.queue.waiting(); return n })
	obs.Asked(reg, "kubilitics_agent_watch_waiting_bytes", "Compressed manifests of objects whose change waits.", func() float64 { _, b := s.queue.waiting(); return b })
	obs.Asked(reg, "kubilitics_agent_watch_synced", "1 once every kind known at the start was listed, as far as the API allows.", func() float64 { return obs.Truth(s.Synced()) })
	obs.Asked(reg, "kubilitics_agent_watch_api_server_up", "1 while the API server answers.", func() float64 { return obs.Truth(!s.client.reach.down()) })
	reg.MustRegister(kindCount{s})
}

var kindsDesc = prometheus.NewDesc("kubilitics_agent_watch_kinds", "Kinds of objects that the API serves: watched, not to be watched at the moment, or excluded by the configuration.", []string{"state"}, nil)

// kindCount counts kinds by how their watch stands.
type kindCount struct{ s *Source }

// Describe implements prometheus.Collector.
func (c kindCount) Describe(out chan<- *prometheus.Desc) { out <- kindsDesc }

// Collect implements prometheus.Collector.
func (c kindCount) Collect(out chan<- prometheus.Metric) {
	for state, n := range c.s.kinds() {
		out <- prometheus.MustNewConstMetric(kindsDesc, prometheus.GaugeValue, n, state)
	}
}

func (s *Source) kinds() map[string]float64 {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.watchers)) // a watcher's lock is taken before this one
	s.mu.Unlock()
	of := map[string]float64{"watched": 0, "unwatched": 0, "excluded": 0}
	for _, w := range all {
		switch {
		case w.excluded():
			of["excluded"]++
		case w.observed():
			of["watched"]++
		default:
			of["unwatched"]++
		}
	}
	return of
}

// observed tells how the kind stood when that was last told.
func (w *watcher) observed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told.Observed
}

// Synced tells whether every kind known at the start was listed, as far as the API allows. It never becomes false again.
func (s *Source) Synced() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.said
}

func (q *queue) waiting() (objects, bytes float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return float64(len(q.pending)), float64(q.held)
}

func (q *queue) tally() (coalesced, lost float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return float64(q.coalesced), float64(q.allLost)
}

func (r *reach) down() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up != nil
}
