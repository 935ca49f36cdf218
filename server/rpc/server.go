package rpc

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/access"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

// Options bounds the edge. Zero fields mean the defaults.
type Options struct {
	MessageBytesMax int           // of one request; default 4 MiB
	StreamsMax      uint32        // of one connection; default 256
	InFlightMax     int           // requests in flight on one write stream; default 1,024
	InFlightBytes   int64         // of all writes in flight on the node; default 256 MiB
	QueryTimeout    time.Duration // of a query whose caller sets no deadline; default 60 s
	WriteTimeout    time.Duration // of a write whose caller sets no deadline; default 30 s
	RowsMax         int64         // of one result; default 1,000,000
	WatchesMax      int           // watch streams of the node; default 1,024

	Access  *access.Control       // says who calls and may what; default: everybody may do everything
	Logger  *slog.Logger          // default: discard
	Metrics prometheus.Registerer // default: none
}

func (o *Options) defaults() {
	set(&o.MessageBytesMax, 4<<20)
	set(&o.StreamsMax, 256)
	set(&o.InFlightMax, 1024)
	set(&o.InFlightBytes, 256<<20)
	set(&o.QueryTimeout, 60*time.Second)
	set(&o.WriteTimeout, 30*time.Second)
	set(&o.RowsMax, 1_000_000)
	set(&o.WatchesMax, 1024)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Access == nil {
		o.Access = access.Unguarded()
	}
	o.InFlightBytes = max(o.InFlightBytes, int64(o.MessageBytesMax)) // one request must fit
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server is the edge.
type Server struct {
	backend Backend
	queries Queries
	opts    Options
	metrics *metrics
	bytes   *semaphore.Weighted // of writes in flight
	watches chan struct{}       // a token for each watch stream
	grpc    *grpc.Server
	health  *health.Server

	draining chan struct{} // closed by Drain
	drain    sync.Once
}

// New makes the services ready to serve. GRPC gives the server to hand listeners to; the caller stops it.
func New(backend Backend, queries Queries, opts Options) *Server {
	opts.defaults()
	s := &Server{
		backend: backend,
		queries: queries,
		opts:    opts,
		metrics: newMetrics(opts.Metrics),
		bytes:   semaphore.NewWeighted(opts.InFlightBytes),
		watches: make(chan struct{}, opts.WatchesMax),
		health:  health.NewServer(),

		draining: make(chan struct{}),
	}
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(opts.MessageBytesMax),
		grpc.MaxConcurrentStreams(opts.StreamsMax),
		grpc.MaxHeaderListSize(64<<10),
		grpc.ConnectionTimeout(10*time.Second),
		// One write stream carries megabytes: with the default window of 64 KiB it would wait for the other side's updates.
		grpc.InitialWindowSize(1<<20),
		grpc.InitialConnWindowSize(4<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	)
	apiv1.RegisterWriteServer(s.grpc, &writeService{Server: s})
	apiv1.RegisterSessionsServer(s.grpc, &sessionService{Server: s})
	apiv1.RegisterQueryServer(s.grpc, &queryService{Server: s})
	apiv1.RegisterCatalogServer(s.grpc, &catalogService{Server: s})
	apiv1.RegisterContextsServer(s.grpc, &contextService{Server: s})
	apiv1.RegisterLeasesServer(s.grpc, &leaseService{Server: s})
	apiv1.RegisterClusterServer(s.grpc, &clusterService{Server: s})
	apiv1.RegisterImportsServer(s.grpc, &importService{Server: s})
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s
}

// GRPC is the server behind the services.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// SetServing says through the gRPC health service whether the node takes requests.
func (s *Server) SetServing(serving bool) {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
}

// Drain ends the streams that would not end by themselves, watches at once and write streams when what they took is answered.
// Callers get CLOSING and turn to another node. Do it before stopping the gRPC server gracefully.
func (s *Server) Drain() {
	s.drain.Do(func() {
		s.health.Shutdown()
		close(s.draining)
	})
}
