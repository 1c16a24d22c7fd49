package obs

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// What never happened is told as 0, and what is no fault counts as internal.
func TestByCode(t *testing.T) {
	reg := prometheus.NewRegistry()
	count := ByCode(Counters(reg, "failures_total", "Failures.", "code"))
	count(fault.New(fault.Conflict, "twice"))
	count(errors.New("no fault"))
	count(&fault.Error{Code: "OF_ANOTHER_TIME"})
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	if len(got) != len(faultCodes) || got["conflict"] != 1 || got["internal_server_error"] != 2 || got["gone"] != 0 {
		t.Errorf("counted %v", got)
	}
}

func TestEachIsAnnounced(t *testing.T) {
	reg := prometheus.NewRegistry()
	Counter(reg, "c_total", "C.").Inc()
	Gauge(reg, "g", "G.").Set(Truth(true))
	Gauges(reg, "gs", "Gs.", "of").WithLabelValues("x").Set(Truth(false))
	Asked(reg, "a", "A.", func() float64 { return 3 })
	Tallied(reg, "t_total", "T.", func() float64 { return 4 })
	Histogram(reg, "h_seconds", "H.", 1, 2).Observe(1)
	Histograms(reg, "hs_seconds", "Hs.", []float64{1}, "of").WithLabelValues("x").Observe(2)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]dto.MetricType{}
	for _, f := range families {
		types[f.GetName()] = f.GetType()
	}
	if len(types) != 7 || types["c_total"] != dto.MetricType_COUNTER || types["a"] != dto.MetricType_GAUGE || types["hs_seconds"] != dto.MetricType_HISTOGRAM {
		t.Errorf("announced %v", types)
	}
	if Or(nil) == nil || Or(reg) != prometheus.Registerer(reg) {
		t.Error("Or gives another registerer")
	}
}
