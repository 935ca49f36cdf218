// Package client is the Go SDK of Quipu: it counts observations exactly once and asks questions in SQL.
//
//	c, err := client.Open(ctx, "quipu://127.0.0.1:7480")
//	if err != nil {
//		return err
//	}
//	defer c.Close(ctx)
//	t := c.Table("checkout")
//	err = t.Add(ctx, 1, "variant", "B", "outcome", "bought")    // in memory; sent within milliseconds
//	rows, err := c.Query(ctx, "SELECT chi2_test(variant, outcome) FROM checkout")
//
// Counting has two speeds. Table.Add sums in memory and returns at once; Flush waits until everything before it is durable.
// Table.AddSync returns when its observations are durable and gives a Receipt. Both send under the stamp of a session, so that a
// lost reply, a reconnect or a server that restarts never makes an observation count twice. If the session itself is lost (the
// server did not hear of the client for its time to live) what was in flight is reported as of unknown outcome and never sent again.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver/manual"
)

// Client is a connection to a cluster with one session. It is safe for concurrent use. Close it.
type Client struct {
	opts     options
	hosts    []string // of the target
	doors    *doors
	writes   apiv1.WriteClient
	sessions apiv1.SessionsClient
	queries  apiv1.QueryClient
	records  apiv1.ContextsClient
	leases   apiv1.LeasesClient
	imports  apiv1.ImportsClient
	catalog  apiv1.CatalogClient
	cluster  apiv1.ClusterClient

	second      atomic.Int64 // the present whole second, Unix milliseconds; run keeps it
	closed      atomic.Bool
	out         *sender
	chart       *chart
	cancel      context.CancelFunc
	cancelClock context.CancelFunc
	clock       chan struct{} // closed when the clock goroutine has ended

	mu     sync.Mutex // guards tables
	tables map[string]*Table
}

const messageBytesMax = 64 << 20 // of answers; the server bounds what it sends

// Open connects to the nodes of a target ("quipu://host:port,host:port", or just "host:port") and opens a session. Any node takes any
// request: calls go to those that can be reached, in turn, and what is being counted goes on with another when one is lost. While none of the
// target can be reached they go to nodes that the client has heard of from it, where these may be connected to. Open waits for the first answer
// of a server until ctx ends. On a cluster that cannot open a session now, for want of room on its disks or of a leader of its metadata, the
// client reads what can be read, and what it counts waits for a session.
func Open(ctx context.Context, target string, opts ...Option) (*Client, error) {
	c := &Client{opts: defaults(), tables: map[string]*Table{}, clock: make(chan struct{})}
	for _, o := range opts {
		o(&c.opts)
	}
	hosts, encrypted, err := parseTarget(target)
	if err != nil {
		return nil, err
	}
	c.hosts, c.chart = hosts, newChart(c)
	if encrypted && c.opts.tls == nil {
		WithTLS(nil)(&c.opts)
	}
	if c.opts.authorization != "" && c.opts.tls == nil && !areLoopback(hosts) {
		return nil, fmt.Errorf("quipu: a token or password would go to %s unencrypted: use WithTLS, or a target quipus://host:port", target)
	}
	conn, err := connect(hosts, c.dialOptions())
	if err != nil {
		return nil, fmt.Errorf("quipu: %w", err)
	}
	c.doors = &doors{given: conn, options: c.nodeOptions}
	c.writes, c.sessions, c.queries = apiv1.NewWriteClient(c.doors), apiv1.NewSessionsClient(c.doors), apiv1.NewQueryClient(c.doors)
	c.records, c.imports = apiv1.NewContextsClient(c.doors), apiv1.NewImportsClient(c.doors)
	c.leases = apiv1.NewLeasesClient(c.doors)
	c.catalog, c.cluster = apiv1.NewCatalogClient(c.doors), apiv1.NewClusterClient(c.doors)
	s, err := c.openSession(ctx, c.opts.durable, grpc.WaitForReady(true))
	if err != nil && !errors.Is(err, &Error{Code: "DISK_FULL"}) && !isAway(err) {
		return nil, errors.Join(err, c.doors.close())
	}
	c.start(s)
	return c, nil
}

func (c *Client) start(s session) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	clockCtx, cancelClock := context.WithCancel(ctx)
	c.cancelClock = cancelClock
	c.out = newSender(c, s, true)
	c.tick()
	go c.keepTime(clockCtx)
	go c.out.run(ctx)
}

// keepTime moves the coarse clock that stamps event times, so that Add need not read the real one. Windows are whole seconds.
func (c *Client) keepTime(ctx context.Context) {
	defer close(c.clock)
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			c.tick()
		case <-ctx.Done():
			return
		}
	}
}

func (c *Client) tick() {
	if c.closed.Load() {
		c.second.Store(closedSecond)
		return
	}
	c.second.Store(c.opts.now().Truncate(time.Second).UnixMilli())
}

// closedSecond is no time of day: it sends every Add down the slow path, which finds the client closed.
const closedSecond = -1

func (c *Client) dialOptions() []grpc.DialOption {
	creds := insecure.NewCredentials()
	if c.opts.tls != nil {
		creds = credentials.NewTLS(c.opts.tls)
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithReadBufferSize(128 << 10), grpc.WithWriteBufferSize(128 << 10),
		grpc.WithInitialWindowSize(4 << 20), grpc.WithInitialConnWindowSize(8 << 20),
	}
}

// nodeOptions are those of a connection to one node, which is tried again soon: it may have started anew.
func (c *Client) nodeOptions() []grpc.DialOption {
	retry := backoff.DefaultConfig
	retry.BaseDelay, retry.MaxDelay = 100*time.Millisecond, 5*time.Second
	return append(c.dialOptions(), grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: 5 * time.Second}))
}

// connect leaves it to gRPC to resolve the name of one host. Several are connected to as they are given.
func connect(hosts []string, opts []grpc.DialOption) (*grpc.ClientConn, error) {
	if len(hosts) == 1 {
		return grpc.NewClient("dns:///"+hosts[0], opts...)
	}
	given := manual.NewBuilderWithScheme("quipu")
	given.InitialState(endpoints(hosts))
	return grpc.NewClient("quipu:///"+hosts[0], append(opts, grpc.WithResolvers(given))...)
}

// areLoopback says that all hosts are of this machine.
func areLoopback(hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(h string) bool {
		host, _, _ := net.SplitHostPort(h)
		ip := net.ParseIP(host)
		return host != "localhost" && (ip == nil || !ip.IsLoopback())
	})
}

// parseTarget gives hosts with their ports, and whether the scheme asks for encryption.
func parseTarget(target string) (hosts []string, encrypted bool, err error) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		scheme, rest = "quipu", target
	}
	rest = strings.TrimSuffix(rest, "/")
	if scheme != "quipu" && scheme != "quipus" || strings.ContainsAny(rest, "/?#@ ") {
		return nil, false, fmt.Errorf("quipu: target %q is not of the form quipu://host:port[,host:port], or quipus:// with TLS", target)
	}
	for h := range strings.SplitSeq(rest, ",") {
		if h == "" {
			return nil, false, fmt.Errorf("quipu: target %q names no host, or an empty one", target)
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), "7480")
		}
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts, scheme == "quipus", nil
}

// authorize adds the credentials to a call.
func (c *Client) authorize(ctx context.Context) context.Context {
	if c.opts.authorization == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", c.opts.authorization)
}

func (c *Client) openSession(ctx context.Context, durable bool, opts ...grpc.CallOption) (session, error) {
	r, err := c.sessions.Open(c.authorize(ctx), &apiv1.OpenSessionRequest{Durable: durable}, opts...)
	if err != nil {
		return session{}, fromStatus(err)
	}
	s := session{id: r.Session, ttl: time.Duration(r.TtlMs) * time.Millisecond, cluster: r.ClusterId, incarnation: r.Incarnation}
	if hook := c.opts.hooks.OnSession; hook != nil {
		hook(s.id, s.ttl)
	}
	return s, nil
}

// Table is the handle for counting into the table called name. The server is not asked: a name that it does not know shows as a
// refusal when the first batch arrives.
func (c *Client) Table(name string) *Table {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tables[name]
	if t == nil {
		t = newTable(c, name)
		c.tables[name] = t
	}
	return t
}

// sealAll hands what the tables have collected to the sender.
func (c *Client) sealAll() {
	c.mu.Lock()
	tables := make([]*Table, 0, len(c.tables))
	for _, t := range c.tables {
		tables = append(tables, t)
	}
	c.mu.Unlock()
	for _, t := range tables {
		t.mu.Lock()
		t.seal() //nolint: a full buffer keeps the counts where they are
		t.mu.Unlock()
	}
}

// Flush waits until everything that was added before it is durable, or until ctx ends. It returns a *LostError if the server
// refused any of it, or if its outcome is unknown, since the last Flush.
func (c *Client) Flush(ctx context.Context) error {
	for {
		c.sealAll()
		for _, r := range c.out.outstanding() {
			if err := r.wait(ctx); err != nil {
				return err
			}
		}
		if c.drained() {
			return c.out.report()
		}
	}
}

// drained says that no table holds counts back, as a full buffer makes it do.
func (c *Client) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tables {
		t.mu.Lock()
		left := t.held
		t.mu.Unlock()
		if left {
			return false
		}
	}
	return true
}

// report takes the tally since the last report.
func (s *sender) report() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tally.Refused == 0 && s.tally.Unknown == 0 && s.tally.Undelivered == 0 {
		return nil
	}
	lost := s.tally
	s.tally = LostError{}
	return &lost
}

// Close refuses further observations, delivers what it has until ctx ends, ends the session and returns a *LostError that counts
// what is not known to be counted. Closing twice is harmless.
func (c *Client) Close(ctx context.Context) error {
	if c.closed.Swap(true) {
		return nil
	}
	c.cancelClock()
	<-c.clock
	c.tick()
	err := c.Flush(ctx)
	c.cancel()
	<-c.out.stopped
	if lost := c.abandon(); lost != nil {
		err = errors.Join(err, lost)
	} else if err == nil {
		c.closeSession(ctx)
	}
	return errors.Join(err, c.doors.close())
}

// abandon counts what Flush could not deliver.
func (c *Client) abandon() error {
	lost, _ := c.out.report().(*LostError)
	if lost == nil {
		lost = &LostError{}
	}
	for _, t := range c.tables {
		t.mu.Lock()
		lost.Undelivered += t.gen.observations
		t.gen.take()
		t.mu.Unlock()
	}
	if lost.Refused == 0 && lost.Unknown == 0 && lost.Undelivered == 0 {
		return nil
	}
	return lost
}

// closeSession tells the server that it may forget the session. It expires by itself otherwise.
func (c *Client) closeSession(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c.sessions.Close(c.out.ofCluster(c.authorize(ctx)), &apiv1.CloseSessionRequest{Session: c.out.session.id}) //nolint
}
