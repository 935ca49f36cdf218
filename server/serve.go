package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/quipudb/quipu/server/gateway"
	"github.com/quipudb/quipu/server/pgwire"
	"github.com/quipudb/quipu/server/rpc"
)

// Service is a node with its doors open: gRPC, HTTP and event streams on one port.
type Service struct {
	Node *Node
	Addr net.Addr

	edge     *gateway.Edge
	rpc      *rpc.Server
	gateway  *gateway.Gateway
	postgres *pgwire.Server // nil: not served
	wg       sync.WaitGroup
	failed   chan error // what ended a listener; room for one each
}

// Serve opens the node's data directory and serves it on address, which must be a loopback one: there is no authentication in this
// release. It returns when requests are answered.
func Serve(ctx context.Context, cfg Config, address string) (*Service, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	if cfg.Peer.API == "" {
		cfg.Peer.API = l.Addr().String()
	}
	n, err := Open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s := &Service{Node: n, Addr: l.Addr(), failed: make(chan error, 2)}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, l.Close(), n.Close())
	}
	s.wg.Go(func() { s.failed <- s.edge.Serve(l) })
	return s, nil
}

// listen binds a loopback address, and says so if it is asked for another one.
func listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("server: listen address %q is not of the form host:port: %w", address, err)
	}
	ip := net.ParseIP(host)
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("server: %s is not a loopback address; without TLS and authentication, which this release does not have, "+
			"a node serves its own machine only (use 127.0.0.1 or ::1)", address)
	}
	return listenAnywhere(address)
}

func listenAnywhere(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("server: %s cannot be served, the port may be in use by another program: %w", address, err)
	}
	return l, nil
}

func (s *Service) open() error {
	n := s.Node
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{n})
	s.rpc = rpc.New(n, n.queries(), rpc.Options{Access: n.access, Logger: n.cfg.Logger, Metrics: registry})
	var err error
	s.gateway, err = gateway.New(gateway.Options{GRPC: s.rpc.GRPC(), Access: n.access, Ready: n.Ready, Metrics: registry, Version: Version(), Logger: n.cfg.Logger})
	if err != nil {
		return err
	}
	s.edge = gateway.NewEdge(s.rpc.GRPC(), s.gateway, n.cfg.Logger)
	s.rpc.SetServing(true)
	return nil
}

// Failed gives what ended the listener, if something did.
func (s *Service) Failed() <-chan error { return s.failed }

const drainTimeout = 5 * time.Second

// Close lets requests in flight end, for a few seconds, and closes the node.
func (s *Service) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := s.edge.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // requests that took longer were cut off
	}
	err = errors.Join(err, s.closePostgres(ctx))
	s.gateway.Close()
	s.wg.Wait()
	return errors.Join(err, s.Node.Close())
}

// collector gives the node's figures to Prometheus.
type collector struct{ n *Node }

var (
	descEntries    = prometheus.NewDesc("quipu_log_entries_total", "Entries proposed since the start.", []string{"group"}, nil)
	descParts      = prometheus.NewDesc("quipu_parts_total", "Parts proposed since the start.", []string{"group"}, nil)
	descDuplicates = prometheus.NewDesc("quipu_duplicates_refused_total", "Parts that had been counted before, since the start.", []string{"group"}, nil)
	descRefused    = prometheus.NewDesc("quipu_parts_refused_total", "Parts refused since the start.", []string{"group"}, nil)
	descBusy       = prometheus.NewDesc("quipu_parts_busy_total", "Parts turned away because the queue was full, since the start.", []string{"group"}, nil)
	descCells      = prometheus.NewDesc("quipu_cells", "Cells that are not zero.", []string{"group"}, nil)
	descDirty      = prometheus.NewDesc("quipu_dirty_bytes", "Bytes of blocks changed since the last checkpoint began.", []string{"group"}, nil)
	descApplied    = prometheus.NewDesc("quipu_applied_index", "Log index that is applied.", []string{"group"}, nil)
	descDurable    = prometheus.NewDesc("quipu_durable_index", "Log index that is durable in the state.", []string{"group"}, nil)
	descCheckpoint = prometheus.NewDesc("quipu_checkpoints_total", "Checkpoints since the start.", []string{"group"}, nil)
	descEvicted    = prometheus.NewDesc("quipu_blocks_evicted_total", "Blocks that left memory for want of room, since the start.", []string{"group"}, nil)
	descReadBack   = prometheus.NewDesc("quipu_blocks_read_back_total", "Blocks that were read from disk, since the start.", []string{"group"}, nil)
	descSessions   = prometheus.NewDesc("quipu_sessions", "Live sessions.", nil, nil)
	descMemory     = prometheus.NewDesc("quipu_cell_memory_bytes", "Bytes that cells, dictionaries and sessions take.", nil, nil)
	descDisk       = prometheus.NewDesc("quipu_disk_free_bytes", "Bytes free where the data directory lies.", nil, nil)
)

// Describe sends nothing: the collector is unchecked, as groups come and go.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect takes a look at every group.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(descSessions, float64(c.n.machine.View().Sessions()))
	gauge(descMemory, float64(c.n.memory.Used()))
	gauge(descDisk, float64(c.n.disk.free.Load()))
	for _, s := range c.n.held() {
		st, p := s.replica.Status(), s.proposer.Stats()
		gauge(descCells, float64(st.Storage.Cells), st.Group)
		gauge(descDirty, float64(st.Storage.DirtyBytes), st.Group)
		gauge(descApplied, float64(st.Applied), st.Group)
		gauge(descDurable, float64(st.Durable), st.Group)
		count(descCheckpoint, st.Storage.Checkpoints, st.Group)
		count(descEvicted, st.Storage.Evicted, st.Group)
		count(descReadBack, st.Storage.ReadBack, st.Group)
		count(descEntries, p.Entries.Load(), st.Group)
		count(descParts, p.Parts.Load(), st.Group)
		count(descDuplicates, p.Duplicates.Load()+s.machine.Status().Duplicates, st.Group)
		count(descRefused, p.Refused.Load(), st.Group)
		count(descBusy, p.Busy.Load(), st.Group)
	}
}
