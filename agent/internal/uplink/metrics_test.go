package uplink

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// A delta says how long its oldest change has waited; what is told with a later one keeps the time of the oldest.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waits
		var lags []float64
		if w.told(1) != 0 {
			t.Error("nothing waited, and yet it did")
		}
		w.heard(time.Now().Add(-2 * time.Second))
		w.heard(time.Time{}) // now, which is later
		if got := w.told(2); got != 2e6 {
			t.Errorf("waited %d µs", got)
		}
		time.Sleep(time.Second)
		if got := w.told(3); got != 3e6 { // the same change may be in this one
			t.Errorf("waited %d µs", got)
		}
		w.empty()
		w.heard(time.Now())
		if got := w.told(4); got != 1 {
			t.Errorf("waited %d µs, which would mean that it isn't known", got)
		}
		time.Sleep(time.Second)
		w.acknowledged(3, func(s float64) { lags = append(lags, s) })
		w.acknowledged(3, func(s float64) { lags = append(lags, s) })
		if !slices.Equal(lags, []float64{4, 4}) {
			t.Errorf("lags %v", lags)
		}
		if w.lost(); w.told(5) != 0 {
			t.Error("what waited is remembered beyond the session")
		}
	})
}

// Each step of a session is counted as what it is.
func TestAConversationIsCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	p := newPair(t)
	p.ledger.took = m.took
	say := func() {
		for {
			f, err := p.ledger.Next()
			if err != nil {
				t.Fatal(err)
			}
			if f == nil {
				return
			}
			m.frame(f, &waits{since: time.Now()})
			for _, a := range p.hub.take(f) {
				if _, err := p.ledger.Receive(a); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	pod := func(name string) topo.Change {
		r := topo.Ref{Kind: "Pod", Namespace: "shop", Name: name}
		return topo.Change{Ref: r, Resource: &topo.Resource{Ref: r, UID: name}}
	}
	p.ledger.Absorb(News{Changes: []topo.Change{pod("a"), pod("b")}, Synced: true})
	m.note(p.ledger, Stats{})
	want(t, reg, map[string]float64{"graph_changes_total": 2, "graph_rows_total": 2, "credit_bytes": 0, "session offline": 1, "session steady": 0})
	p.connect()
	say()
	p.ledger.Absorb(News{Changes: []topo.Change{pod("c")}})
	m.note(p.ledger, Stats{Nodes: 3, Synced: true})
	want(t, reg, map[string]float64{"dirty nodes": 1, "session steady": 1, "graph_nodes": 3, "synced": 1, "deltas_total change": 0})
	say()
	p.ledger.Compare()
	say()
	m.note(p.ledger, Stats{})
	want(t, reg, map[string]float64{"deltas_total change": 1, "comparisons_total": 1, "dirty nodes": 0, "unacknowledged_deltas": 0})
	if got := values(t, reg); got["deltas_total load"] < 1 || got["sent_bytes_total"] == 0 || got["raw_bytes_total"] == 0 {
		t.Errorf("of the load was counted %v", got)
	}
}

// A delta of changes says how long they waited; a load and what a comparison found don't: their changes are as old as the gap.
func TestOnlyChangesSayHowLongTheyWaited(t *testing.T) {
	m, w := newMetrics(nil), &waits{since: time.Now()}
	for _, d := range []*tunnelv1.Delta{{Load: true}, {LoadEnd: true}, {Resync: true}, {}} {
		m.frame(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Delta{Delta: d}}, w)
		if plain := !d.Load && !d.LoadEnd && !d.Resync; (d.WaitedUs > 0) != plain {
			t.Errorf("%v says that it waited %d µs", d, d.WaitedUs)
		}
	}
}

func want(t *testing.T, reg *prometheus.Registry, of map[string]float64) {
	t.Helper()
	got := values(t, reg)
	for name, v := range of {
		if got[name] != v {
			t.Errorf("%s is %v, not %v", name, got[name], v)
		}
	}
}

// values are those of counters and gauges, by the ends of their names and by their label.
func values(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[short(f, m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func short(f *dto.MetricFamily, m *dto.Metric) string {
	name := strings.TrimPrefix(strings.TrimPrefix(f.GetName(), "kubilitics_agent_"), "uplink_")
	if len(m.GetLabel()) > 0 {
		name += " " + m.GetLabel()[0].GetValue()
	}
	return name
}
