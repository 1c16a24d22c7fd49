// Package ingest is the hub's end of the sync stream: it takes an agent's load, comparisons and deltas and applies them to
// the store, one goroutine a session.
package ingest

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// Store is what ingest writes to.
type Store interface {
	store.Sessions
	store.Writer
	store.Digests
}

// peer is the agent at the other end of a stream.
type peer struct {
	scope     store.Scope
	lastHeard func() time.Time
}

// Registry decides which session may write a cluster's rows.
type Registry interface {
	// Peer tells whose stream this is, by the certificate of its tunnel, and gives the clock of its signs of life.
	Peer(ctx context.Context) (at store.Scope, lastHeard func() time.Time, err error)
	// Admit lets the session of that instance be the cluster's only one, or refuses it. The context it gives ends when the session is to end.
	// release must be called when it has.
	Admit(ctx context.Context, instance string) (admitted context.Context, release func(), err error)
	// Opened notes the epoch under which the session writes.
	Opened(ctx context.Context, epoch int64)
}

// Renewer signs the next certificate of the agent at the other end.
type Renewer interface {
	Renew(ctx context.Context, req *tunnelv1.RenewRequest) (*tunnelv1.RenewReply, error)
}

// Server answers the sync service.
type Server struct {
	tunnelv1.UnimplementedSyncServer

	store    Store
	registry Registry
	renewer  Renewer
	log      *zap.Logger
	metrics  *metrics
	tracer   *obs.Tracer // nil: no traces
	credit   int64
}

// Credit is how many bytes of deltas an agent may have unacknowledged: a window of the tunnel, so that what is under way always fits into
// what the hub has promised to hold.
const Credit = 1 << 20

// Register makes a server and adds it to a gRPC server. Without a tracer there are no traces.
func Register(on grpc.ServiceRegistrar, s Store, r Registry, renew Renewer, log *zap.Logger, reg Registerer, tracer *obs.Tracer) {
	tunnelv1.RegisterSyncServer(on, &Server{store: s, registry: r, renewer: renew, log: log, metrics: newMetrics(reg), tracer: tracer, credit: Credit})
}

// Renew passes the request on.
func (s *Server) Renew(ctx context.Context, req *tunnelv1.RenewRequest) (*tunnelv1.RenewReply, error) {
	reply, err := s.renewer.Renew(ctx, req)
	return reply, grpcfault.To(err)
}

// Session serves one agent until its stream ends.
func (s *Server) Session(stream grpc.BidiStreamingServer[tunnelv1.AgentFrame, tunnelv1.HubFrame]) error {
	at, lastHeard, err := s.registry.Peer(stream.Context())
	if err != nil {
		return grpcfault.To(err)
	}
	log := s.log.With(zap.Stringer("cluster", at.Cluster))
	err = s.serve(stream, peer{at, lastHeard}, &log)
	// gRPC ends the stream by itself when a frame is too large, so that its end alone doesn't tell whether the agent just went away.
	if err != nil && (stream.Context().Err() == nil || fault.Is(err, fault.BadRequest)) {
		log.Warn("sync session ended", zap.String("code", string(fault.CodeOf(err))), zap.Error(err))
		s.metrics.failed(err)
	}
	return grpcfault.To(err)
}

// serve holds a session. What becomes known of it goes into the fields of its log.
func (s *Server) serve(stream grpc.BidiStreamingServer[tunnelv1.AgentFrame, tunnelv1.HubFrame], p peer, log **zap.Logger) error {
	hello, err := readHello(stream)
	if err != nil {
		return err
	}
	*log = (*log).With(zap.String("instance", hello.GetInstance()))
	ctx, release, err := s.registry.Admit(stream.Context(), hello.GetInstance())
	if err != nil {
		return err
	}
	defer release()
	x, err := s.open(ctx, stream, p, hello, *log)
	if err != nil {
		return err
	}
	*log = x.log
	defer x.close()
	return x.run(ctx)
}
