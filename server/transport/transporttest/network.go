// Package transporttest is a network in memory for clusters inside one process. It works under testing/synctest. Connections are streams,
// as TCP's: what was written arrives in order or not at all. Its links can be slow, jittery and lossy (a lost packet is a late one, or a
// broken connection), can be cut in one direction or in both, and count what they carry. What happens to the k-th write of a link is a pure
// function of the seed, so that one link's luck does not shift another's.
//
//	net := &transporttest.Network{Seed: 7, Weather: transporttest.Weather{DelayMin: 200 * time.Microsecond, DelayMax: 2 * time.Millisecond}}
//	listener, err := net.Listen("a")
//	conn, err := net.Dialer("b")(ctx, "a")
//	net.Cut("a", "b") // nothing of a's arrives at b until Mend
package transporttest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Weather is what a write meets on its way.
type Weather struct {
	DelayMin, DelayMax time.Duration
	Late               float64       // share of writes that take LateMax at most instead: lost packets, sent again
	LateMax            time.Duration // and what was written after them waits
	Broken             float64       // share of writes at which the connection breaks, with everything on its way
}

// Network connects hosts, which are known by their addresses. The zero value is ready, and perfect.
type Network struct {
	Seed    uint64
	Weather Weather // set before use, or with SetWeather

	mu        sync.Mutex // guards the fields below, and Weather
	listeners map[string]*listener
	alone     map[string]bool
	ended     map[string]bool // of those alone: connections to it are refused
	links     map[[2]string]*link
	conns     map[*conn]struct{}
}

// link is one direction between two hosts.
type link struct {
	seed    uint64
	k       atomic.Uint64 // writes so far
	bytes   atomic.Uint64
	cut     bool          // guarded by Network.mu
	changed chan struct{} // closed, and made anew, with the end of a cut; guarded by Network.mu
}

// link finds a direction. mu is held.
func (n *Network) link(from, to string) *link {
	key := [2]string{from, to}
	l := n.links[key]
	if l == nil {
		if n.links == nil {
			n.links = map[[2]string]*link{}
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %s>%s", n.Seed, from, to)
		l = &link{seed: h.Sum64(), changed: make(chan struct{})}
		n.links[key] = l
	}
	return l
}

// SetWeather changes the weather of every link.
func (n *Network) SetWeather(w Weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Weather = w
}

// Cut lets nothing of from's arrive at to. Connections stay: what is written waits.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(from, to).cut = true
}

// Mend ends a cut. What waited arrives.
func (n *Network) Mend(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.link(from, to); l.cut {
		l.cut = false
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// Sent is what a host has written to all others: how many times, and how much.
func (n *Network) Sent(from string) (writes, bytes uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, l := range n.links {
		if key[0] == from {
			writes, bytes = writes+l.k.Load(), bytes+l.bytes.Load()
		}
	}
	return writes, bytes
}

// open says whether a link carries now, and if it does not, what to wait for.
func (n *Network) open(l *link) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !l.cut, l.changed
}

// fate is what becomes of the next write of a link.
func (n *Network) fate(l *link) (delay time.Duration, broken bool) {
	n.mu.Lock()
	w := n.Weather
	n.mu.Unlock()
	d := dice(l.seed + l.k.Add(1)*0x9e3779b97f4a7c15)
	delay = w.DelayMin + time.Duration(d.next()*float64(w.DelayMax-w.DelayMin))
	if d.next() < w.Late {
		delay = time.Duration(d.next() * float64(w.LateMax))
	}
	return delay, d.next() < w.Broken
}

// dice are pure functions of where they begin (splitmix64).
type dice uint64

// next is in [0, 1).
func (d *dice) next() float64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
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
		n.ended = map[string]bool{}
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

// connectTimeout bounds a dial over a link that is cut.
const connectTimeout = 5 * time.Second

// Dialer dials from the host with the given address.
func (n *Network) Dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		if err := n.greet(ctx, from, to); err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		l := n.listeners[to]
		switch {
		case n.alone[from] || n.alone[to] && !n.ended[to]:
			return nil, errors.New("transporttest: no route to " + to)
		case l == nil || n.ended[to]:
			return nil, fmt.Errorf("transporttest: nobody listens at %s: %w", to, syscall.ECONNREFUSED)
		}
		out, in := n.pipe(from, to)
		select {
		case l.accept <- in:
		default:
			return nil, errors.New("transporttest: too many connections wait at " + to)
		}
		n.conns[out], n.conns[in] = struct{}{}, struct{}{}
		return out, nil
	}
}

// greet takes the time of a first exchange, which needs both directions.
func (n *Network) greet(ctx context.Context, from, to string) error {
	for _, way := range [][2]string{{from, to}, {to, from}} {
		n.mu.Lock()
		l := n.link(way[0], way[1])
		n.mu.Unlock()
		for open, changed := n.open(l); !open; open, changed = n.open(l) {
			select {
			case <-changed:
			case <-ctx.Done():
				return fmt.Errorf("transporttest: %s does not answer: %w", to, ctx.Err())
			}
		}
		delay, _ := n.fate(l)
		if delay == 0 {
			continue
		}
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// Isolate cuts every link of a host and breaks its connections.
func (n *Network) Isolate(addr string) { n.leaveAlone(addr, false) }

// End is what the end of a process does: as Isolate, but others hear that nobody listens there.
func (n *Network) End(addr string) { n.leaveAlone(addr, true) }

func (n *Network) leaveAlone(addr string, ended bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alone[addr], n.ended[addr] = true, ended
	for c := range n.conns {
		if c.from == addr || c.to == addr {
			delete(n.conns, c)
			c.snap()
		}
	}
}

// Heal restores every link of a host that Isolate or End has cut.
func (n *Network) Heal(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.alone, addr)
	delete(n.ended, addr)
}

// Alone says whether a host is isolated.
func (n *Network) Alone(addr string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alone[addr]
}
