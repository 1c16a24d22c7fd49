package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/shared/obs"
)

// newRegistry makes the registry of an agent's metrics. One that runs inside another program leaves the process to that program.
func (a *Agent) newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	if a.inside.Dial == nil {
		reg = obs.NewRegistry("kubilitics-agent")
	}
	obs.Asked(reg, "kubilitics_agent_enrolled", "1 once the agent is a member of its hub.", func() float64 { return obs.Truth(a.member.Load() != nil) })
	obs.Asked(reg, "kubilitics_agent_ready", "1 once the agent is enrolled and the cluster was listed: what /readyz says.", func() float64 { return obs.Truth(a.ready() == nil) })
	obs.Asked(reg, "kubilitics_agent_certificate_end_timestamp_seconds", "When the agent's certificate ends, which it renews after half to two thirds of its life; 0 before it has one.", a.certificateEnd)
	return reg
}

func (a *Agent) certificateEnd() float64 {
	if m := a.member.Load(); m != nil {
		return float64(m.NotAfter().Unix())
	}
	return 0
}
