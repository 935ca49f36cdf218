// Package peer is both ends of the service quipu.peer.v1: what a node asks of the node that leads a shard. A Server serves the shards of a
// Host; a Client reaches those of other nodes, with the methods that the node's own shards have, so that routers, rounds and queries need
// not know where a shard is.
//
//	server := peer.NewServer(host, peer.Options{Logger: log})
//	go server.Serve(layer)
//
//	client := peer.NewClient(layer.DialContext)
//	outcome, err := client.Node("n-8c1f03aa").Propose(3, part).Wait(ctx)
//
// The parts of one shard go over one stream of the connection to its leader, many at a time. The snapshots of a round stay where they are,
// under a lease, and fragments are sent to them: what crosses the wire are partial answers, never cells that were not asked for.
package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/errcode/known"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// Bounds of a connection. Both ends have them.
const (
	messageMax = 4 << 20 // bytes of one message; a part has at most 65,536 rows
	streamsMax = 1024    // calls of one connection at a time
	partsMax   = 1024    // parts of one stream without an answer
	rowsMax    = 1 << 20 // and their rows
)

// Time after which a silent connection is asked for a sign, and how long it has to give one.
const (
	aliveEvery = 10 * time.Second
	aliveWait  = 5 * time.Second
)

// Shard is a shard that this node leads, or believes to.
type Shard interface {
	// Propose takes a part on its way and does not wait.
	Propose(part *replica.Part) router.Pending
	// Command proposes a command. The answer is a router.KeyRecord to commands of keys, and nil to others.
	Command(ctx context.Context, c command.Command) (any, error)
	// Leader is the node that leads the shard, as far as this one knows, or empty.
	Leader() string
}

// Host is the node that a Server serves. As a participant it speaks for the shards that it leads.
type Host interface {
	rounds.Participant
	// Shard finds a shard; the error is NOT_LEADER if the node has no replica of it.
	Shard(id schema.ShardID) (Shard, error)
	// Take reads shards at one instant, on behalf of a node that does not lead the meta group.
	Take(ctx context.Context, shards []schema.ShardID) (*rounds.Cut, error)
	// Node is this node's id.
	Node() string
	// Interrupt ends what a connection of PostgreSQL's protocol runs here, if it has this key.
	Interrupt(process uint32, key []byte)
}

// Options of NewServer.
type Options struct {
	Lease     time.Duration // of a snapshot that nobody uses; 30 s if zero
	Snapshots int           // leased at a time; 1,024 if zero
	Memory    int64         // bytes of one fragment, at most; 1 GiB if zero
	Logger    *slog.Logger  // nil means slog.Default()
}

// Server serves the shards of a node to the others. Stop it.
type Server struct {
	peerv1.UnimplementedPeerServer
	host   Host
	o      Options
	grpc   *grpc.Server
	leases *leases
}

// NewServer makes a server.
func NewServer(host Host, o Options) *Server {
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.Snapshots == 0 {
		o.Snapshots = 1024
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{host: host, o: o, leases: newLeases(o.Lease, o.Snapshots)}
	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(messageMax), grpc.MaxConcurrentStreams(streamsMax), grpc.WaitForHandlers(true), grpc.StatsHandler(watch{s.leases}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: aliveEvery / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: aliveEvery, Timeout: aliveWait}),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream))
	peerv1.RegisterPeerServer(s.grpc, s)
	return s
}

// Serve answers the connections of l until Stop.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Stop ends every call, waits for them, and frees every snapshot.
func (s *Server) Stop() {
	s.grpc.Stop()
	s.leases.close()
}

// Snapshots is the number of snapshots held for other nodes.
func (s *Server) Snapshots() int { return s.leases.len() }

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer s.guard(info.FullMethod, &err)
	return handler(ctx, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.guard(info.FullMethod, &err)
	return handler(srv, ss)
}

// guard makes errors public, and a panic an error of one request: a mistake in a query must not end the node.
func (s *Server) guard(method string, err *error) {
	if p := recover(); p != nil {
		s.o.Logger.Error("request of a peer panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = errcode.New(errcode.Internal, "the node failed on this request by a mistake of ours: %v", p)
	}
	if *err != nil {
		*err = known.From(*err)
	}
}

// watch tells the leases of connections that end.
type watch struct{ leases *leases }

type connectionKey struct{}

func (watch) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

func (w watch) HandleConn(ctx context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); ok {
		w.leases.lost(connectionOf(ctx))
	}
}

func (watch) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (watch) HandleRPC(context.Context, stats.RPCStats)                       {}

func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// leaderOf is who leads a shard, as far as this node knows.
func (s *Server) leaderOf(id schema.ShardID) string {
	shard, err := s.host.Shard(id)
	if err != nil {
		if n, ok := errors.AsType[*NotLeader](err); ok {
			return n.Leader
		}
		return ""
	}
	return shard.Leader()
}

func (s *Server) failure(id schema.ShardID, err error) *peerv1.Failure {
	if err == nil {
		return nil
	}
	return failure(err, s.leaderOf(id))
}

// Command proposes a command.
func (s *Server) Command(ctx context.Context, m *peerv1.CommandRequest) (*peerv1.CommandResponse, error) {
	c, err := command.Decode(m.Frame)
	if err != nil {
		return nil, err
	}
	id := schema.ShardID(m.Shard)
	shard, err := s.host.Shard(id)
	if err != nil {
		return &peerv1.CommandResponse{Failure: s.failure(id, err)}, nil
	}
	answer, err := shard.Command(ctx, c)
	out := &peerv1.CommandResponse{Failure: s.failure(id, err)}
	if k, ok := answer.(router.KeyRecord); ok && err == nil {
		out.Key = &peerv1.KeyRecord{Id: k.ID, Done: k.Done, Response: k.Response, ExpiresMs: k.Expires}
	}
	return out, nil
}

// Interrupt hands on a cancel request.
func (s *Server) Interrupt(_ context.Context, m *peerv1.InterruptRequest) (*peerv1.InterruptResponse, error) {
	s.host.Interrupt(m.Process, m.Key)
	return &peerv1.InterruptResponse{}, nil
}

// Propose hands the parts of a stream to their shards.
func (s *Server) Propose(stream grpc.BidiStreamingServer[peerv1.ProposeRequest, peerv1.ProposeResponse]) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel() // before wg.Wait: who waits gives up
	var sending sync.Mutex
	room := make(chan struct{}, partsMax)
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil // the caller has closed or gone
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		wait := s.propose(m)
		wg.Go(func() {
			defer func() { <-room }()
			answer := wait(ctx)
			sending.Lock()
			defer sending.Unlock()
			if stream.Send(answer) != nil {
				cancel()
			}
		})
	}
}

// propose takes a part on its way. Order is kept: what came first is proposed first.
func (s *Server) propose(m *peerv1.ProposeRequest) (wait func(context.Context) *peerv1.ProposeResponse) {
	id := schema.ShardID(m.Shard)
	refuse := func(err error) func(context.Context) *peerv1.ProposeResponse {
		return func(context.Context) *peerv1.ProposeResponse {
			return &peerv1.ProposeResponse{Id: m.Id, Failure: s.failure(id, err)}
		}
	}
	part, err := decodePart(m)
	if err != nil {
		return refuse(err)
	}
	shard, err := s.host.Shard(id)
	if err != nil {
		return refuse(err)
	}
	pending := shard.Propose(part)
	return func(ctx context.Context) *peerv1.ProposeResponse {
		out, err := pending.Wait(ctx)
		if err != nil {
			return refuse(err)(ctx)
		}
		return &peerv1.ProposeResponse{Id: m.Id, Index: out.Index, Duplicate: out.Duplicate}
	}
}
