package integration

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// proxy stands between a client and a node and cuts connections: at each read from the node's side it may drop what it read and close
// both ends, so that requests arrive and their replies are lost.
type proxy struct {
	l      net.Listener
	target string

	mu    sync.Mutex // guards the fields below
	cut   float64    // share of replies that are lost
	rand  *rand.Rand
	conns map[net.Conn]struct{}
	cuts  int
	mute  bool // replies get lost, and connections stay
	shut  bool // nothing gets through
	wg    sync.WaitGroup
}

// startProxy starts one that loses nothing yet.
func startProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: target, rand: rand.New(rand.NewPCG(seed, 3)), conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.target)
		if err == nil && !p.track(c, s) {
			s.Close()
			err = net.ErrClosed
		}
		if err != nil {
			c.Close()
			continue
		}
		p.wg.Go(func() { io.Copy(s, c); p.drop(c, s) })
		p.wg.Go(func() { p.replies(c, s); p.drop(c, s) })
	}
}

func (p *proxy) replies(c, s net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := s.Read(buf)
		if err != nil || p.fate() {
			return
		}
		if p.silent() {
			continue
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mute
}

// silence has requests arrive over the connections that there are, and loses what is answered, until block ends them.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
}

// fate draws whether the present reply is lost.
func (p *proxy) fate() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.rand.Float64() < p.cut
	if lost {
		p.cuts++
	}
	return lost
}

// lost is how often a connection was cut with a reply in it.
func (p *proxy) lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// setCut changes the share of replies that are lost.
func (p *proxy) setCut(cut float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
}

// block lets nothing through any more, or again.
func (p *proxy) block(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut, p.mute = shut, false
	for c := range p.conns {
		c.Close()
	}
}

// track is false if nothing gets through.
func (p *proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

func (p *proxy) close() {
	p.l.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
