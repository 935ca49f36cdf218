package demo

import (
	"context"
	"errors"
	"net"
	"sync"
)

// host is one node's end of the loopback network. Cut, it reaches nobody and nobody reaches it: connections break, and new ones fail at once,
// as they do where a router says that there is no way.
type host struct {
	mu    sync.Mutex // guards the fields below
	peers string     // address of the node's listener for other nodes; the first listen chooses the port
	cut   bool
	conns map[*link]struct{}
}

// link is one end of a connection of a host.
type link struct {
	net.Conn
	h *host
}

var errCut = errors.New("demo: the node is cut off")

func newHost() *host { return &host{peers: "127.0.0.1:0", conns: map[*link]struct{}{}} }

// track takes a connection in, or closes it if the host is cut off.
func (h *host) track(c net.Conn) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut {
		return nil, errors.Join(errCut, c.Close())
	}
	l := &link{c, h}
	h.conns[l] = struct{}{}
	return l, nil
}

// Close ends the connection.
func (l *link) Close() error {
	l.h.mu.Lock()
	delete(l.h.conns, l)
	l.h.mu.Unlock()
	return l.Conn.Close()
}

// dial is server.Peer.DialFunc of the host's node, and how the front door reaches it.
func (h *host) dial(ctx context.Context, address string) (net.Conn, error) {
	if h.isCut() {
		return nil, errCut
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return h.track(c)
}

// listen is server.Peer.ListenFunc of the host's node: the same port at every start.
func (h *host) listen(string) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := net.Listen("tcp", h.peers)
	if err != nil {
		return nil, err
	}
	h.peers = l.Addr().String()
	return &gate{l, h}, nil
}

// gate is the listener of a host.
type gate struct {
	net.Listener
	h *host
}

// Accept waits for a connection that comes through.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l, err := g.h.track(c); err == nil {
			return l, nil
		}
	}
}

func (h *host) address() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.peers
}

func (h *host) isCut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cut
}

func (h *host) isolate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = true
	for c := range h.conns { // any order: all of them
		c.Conn.Close()
	}
	clear(h.conns)
}

func (h *host) heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = false
}
