package transporttest

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// windowMax is how many bytes may be on their way in one direction of a connection before a write waits.
const windowMax = 256 << 10

var errBroken = errors.New("transporttest: connection reset")

// conn is one end of a connection. Both ends are in the network's set.
type conn struct {
	network  *Network
	from, to string // of the host that dialled, and of the other one
	near     string // this end's host
	in, out  *stream
}

// pipe makes both ends. n.mu is held.
func (n *Network) pipe(from, to string) (out, in *conn) {
	there, back := n.stream(from, to), n.stream(to, from)
	return &conn{n, from, to, from, back, there}, &conn{n, from, to, to, there, back}
}

// stream is what one end writes and the other reads.
type stream struct {
	network  *Network
	link     *link
	readable chan struct{} // room for one: look again
	writable chan struct{}

	mu          sync.Mutex // guards the fields below
	queue       []chunk
	bytes       int
	last        time.Time // when the last chunk arrives
	ended       bool      // by the writer: what is on its way still arrives
	closed      error     // by the reader, or broken: nothing arrives any more
	read, write time.Time // deadlines
}

type chunk struct {
	data []byte
	due  time.Time
}

func (n *Network) stream(from, to string) *stream {
	return &stream{network: n, link: n.link(from, to), readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *stream) nudge() {
	nudge(s.readable)
	nudge(s.writable)
}

// finish ends the stream: for its writer if err is nil, at once for both if not.
func (s *stream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if err != nil && s.closed == nil {
		s.closed, s.queue = err, nil
	}
	s.nudge()
}

// put takes a write on its way, when there is room.
func (s *stream) put(p []byte) (int, error) {
	delay, broken := s.network.fate(s.link)
	s.link.bytes.Add(uint64(len(p)))
	if broken {
		s.finish(errBroken)
		return 0, errBroken
	}
	for {
		s.mu.Lock()
		now := time.Now()
		switch {
		case s.closed != nil:
			s.mu.Unlock()
			return 0, errBroken
		case s.ended:
			s.mu.Unlock()
			return 0, io.ErrClosedPipe
		case !s.write.IsZero() && !now.Before(s.write):
			s.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case s.bytes < windowMax:
			due := now.Add(delay)
			if due.Before(s.last) {
				due = s.last
			}
			s.last = due
			s.queue = append(s.queue, chunk{append([]byte(nil), p...), due})
			s.bytes += len(p)
			s.mu.Unlock()
			nudge(s.readable)
			return len(p), nil
		}
		until := s.write
		s.mu.Unlock()
		await(s.writable, nil, until)
	}
}

// take reads what has arrived.
func (s *stream) take(p []byte) (int, error) {
	for {
		open, changed := s.network.open(s.link)
		s.mu.Lock()
		now := time.Now()
		if s.closed != nil {
			err := s.closed
			s.mu.Unlock()
			return 0, err
		}
		if !s.read.IsZero() && !now.Before(s.read) {
			s.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		if open && len(s.queue) > 0 && !now.Before(s.queue[0].due) {
			n := s.give(p, now)
			s.mu.Unlock()
			nudge(s.writable)
			return n, nil
		}
		if open && len(s.queue) == 0 && s.ended && !now.Before(s.last) {
			s.mu.Unlock()
			return 0, io.EOF
		}
		until := s.read
		if open && len(s.queue) > 0 && (until.IsZero() || s.queue[0].due.Before(until)) {
			until = s.queue[0].due
		}
		s.mu.Unlock()
		if open {
			changed = nil
		}
		await(s.readable, changed, until)
	}
}

// give hands over all that is due and fits. mu is held.
func (s *stream) give(p []byte, now time.Time) (n int) {
	for n < len(p) && len(s.queue) > 0 && !now.Before(s.queue[0].due) {
		k := copy(p[n:], s.queue[0].data)
		n += k
		if s.queue[0].data = s.queue[0].data[k:]; len(s.queue[0].data) == 0 {
			s.queue[0].data = nil
			s.queue = s.queue[1:]
		}
	}
	s.bytes -= n
	return n
}

// await waits for a nudge, for a link to open, or for a time.
func await(nudged, changed <-chan struct{}, until time.Time) {
	var clock <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		clock = t.C
	}
	select {
	case <-nudged:
	case <-changed:
	case <-clock:
	}
}

// Read gives what has arrived.
func (c *conn) Read(p []byte) (int, error) { return c.in.take(p) }

// Write sends.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.out.put(p)
	if err == errBroken {
		c.snap()
	}
	return n, err
}

// Close ends this side. What is on its way to the other still arrives.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	c.out.finish(nil)
	c.in.finish(net.ErrClosed)
	return nil
}

// snap breaks both directions at once.
func (c *conn) snap() {
	c.out.finish(errBroken)
	c.in.finish(errBroken)
}

// LocalAddr is this end's host.
func (c *conn) LocalAddr() net.Addr { return address(c.near) }

// RemoteAddr is the other end's.
func (c *conn) RemoteAddr() net.Addr {
	if c.near == c.from {
		return address(c.to)
	}
	return address(c.from)
}

// SetDeadline bounds reads and writes.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads, those that wait too.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.read = t
	nudge(c.in.readable)
	return nil
}

// SetWriteDeadline bounds writes, those that wait too.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.write = t
	nudge(c.out.writable)
	return nil
}
