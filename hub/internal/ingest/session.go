package ingest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// session is one agent's stream. Its fields belong to the goroutine that serves it.
type session struct {
	*Server
	ctx    context.Context // of the stream, and of the trace of the frame in hand; every write to the store is under it
	stream grpc.BidiStreamingServer[tunnelv1.AgentFrame, tunnelv1.HubFrame]
	peer   peer
	log    *zap.Logger

	epoch    int64
	seq      int64         // of the last delta received
	position topo.Position // of the newest commit of this session
	gapSince time.Time     // since when what a comparison finds may have gone unseen
	live     bool          // hub and agent have agreed once in this session

	load    store.Load // under way; nil otherwise
	loading bool       // the hub has nothing yet: only a load may come
	held    topo.Delta // rows of the load not yet written
	heldLen int        // their size on the wire
	compare map[topo.Table]*topo.Digest
}

func readHello(stream grpc.BidiStreamingServer[tunnelv1.AgentFrame, tunnelv1.HubFrame]) (*tunnelv1.Hello, error) {
	first, err := stream.Recv()
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the agent went away before it said hello")
	}
	hello := first.GetHello()
	switch {
	case hello == nil:
		return nil, fault.New(fault.BadRequest, "a session begins with hello")
	case hello.GetCapability() < 1:
		return nil, fault.New(fault.BadRequest, "hello names no capability")
	case !slices.Contains(hello.GetDigestVersions(), topo.DigestVersion):
		return nil, fault.New(fault.BadRequest, "the agent computes digests of versions %v, this hub of version %d: upgrade the older one", hello.GetDigestVersions(), topo.DigestVersion)
	case hello.GetInstance() == "" || len(hello.GetInstance()) > 64:
		return nil, fault.New(fault.BadRequest, "hello names no instance of at most 64 characters")
	}
	return hello, nil
}

func shareOf(s tunnelv1.Share) (fleet.Share, error) {
	switch s {
	case tunnelv1.Share_SHARE_TOPOLOGY:
		return fleet.ShareTopology, nil
	case tunnelv1.Share_SHARE_MANIFESTS:
		return fleet.ShareManifests, nil
	default:
		return "", fault.New(fault.BadRequest, "hello doesn't say what the cluster shares")
	}
}

// open makes this session the cluster's writer and welcomes the agent.
func (s *Server) open(ctx context.Context, stream grpc.BidiStreamingServer[tunnelv1.AgentFrame, tunnelv1.HubFrame], p peer, h *tunnelv1.Hello, log *zap.Logger) (*session, error) {
	share, err := shareOf(h.GetShare())
	if err != nil {
		return nil, err
	}
	c, err := s.store.OpenSession(ctx, p.scope, store.Hello{
		Instance: h.GetInstance(), Agent: h.GetAgentVersion(), Version: h.GetKubernetesVersion(), Provider: h.GetProvider(),
		Share: share, KubeUID: h.GetKubeSystemUid(),
	})
	if err != nil {
		return nil, err
	}
	s.registry.Opened(ctx, c.Epoch)
	x := &session{
		Server: s, ctx: ctx, stream: stream, peer: p, epoch: c.Epoch, loading: !c.Synced,
		gapSince: cmp.Or(c.Freshness.Since, c.Freshness.LastHeard), // a cluster that was never live has no Since
		log:      log.With(zap.Int64("epoch", c.Epoch)),
	}
	if err := x.welcome(); err != nil {
		x.close()
		return nil, err
	}
	s.metrics.sessions.Inc()
	x.log.Info("sync session opened", zap.String("agent", h.GetAgentVersion()), zap.Bool("load", x.loading))
	return x, nil
}

func (x *session) welcome() error {
	through, err := x.store.EventsThrough(x.ctx, x.peer.scope)
	if err != nil {
		return err
	}
	return x.send(&tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_Welcome{Welcome: &tunnelv1.Welcome{
		Epoch: x.epoch, Capability: wire.Capability, DigestVersion: topo.DigestVersion, Load: x.loading, Credit: x.credit, EventsThrough: through,
	}}})
}

func (x *session) send(f *tunnelv1.HubFrame) error {
	if err := x.stream.Send(f); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the agent went away")
	}
	return nil
}

// close gives up what is half done and notes since when the cluster is stale. The stream's context has ended by now, and both must happen
// all the same: a named detach point, bounded in time.
func (x *session) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), 10*time.Second)
	defer cancel()
	if x.load != nil {
		if err := x.load.Abort(ctx); err != nil {
			x.log.Warn("a load was not given up cleanly; the next session clears it", zap.Error(err))
		}
	}
	if err := x.store.CloseSession(ctx, x.peer.scope, x.epoch, x.peer.lastHeard()); err != nil && !fault.Is(err, fault.NotFound) {
		x.log.Warn("the end of a session was not noted; it will expire", zap.Error(err))
	}
}

// run serves frames until the agent ends the stream or the session is to end.
func (x *session) run(ctx context.Context) error {
	for {
		frame, err := x.stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case status.Code(err) == codes.ResourceExhausted:
			return fault.Wrap(err, fault.BadRequest, "a frame is larger than %d bytes", wire.MaxFrame)
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fault.Wrap(err, fault.Unavailable, "the agent went away")
		}
		if err := x.handle(frame); err != nil {
			return err
		}
	}
}

func (x *session) handle(frame *tunnelv1.AgentFrame) error {
	switch f := frame.GetFrame().(type) {
	case *tunnelv1.AgentFrame_Delta:
		return x.traced(f.Delta)
	case *tunnelv1.AgentFrame_Groups:
		return x.groups(f.Groups)
	case *tunnelv1.AgentFrame_Buckets:
		return x.buckets(f.Buckets)
	case *tunnelv1.AgentFrame_Kinds:
		return x.kinds(f.Kinds)
	case *tunnelv1.AgentFrame_Hello:
		return fault.New(fault.BadRequest, "a session says hello once")
	default:
		return fault.New(fault.BadRequest, "an empty frame")
	}
}

func (x *session) kinds(k *tunnelv1.Kinds) error {
	out := make([]topo.KindReport, 0, len(k.GetKinds()))
	for _, p := range k.GetKinds() {
		out = append(out, topo.KindReport{
			GroupKind: topo.GroupKind{Group: p.GetGroup(), Kind: p.GetKind()}, Version: p.GetVersion(), Plural: p.GetPlural(),
			Namespaced: p.GetNamespaced(), Observed: p.GetObserved(), Reason: p.GetReason(),
		})
	}
	return x.store.PutKinds(x.ctx, x.peer.scope, x.epoch, out)
}

// agree says, once a session, that the rows are current.
func (x *session) agree() error {
	x.gapSince = time.Now()
	if x.live {
		return nil
	}
	if err := x.store.MarkLive(x.ctx, x.peer.scope, x.epoch); err != nil {
		return err
	}
	x.live = true
	return nil
}
