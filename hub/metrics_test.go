package hub

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

// described are the names of all that is announced, also of what has no series yet.
func described(reg *prometheus.Registry) (out []string) {
	ch := make(chan *prometheus.Desc, 16)
	go func() { reg.Describe(ch); close(ch) }()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	for d := range ch {
		out = append(out, name.FindStringSubmatch(d.String())[1])
	}
	return out
}

func openedHub(t *testing.T) *Hub {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DataDir, cfg.Listen, cfg.Tunnel.Listen = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	h, err := New(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// Whatever the hub announces stands in docs/metrics.md, also what no series tells of yet.
func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range described(openedHub(t).metrics) {
		if !strings.HasPrefix(name, "kubilitics_") {
			continue
		}
		if n++; !strings.Contains(string(page), "\n| `"+name+"` |") {
			t.Errorf("%s isn't in docs/metrics.md", name)
		}
	}
	if n < 60 {
		t.Errorf("%d metrics", n)
	}
}

// A cluster has its series once it has connected, under the name it has now, and none when it is gone.
func TestCensus(t *testing.T) {
	h := openedHub(t)
	if err := h.census.count(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	empty := gauges(t, h)
	if v, there := empty["clusters live"]; !there || v != 0 || empty["store_bytes"] == 0 || empty["data_size_bytes"] < empty["data_free_bytes"] || empty["census_timestamp_seconds"] == 0 {
		t.Errorf("of an empty hub: %v", empty)
	}
	heard := time.Now().Add(-time.Minute).Truncate(time.Second)
	all := []seen{
		{"acme", fleet.Cluster{ID: 1, Name: "shop", Freshness: fleet.Freshness{State: fleet.Live, LastHeard: heard}}},
		{"acme", fleet.Cluster{ID: 2, Name: "old", Freshness: fleet.Freshness{State: fleet.Stale, LastHeard: heard}}},
		{"acme", fleet.Cluster{ID: 3, Name: "new", Freshness: fleet.Freshness{State: fleet.Never}}},
	}
	h.census.found.Store(&all)
	got := gauges(t, h)
	for name, want := range map[string]float64{
		"clusters live": 1, "clusters stale": 1, "clusters never": 1, "cluster_live shop acme": 1, "cluster_live old acme": 0, "cluster_heard_timestamp_seconds old acme": float64(heard.Unix()),
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s: %v, want %v", name, v, want)
		}
	}
	if _, there := got["cluster_live new acme"]; there {
		t.Error("a cluster that has never connected has a series of its own")
	}
}

// gauges are those of a hub, with the values of their labels but for a cluster's id.
func gauges(t *testing.T, h *Hub) map[string]float64 {
	t.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "kubilitics_hub_")
			for _, l := range m.GetLabel() {
				if l.GetName() != "cluster" {
					name += " " + l.GetValue()
				}
			}
			out[name] = m.GetGauge().GetValue()
		}
	}
	return out
}
