// Package transporttest is a network in memory for clusters inside one process. It works under testing/synctest, and its links can be cut.
package transporttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Network connects hosts, which are known by their addresses. The zero value is ready.
type Network struct {
	mu        sync.Mutex // guards the fields below
	listeners map[string]*listener
	alone     map[string]bool
	conns     map[*conn]struct{}
}

// conn is one end of a connection; both ends are in the set.
type conn struct {
	net.Conn
	network  *Network
	from, to string
}

func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}

type listener struct {
	network *Network
	addr    string
	accept  chan net.Conn
	done    chan struct{}
	once    sync.Once
}

// Listen serves an address, which may be any text.
func (n *Network) Listen(addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil {
		return nil, fmt.Errorf("transporttest: %s is in use", addr)
	}
	if n.listeners == nil {
		n.listeners, n.alone, n.conns = map[string]*listener{}, map[string]bool{}, map[*conn]struct{}{}
	}
	l := &listener{network: n, addr: addr, accept: make(chan net.Conn, 64), done: make(chan struct{})}
	n.listeners[addr] = l
	return l, nil
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close gives the address free.
func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.network.listeners[l.addr] == l {
		delete(l.network.listeners, l.addr)
	}
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is what Listen was given.
func (l *listener) Addr() net.Addr { return address(l.addr) }

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

// Dialer dials from the host with the given address.
func (n *Network) Dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(_ context.Context, to string) (net.Conn, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		l := n.listeners[to]
		switch {
		case n.alone[from] || n.alone[to]:
			return nil, errors.New("transporttest: no route to " + to)
		case l == nil:
			return nil, errors.New("transporttest: nobody listens at " + to)
		}
		near, far := net.Pipe()
		out, in := &conn{near, n, from, to}, &conn{far, n, from, to}
		select {
		case l.accept <- in:
		default:
			return nil, errors.New("transporttest: too many connections wait at " + to)
		}
		n.conns[out], n.conns[in] = struct{}{}, struct{}{}
		return out, nil
	}
}

// Isolate cuts every link of a host and breaks its connections.
func (n *Network) Isolate(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alone[addr] = true
	for c := range n.conns {
		if c.from == addr || c.to == addr {
			delete(n.conns, c)
			c.Conn.Close()
		}
	}
}

// Heal restores every link of a host.
func (n *Network) Heal(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.alone, addr)
}

// Alone says whether a host is isolated.
func (n *Network) Alone(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alone[addr]
}
