package agent

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/agent/internal/uplink"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Whatever the agent announces stands in docs/metrics.md, also what no series tells of yet.
func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Hub = "tls://127.0.0.1:1"
	a := &Agent{cfg: cfg, log: zap.NewNop(), rest: &rest.Config{Host: "http://127.0.0.1:1"}}
	if a.table, err = cfg.ruleTable(); err != nil {
		t.Fatal(err)
	}
	if err := a.furnish(); err != nil {
		t.Fatal(err)
	}
	uplink.NewLink(uplink.Config{Ledger: uplink.NewLedger(topo.NewEngine(a.table), true), Registerer: a.metrics})
	ch := make(chan *prometheus.Desc, 16)
	go func() { a.metrics.Describe(ch); close(ch) }()
	name, n := regexp.MustCompile(`fqName: "(kubilitics_[^"]+)"`), 0
	for d := range ch {
		m := name.FindStringSubmatch(d.String())
		if m == nil {
			continue
		}
		if n++; !strings.Contains(string(page), "\n| `"+m[1]+"` |") {
			t.Errorf("%s isn't in docs/metrics.md", m[1])
		}
	}
	if n < 35 {
		t.Errorf("%d metrics", n)
	}
}
