package integration

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clients is the number that those who are no node have on the network.
const clients = -1

// link is one direction between two nodes, or between clients and a node.
type link struct{ from, to int }

// weather is what a link does to what passes.
type weather struct {
	cut   bool          // nothing passes until it is mended; what was sent meanwhile arrives then
	delay time.Duration // of each piece
	reset float64       // share of pieces at which the connection is reset, and the piece lost
}

// network stands between nodes, and between clients and nodes: each node is reached through a proxy of its own for each of the two. Who
// dials is told by the socket's owner, so that every direction of every pair can be cut, delayed or reset by itself, without root.
type network struct {
	t     *testing.T
	ports sync.WaitGroup
	count struct{ resets, held atomic.Int64 }

	mu      sync.Mutex // guards the fields below
	rand    *rand.Rand
	links   map[link]weather
	changed chan struct{} // closed at the next change of links
	conns   map[*passage]struct{}
	pids    map[int]int // by node
	closed  bool
}

// passage is one connection with both of its ends.
type passage struct {
	from, to int
	a, b     net.Conn
	ended    chan struct{}
	once     sync.Once
}

func newNetwork(t *testing.T, seed uint64) *network {
	n := &network{t: t, rand: rand.New(rand.NewPCG(seed, 5)), links: map[link]weather{}, changed: make(chan struct{}), conns: map[*passage]struct{}{}, pids: map[int]int{}}
	t.Cleanup(n.close)
	return n
}

// proxy opens a way to a node's address and gives its own. Peers are told apart by their processes; clients are all alike.
func (n *network) proxy(node int, target string, peers bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.ports.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.ports.Go(func() { n.carry(node, c, target, peers) })
		}
	})
	n.t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// carry brings one connection to its target and both directions across.
func (n *network) carry(node int, c net.Conn, target string, peers bool) {
	from := clients
	if peers {
		if from = n.dialer(c); from == clients {
			c.Close() // its process has died
			return
		}
	}
	s, err := net.Dial("tcp", target)
	if err != nil {
		reset(c)
		return
	}
	p := &passage{from: from, to: node, a: c, b: s, ended: make(chan struct{})}
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		p.end()
		return
	}
	n.conns[p] = struct{}{}
	n.mu.Unlock()
	var ways sync.WaitGroup
	ways.Go(func() { n.pump(p, link{from, node}, c, s) })
	ways.Go(func() { n.pump(p, link{node, from}, s, c) })
	ways.Wait()
	n.mu.Lock()
	delete(n.conns, p)
	n.mu.Unlock()
}

// pump carries one direction.
func (n *network) pump(p *passage, l link, from, to net.Conn) {
	defer p.end()
	buf := make([]byte, 32<<10)
	for {
		k, err := from.Read(buf)
		if err != nil || !n.pass(p, l) {
			return
		}
		if _, err := to.Write(buf[:k]); err != nil {
			return
		}
	}
}

// pass waits until a piece may pass, or says that the connection has ended.
func (n *network) pass(p *passage, l link) bool {
	for {
		n.mu.Lock()
		w, changed := n.links[l], n.changed
		lost := n.rand.Float64() < w.reset
		n.mu.Unlock()
		switch {
		case w.cut:
			n.count.held.Add(1)
			select {
			case <-changed:
				continue
			case <-p.ended:
				return false
			}
		case lost:
			n.count.resets.Add(1)
			return false
		case w.delay > 0:
			select {
			case <-time.After(w.delay):
			case <-p.ended:
				return false
			}
		}
		return true
	}
}

// end resets both ends.
func (p *passage) end() {
	p.once.Do(func() {
		close(p.ended)
		reset(p.a)
		reset(p.b)
	})
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// set changes the weather of links.
func (n *network) set(w weather, links ...link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range links {
		n.links[l] = w
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// drop resets the connections that use one of the links.
func (n *network) drop(links ...link) {
	n.mu.Lock()
	var hit []*passage
	for p := range n.conns {
		for _, l := range links {
			if l == (link{p.from, p.to}) || l == (link{p.to, p.from}) {
				hit = append(hit, p)
				break
			}
		}
	}
	n.mu.Unlock()
	for _, p := range hit {
		n.count.resets.Add(1)
		p.end()
	}
}

// runs says which process a node is.
func (n *network) runs(node, pid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pids[node] = pid
}

// dialer is the node whose process has the other end of a connection.
func (n *network) dialer(c net.Conn) int {
	inode := inodeOf(c.RemoteAddr().(*net.TCPAddr).Port, c.LocalAddr().(*net.TCPAddr).Port)
	if inode == "" {
		return clients
	}
	n.mu.Lock()
	pids := make(map[int]int, len(n.pids))
	for node, pid := range n.pids {
		pids[node] = pid
	}
	n.mu.Unlock()
	for node, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, f := range files {
			if to, err := os.Readlink(f); err == nil && to == "socket:["+inode+"]" {
				return node
			}
		}
	}
	return clients
}

// inodeOf finds the socket between two ports of this machine.
func inodeOf(local, remote int) string {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && portOf(fields[1]) == local && portOf(fields[2]) == remote {
			return fields[9]
		}
	}
	return ""
}

func portOf(address string) int {
	_, port, _ := strings.Cut(address, ":")
	n, _ := strconv.ParseInt(port, 16, 32)
	return int(n)
}

func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	var all []*passage
	for p := range n.conns {
		all = append(all, p)
	}
	n.mu.Unlock()
	for _, p := range all {
		p.end()
	}
}
