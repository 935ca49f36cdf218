// Package transport carries many Raft groups and the peer protocols over one listener. Every connection opens with a preamble
// that names the cluster, the protocol and the group; a connection of another cluster, of a protocol or of a group that is not
// served here is closed.
//
//	mux := transport.New(transport.Options{ClusterID: id, Advertise: "10.0.0.7:7481", Listener: ln})
//	layer, err := mux.Open(transport.Raft, transport.Shard(3))
//	raftTransport := transport.NewRaft(layer, transport.RaftOptions{})
//
// A node without peers has no listener: the same types work, nothing can connect.
package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ErrClosed is the error of an Accept or Dial after Close.
var ErrClosed = errors.New("transport: closed")

// Options of a Mux. The zero value serves one node without peers.
type Options struct {
	ClusterID ClusterID
	Node      string       // id of this node; a connection that is meant for another one is closed
	Advertise string       // address that peers dial, "local" if empty
	Listener  net.Listener // closed with the mux; nil means that no peer can connect
	// Dial opens a connection to a peer's advertised address; nil dials plain TCP with keep-alive.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Resolve gives the present address of a node. With it peers are named by their ids, and only the node of that id answers; nil
	// takes names for addresses.
	Resolve func(node string) (address string, err error)
	// Ended hears that a connection by which a node's raft spoke to this one has ended, from its side or for an error. It must not block; nil: nobody.
	Ended          func(node string)
	TLS            *TLS          // nil: in the clear
	HeaderTimeout  time.Duration // for the preamble of a new connection, 5 s
	ConnectionsMax int           // inbound, 1,024; more are closed at once
	Logger         *slog.Logger
}

// A Mux owns one listener and every connection that was accepted or dialled through its layers.
type Mux struct {
	opts Options
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	closed  bool
	layers  map[layerKey]*Layer
	conns   map[*conn]struct{}
	inbound int
}

type layerKey struct {
	proto Proto
	group Group
}

// New starts to accept. Close ends it.
func New(opts Options) *Mux {
	m := &Mux{opts: opts.complete(), layers: map[layerKey]*Layer{}, conns: map[*conn]struct{}{}}
	if opts.Listener != nil {
		m.wg.Go(m.accept)
	}
	return m
}

func (opts Options) complete() Options {
	if opts.Advertise == "" {
		opts.Advertise = "local"
	}
	if opts.HeaderTimeout == 0 {
		opts.HeaderTimeout = 5 * time.Second
	}
	if opts.ConnectionsMax == 0 {
		opts.ConnectionsMax = 1024
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Dial == nil {
		dialer := net.Dialer{KeepAliveConfig: keepAlive}
		opts.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}
	}
	return opts
}

// keepAlive finds a dead peer after 25 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// Open makes the layer of one protocol of one group. It is an error to open it twice at a time.
func (m *Mux) Open(proto Proto, group Group) (*Layer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := layerKey{proto, group}
	if m.closed {
		return nil, ErrClosed
	}
	if m.layers[key] != nil {
		return nil, fmt.Errorf("transport: protocol %d of group %v is open already", proto, group)
	}
	l := &Layer{mux: m, key: key, accepted: make(chan *conn, acceptQueueMax), done: make(chan struct{})}
	m.layers[key] = l
	return l, nil
}

// Close closes the listener, every layer and every connection, and waits for what it started.
func (m *Mux) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	for _, l := range m.layers {
		l.finish()
	}
	clear(m.layers)
	open := make([]*conn, 0, len(m.conns))
	for c := range m.conns {
		open = append(open, c)
	}
	m.mu.Unlock()
	var err error
	if m.opts.Listener != nil {
		err = m.opts.Listener.Close()
	}
	for _, c := range open {
		c.Close()
	}
	m.wg.Wait()
	return err
}

func (m *Mux) accept() {
	for {
		nc, err := m.opts.Listener.Accept()
		if err != nil {
			if m.isClosed() {
				return
			}
			m.opts.Logger.Warn("peer listener failed to accept", "err", err)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		c := m.track(nc, nil, true)
		if c == nil {
			nc.Close()
			continue
		}
		m.wg.Go(func() { m.route(c) })
	}
}

// route reads the preamble of a new connection and hands it to its layer, or closes it. It never waits for the layer.
func (m *Mux) route(c *conn) {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(keepAlive) // only a hint to the kernel; the connection works without
	}
	if err := m.secure(c); err != nil {
		m.opts.Logger.Warn("peer connection refused", "remote", c.RemoteAddr().String(), "err", err)
		c.Close()
		return
	}
	c.SetReadDeadline(time.Now().Add(m.opts.HeaderTimeout))
	p, err := readPreamble(c)
	if err == nil {
		err = m.admit(p)
	}
	if err == nil {
		c.SetReadDeadline(time.Time{})
		err = m.deliver(layerKey{p.proto, p.group}, p.from, c)
	}
	if err != nil {
		m.opts.Logger.Warn("peer connection refused", "remote", c.RemoteAddr().String(), "err", err)
		c.Close()
	}
}

// secure puts TLS under a connection that was accepted, if there is any to put.
func (m *Mux) secure(c *conn) error {
	if m.opts.TLS == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.HeaderTimeout)
	defer cancel()
	s, err := m.opts.TLS.server(ctx, c.Conn)
	if err != nil {
		return fmt.Errorf("transport: TLS: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.Conn = s
	return nil
}

// dial opens a connection to an address, with TLS if the cluster has it.
func (opts *Options) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := opts.Dial(ctx, address)
	if err != nil || opts.TLS == nil {
		return c, err
	}
	s, err := opts.TLS.client(ctx, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("transport: TLS with %s: %w", address, err), c.Close())
	}
	return s, nil
}

// admit says why a connection is not for this node, or nil.
func (m *Mux) admit(p preamble) error {
	switch {
	case p.proto != Join && p.cluster != m.opts.ClusterID:
		return fmt.Errorf("%w: %v", errCluster, p.cluster)
	case p.to != "" && p.to != m.opts.Node:
		return fmt.Errorf("transport: node %s looks for %s at this address, but this is %s", p.from, p.to, m.opts.Node)
	}
	return nil
}

func (m *Mux) deliver(key layerKey, from string, c *conn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.layers[key]
	if l == nil {
		return fmt.Errorf("transport: protocol %d of group %v is not served here", key.proto, key.group)
	}
	select {
	case l.accepted <- c:
		c.layer, c.from = l, from
		return nil
	default:
		return fmt.Errorf("transport: group %v has %d connections waiting", key.group, acceptQueueMax)
	}
}

// track takes a connection into the set that Close closes, and into that of its layer if it has one yet; nil when there are too many, or
// the mux or the layer is closed.
func (m *Mux) track(nc net.Conn, l *Layer, inbound bool) *conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || inbound && m.inbound >= m.opts.ConnectionsMax || l != nil && m.layers[l.key] != l {
		return nil
	}
	c := &conn{Conn: nc, mux: m, layer: l, inbound: inbound}
	m.conns[c] = struct{}{}
	if inbound {
		m.inbound++
	}
	return c
}

func (m *Mux) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// conn leaves the mux's set when it is closed.
type conn struct {
	net.Conn // replaced under mux.mu when TLS is put under it, before anybody else uses it
	mux      *Mux
	layer    *Layer // guarded by mux.mu; nil until the preamble is read
	from     string // guarded by mux.mu; the node that dialled, when the preamble is read
	inbound  bool
}

func (c *conn) Close() error {
	m := c.mux
	m.mu.Lock()
	_, first := m.conns[c]
	ended := first && c.inbound && c.from != "" && c.layer.key.proto == Raft && m.layers[c.layer.key] == c.layer && !m.closed
	if first {
		delete(m.conns, c)
		if c.inbound {
			m.inbound--
		}
	}
	nc, from := c.Conn, c.from
	m.mu.Unlock()
	if ended && m.opts.Ended != nil {
		m.opts.Ended(from)
	}
	return nc.Close()
}
