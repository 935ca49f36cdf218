package server

import (
	"context"
	"crypto/tls"
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
	stop     context.CancelFunc // of what runs beside the listeners

	certificates *certificates // nil: connections are not encrypted
	failed       chan error    // what ended a listener; room for one each
}

// Serve opens the node's data directory and serves it on address. It must be a loopback one, unless connections are encrypted and a
// role exists, so that callers prove who they are. It returns when requests are answered.
func Serve(ctx context.Context, cfg Config, address string) (*Service, error) {
	d := door{address: address, encrypted: cfg.TLSCert != ""}
	if err := d.open(); err != nil {
		return nil, err
	}
	if cfg.Peer.API == "" {
		cfg.Peer.API = d.addr()
	}
	n, err := Open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	s := &Service{Node: n, failed: make(chan error, 2)}
	if err := s.prepare(ctx, &d); err != nil {
		return nil, errors.Join(err, d.close(), n.Close())
	}
	s.Addr = d.listener.Addr()
	s.wg.Go(func() { s.failed <- s.edge.Serve(d.listener) })
	return s, nil
}

// prepare makes what stands between the door and the node.
func (s *Service) prepare(ctx context.Context, d *door) (err error) {
	cfg := s.Node.cfg
	if cfg.TLSCert != "" {
		if s.certificates, err = openCertificates(cfg.TLSCert, cfg.TLSKey, cfg.Logger); err != nil {
			return err
		}
	}
	s.Node.hearFirst(ctx)
	if cfg.Admin != "" {
		if err := s.Node.FirstRole(ctx, cfg.Admin, cfg.AdminPassword); err != nil {
			return err
		}
	}
	if err := d.openWide(s.Closed()); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.Background())
	s.stop = stop
	if s.certificates != nil {
		s.wg.Go(func() { s.certificates.watch(watching) })
	}
	return nil
}

// Closed reports whether a role exists, so that callers must prove who they are.
func (s *Service) Closed() bool { return s.Node.access.Closed() }

// Unguarded reports whether every program on this machine may do everything.
func (s *Service) Unguarded() bool { return s.Node.access.Open() }

// ReloadCertificate reads the TLS certificate again. An error leaves the last one in force.
func (s *Service) ReloadCertificate() error {
	if s.certificates == nil {
		return nil
	}
	return s.certificates.reload()
}

// door is an address to be listened on. One of loopback is opened before the node, which finds out early that another program has it;
// any other only when it is known that nobody comes in without a proof.
type door struct {
	address   string
	encrypted bool
	listener  net.Listener
}

func (d *door) open() error {
	switch loopback, err := isLoopback(d.address); {
	case err != nil:
		return err
	case loopback:
		return d.listen()
	case !d.encrypted:
		return fmt.Errorf("server: %s is not a loopback address, and connections would not be encrypted; "+
			"give the node a TLS certificate (--tls-cert, --tls-key) and a first role, or let it serve its own machine on 127.0.0.1 or ::1", d.address)
	}
	return nil
}

// openWide opens an address that is not of loopback, if a role exists.
func (d *door) openWide(closed bool) error {
	if d.listener != nil {
		return nil
	}
	if !closed {
		return fmt.Errorf("server: %s is not a loopback address, and no role exists, so that everybody could do everything; "+
			"make the first role with --admin and --admin-password-file, or by CREATE ROLE on 127.0.0.1", d.address)
	}
	return d.listen()
}

func isLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("server: listen address %q is not of the form host:port: %w", address, err)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

func (d *door) listen() (err error) {
	d.listener, err = listenAnywhere(d.address)
	return err
}

// listenLoopback binds a loopback address, for other nodes without certificates.
func listenLoopback(address string) (net.Listener, error) {
	loopback, err := isLoopback(address)
	if err != nil {
		return nil, err
	}
	if !loopback {
		return nil, fmt.Errorf("server: %s is not a loopback address; nodes without certificates of their own reach each other on one machine only (use 127.0.0.1 or ::1)", address)
	}
	return listenAnywhere(address)
}

// addr is where clients find the door.
func (d *door) addr() string {
	if d.listener == nil {
		return d.address
	}
	return d.listener.Addr().String()
}

func listenAnywhere(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("server: %s cannot be served, the port may be in use by another program: %w", address, err)
	}
	return l, nil
}

func (d *door) close() error {
	if d.listener == nil {
		return nil
	}
	return d.listener.Close()
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
	var encrypt *tls.Config
	if s.certificates != nil {
		encrypt = s.certificates.config(apiProtocols)
	}
	s.edge = gateway.NewEdge(s.rpc.GRPC(), s.gateway, encrypt, n.cfg.Logger)
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
	s.stop()
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
