package uplink

import (
	"context"
	"math/rand/v2"
	"time"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// control answers what the hub asks.
type control struct {
	tunnelv1.UnimplementedControlServer
	link *Link
}

// Ping says who is here and how much of the cluster is known.
func (c *control) Ping(context.Context, *tunnelv1.PingRequest) (*tunnelv1.PingReply, error) {
	h, s := c.link.cfg.Hello(), c.link.Stats()
	return &tunnelv1.PingReply{
		Instance: h.GetInstance(), AgentVersion: h.GetAgentVersion(), KubernetesVersion: c.link.cfg.Version(),
		Nodes: int64(s.Nodes), Edges: int64(s.Edges),
	}, nil
}

// Resync notes that a comparison is wanted; several wishes are one.
func (c *control) Resync(context.Context, *tunnelv1.ResyncRequest) (*tunnelv1.ResyncReply, error) {
	select {
	case c.link.compare <- struct{}{}:
	default:
	}
	return &tunnelv1.ResyncReply{}, nil
}

// Drain ends the session at a moment of the hub's span, drawn so that the agents of a hub don't all move at once; dialling again then
// finds another replica.
func (c *control) Drain(ctx context.Context, req *tunnelv1.DrainRequest) (*tunnelv1.DrainReply, error) {
	session, ok := tunnel.SessionOf(ctx)
	if !ok {
		return nil, fault.New(fault.Internal, "the call came from nowhere")
	}
	span := time.Duration(max(0, req.GetWithinSeconds())) * time.Second
	timer := time.AfterFunc(time.Duration(rand.Float64()*float64(span)), func() {
		session.Close(fault.New(fault.Unavailable, "the hub asked this agent to move"))
	})
	context.AfterFunc(session.Context(), func() { timer.Stop() })
	return &tunnelv1.DrainReply{}, nil
}
