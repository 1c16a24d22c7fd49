package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// metrics are of all tunnels together.
type metrics struct {
	attached prometheus.Counter
	ended    func(error)
	refused  func(error)
	expired  prometheus.Counter

	in, out uint64 // bytes of the tunnels that have ended; under the gateway's mutex
}

func newMetrics(reg prometheus.Registerer) *metrics {
	reg = obs.Or(reg)
	return &metrics{
		attached: obs.Counter(reg, "kubilitics_hub_tunnels_total", "Tunnels of agents that were admitted."),
		ended:    obs.ByCode(obs.Counters(reg, "kubilitics_hub_tunnels_ended_total", "Tunnels that ended, by the code of why; unavailable is an agent that left or fell silent.", "code")),
		refused:  obs.ByCode(obs.Counters(reg, "kubilitics_hub_tunnels_refused_total", "Connections that came to no tunnel, by the code of why.", "code")),
		expired:  obs.Counter(reg, "kubilitics_hub_sessions_expired_total", "Clusters that were marked stale since nobody had heard of them, rather than by the end of their session."),
	}
}

// Announce has the gateway's metrics told. It is to be called before the first tunnel.
func (g *Gateway) Announce(reg prometheus.Registerer) {
	g.metrics = newMetrics(reg)
	obs.Asked(reg, "kubilitics_hub_tunnels", "Tunnels that are there.", func() float64 { n, _ := g.counts(); return n })
	obs.Asked(reg, "kubilitics_hub_sessions", "Clusters whose agent has a session on a tunnel of this hub: those that are live.", func() float64 { _, n := g.counts(); return n })
	obs.Asked(reg, "kubilitics_hub_tunnel_streams", "Streams open on tunnels.", func() float64 { return float64(g.streams()) })
	reg.MustRegister(traffic{g})
}

// Refused counts a connection that came to no tunnel: tunnel.ServerConfig.Refused.
func (g *Gateway) Refused(err error) { g.metrics.refused(err) }

func (g *Gateway) counts() (tunnels, sessions float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(len(g.links)), float64(len(g.holder))
}

func (g *Gateway) sessions() []*tunnel.Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*tunnel.Session, 0, len(g.links))
	for s := range g.links {
		out = append(out, s)
	}
	return out
}

func (g *Gateway) streams() (n int) {
	for _, s := range g.sessions() {
		n += s.Streams()
	}
	return n
}

// left is called with mu held when a tunnel has ended.
func (m *metrics) left(s *tunnel.Session) {
	in, out := s.Bytes()
	m.in, m.out = m.in+in, m.out+out
	err := s.Err()
	if err == nil {
		err = fault.New(fault.Unavailable, "it has ended")
	}
	m.ended(err)
}

var trafficDesc = prometheus.NewDesc("kubilitics_hub_tunnel_bytes_total", "Bytes that went over tunnels, below their encryption, in to the hub or out to agents.", []string{"direction"}, nil)

// traffic sums what sessions count themselves.
type traffic struct{ g *Gateway }

// Describe implements prometheus.Collector.
func (t traffic) Describe(out chan<- *prometheus.Desc) { out <- trafficDesc }

// Collect implements prometheus.Collector. The sum never falls: a tunnel's bytes are taken over in the step in which it leaves.
func (t traffic) Collect(ch chan<- prometheus.Metric) {
	t.g.mu.Lock()
	in, out := t.g.metrics.in, t.g.metrics.out
	for s := range t.g.links {
		i, o := s.Bytes()
		in, out = in+i, out+o
	}
	t.g.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(trafficDesc, prometheus.CounterValue, float64(in), "in")
	ch <- prometheus.MustNewConstMetric(trafficDesc, prometheus.CounterValue, float64(out), "out")
}
