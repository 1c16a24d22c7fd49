package uplink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// metrics are written by the link's loop, but for connects and disconnects. Children are made beforehand: some are counted for each change.
type metrics struct {
	changes, rows            prometheus.Counter
	diffs                    prometheus.Histogram
	sent, raw                prometheus.Counter
	loads, findings, deltas  prometheus.Counter
	acks                     prometheus.Counter
	lag                      prometheus.Histogram
	comparisons              prometheus.Counter
	unequal                  prometheus.Counter
	dirty                    [4]prometheus.Gauge // nodes, edges, manifests, gone
	unackedDeltas, unackedSz prometheus.Gauge
	credit                   prometheus.Gauge
	rereading                prometheus.Gauge
	nodes, edges             prometheus.Gauge
	phases                   [steady + 1]prometheus.Gauge
	synced, position         prometheus.Gauge
	sessions                 prometheus.Counter
	failed                   func(error)
}

// diffBounds are the bounds of how many rows a change touches: most touch one or two, a Node or a Namespace some hundreds.
var diffBounds = []float64{0, 1, 2, 4, 8, 16, 64, 256, 1024, 8192}

// lagSeconds are the bounds of how long a change takes to be committed.
var lagSeconds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300}

func newMetrics(reg prometheus.Registerer) *metrics {
	reg = obs.Or(reg)
	deltas := obs.Counters(reg, "kubilitics_agent_uplink_deltas_total", "Deltas sent: of a first load, of what a comparison found, and of changes.", "of")
	phases := obs.Gauges(reg, "kubilitics_agent_uplink_session", "1 for the state that the session with the hub is in, 0 for the others.", "state")
	dirty := obs.Gauges(reg, "kubilitics_agent_uplink_dirty", "Rows that the hub may not have as they are, by table; gone are nodes whose removal is still to be told.", "table")
	m := &metrics{
		changes:       obs.Counter(reg, "kubilitics_agent_graph_changes_total", "Changes of objects that the graph has taken in."),
		rows:          obs.Counter(reg, "kubilitics_agent_graph_rows_total", "Nodes and edges that changes of objects added, changed or removed."),
		diffs:         obs.Histogram(reg, "kubilitics_agent_graph_diff_rows", "Nodes and edges that one change touched; 0 where nothing came of it.", diffBounds...),
		nodes:         obs.Gauge(reg, "kubilitics_agent_graph_nodes", "Nodes of the graph."),
		edges:         obs.Gauge(reg, "kubilitics_agent_graph_edges", "Edges of the graph."),
		sent:          obs.Counter(reg, "kubilitics_agent_uplink_sent_bytes_total", "Rows sent to the hub, compressed."),
		raw:           obs.Counter(reg, "kubilitics_agent_uplink_raw_bytes_total", "Rows sent to the hub, before they were compressed."),
		loads:         deltas.WithLabelValues("load"),
		findings:      deltas.WithLabelValues("comparison"),
		deltas:        deltas.WithLabelValues("change"),
		acks:          obs.Counter(reg, "kubilitics_agent_uplink_acknowledged_total", "Deltas that the hub has acknowledged, which it does once they are committed."),
		lag:           obs.Histogram(reg, "kubilitics_agent_uplink_lag_seconds", "From when the oldest change of a delta was heard of until the hub had committed it and said so.", lagSeconds...),
		comparisons:   obs.Counter(reg, "kubilitics_agent_uplink_comparisons_total", "Comparisons of digests with the hub: at the start of a session, and when one was asked for."),
		unequal:       obs.Counter(reg, "kubilitics_agent_uplink_unequal_rows_total", "Rows that comparisons found to differ, and which were sent again."),
		unackedDeltas: obs.Gauge(reg, "kubilitics_agent_uplink_unacknowledged_deltas", "Deltas sent that the hub hasn't acknowledged."),
		unackedSz:     obs.Gauge(reg, "kubilitics_agent_uplink_unacknowledged_bytes", "Compressed rows sent that the hub hasn't acknowledged."),
		credit:        obs.Gauge(reg, "kubilitics_agent_uplink_credit_bytes", "Bytes that the hub lets be under way; 0 without a session."),
		rereading:     obs.Gauge(reg, "kubilitics_agent_uplink_rereading", "Manifests that are being read again from the API."),
		synced:        obs.Gauge(reg, "kubilitics_agent_uplink_synced", "1 while everything that is known is told and acknowledged."),
		position:      obs.Gauge(reg, "kubilitics_agent_uplink_position", "Position of the hub's newest commit from this agent."),
		sessions:      obs.Counter(reg, "kubilitics_agent_uplink_sessions_total", "Sessions that the hub has welcomed."),
		failed:        obs.ByCode(obs.Counters(reg, "kubilitics_agent_uplink_disconnects_total", "Sessions that ended or did not come about, after each of which the hub is dialled again, by the code of the fault.", "code")),
	}
	for i, table := range []string{"nodes", "edges", "manifests", "gone"} {
		m.dirty[i] = dirty.WithLabelValues(table)
	}
	for i, state := range []string{"offline", "welcomed", "loading", "comparing", "steady"} {
		m.phases[i] = phases.WithLabelValues(state)
	}
	return m
}

// took counts what came of one change.
func (m *metrics) took(rows int) {
	m.changes.Inc()
	m.rows.Add(float64(rows))
	m.diffs.Observe(float64(rows))
}

// frame counts one that is about to be sent, and has it say how long it has waited.
func (m *metrics) frame(f *tunnelv1.AgentFrame, w *waits) {
	d := f.GetDelta()
	switch {
	case f.GetGroups() != nil:
		m.comparisons.Inc()
		return
	case d == nil:
		return
	case d.GetLoad() || d.GetLoadEnd():
		m.loads.Inc()
	case d.GetResync():
		m.findings.Inc()
	default:
		d.WaitedUs = w.told(d.GetSeq())
		m.deltas.Inc()
	}
	m.sent.Add(float64(len(d.GetRows())))
	m.raw.Add(float64(wire.RawSize(d.GetRows())))
}

// note shows where the ledger stands.
func (m *metrics) note(l *Ledger, s Stats) {
	for i, n := range []int{len(l.marks.nodes), len(l.marks.edges), len(l.marks.manifests), len(l.marks.gone)} {
		m.dirty[i].Set(float64(n))
	}
	m.unackedDeltas.Set(float64(len(l.unacked)))
	m.unackedSz.Set(float64(l.unackedSz))
	m.rereading.Set(float64(len(l.reading)))
	for p := range m.phases {
		m.phases[p].Set(obs.Truth(phase(p) == l.phase))
	}
	m.credit.Set(0)
	if l.phase != offline {
		m.credit.Set(float64(l.credit))
	}
	m.nodes.Set(float64(s.Nodes))
	m.edges.Set(float64(s.Edges))
	m.synced.Set(obs.Truth(s.Synced))
	m.position.Set(float64(s.Position))
}

// waits is how long what is told has waited: a bound from above, since what isn't sent with the first delta keeps the time of the oldest.
type waits struct {
	since time.Time // when the oldest change began to wait that may not be sent yet; zero when all is
	sent  []waiting // deltas that aren't acknowledged
}

type waiting struct {
	seq   int64
	since time.Time
}

// heard notes that there are changes, the oldest of which has waited since then.
func (w *waits) heard(since time.Time) {
	if since.IsZero() {
		since = time.Now()
	}
	if w.since.IsZero() || since.Before(w.since) {
		w.since = since
	}
}

// told notes a delta of changes, and gives for how many microseconds the oldest has waited, at least one.
func (w *waits) told(seq int64) int64 {
	if w.since.IsZero() {
		return 0
	}
	w.sent = append(w.sent, waiting{seq, w.since})
	return max(time.Since(w.since).Microseconds(), 1)
}

// empty notes that nothing waits any more.
func (w *waits) empty() { w.since = time.Time{} }

// acknowledged takes what the hub has committed.
func (w *waits) acknowledged(seq int64, observe func(seconds float64)) {
	n := 0
	for ; n < len(w.sent) && w.sent[n].seq <= seq; n++ {
		observe(time.Since(w.sent[n].since).Seconds())
	}
	w.sent = append(w.sent[:0], w.sent[n:]...)
}

// lost forgets: what wasn't acknowledged the next comparison finds, and marks late.
func (w *waits) lost() { *w = waits{} }
