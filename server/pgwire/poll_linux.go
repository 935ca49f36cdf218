package pgwire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// polledConn is a TCP connection whose reads poll before they sleep, as far as its eagerness wants. The goroutine that reads owns its fields.
type polledConn struct {
	net.Conn
	eagerness
	raw   syscall.RawConn
	quiet bool // arrivals of up to quietBytes wake nobody

	look func(fd uintptr) bool // p.lookFor, made once: it would be allocated for every read
	b    []byte                // what it is given, and what it has found
	n    int
	err  error
}

// quietBytes is how much may arrive without a sign while a connection polls. Receive buffers hold more, so that a longer message is not held up.
const quietBytes = 32 << 10

// polled gives a connection that polls, or c itself where it could not.
func (s *Server) polled(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok || s.o.Poll < 0 {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	p := &polledConn{Conn: c, eagerness: eagerness{asked: &s.asked, span: s.o.Poll}, raw: raw}
	p.look = p.lookFor
	return p
}

func (p *polledConn) Read(b []byte) (int, error) {
	n, err := p.read(b)
	if n > 0 {
		p.heard()
	}
	return n, err
}

func (p *polledConn) read(b []byte) (int, error) {
	if p.polls() && p.hush(true) == nil {
		if n, err := p.poll(b); err != errNothing {
			return n, err
		}
	}
	if err := p.hush(false); err != nil {
		return 0, err
	}
	if p.alones < alonesMin { // spares the clock
		return p.Conn.Read(b)
	}
	begin := time.Now()
	n, err := p.Conn.Read(b)
	p.slept(time.Since(begin))
	return n, err
}

// errNothing says that polling has found no bytes.
var errNothing = errors.New("no bytes yet")

// poll looks for bytes again and again.
func (p *polledConn) poll(b []byte) (int, error) {
	p.b = b
	err := p.raw.Read(p.look)
	p.b = nil
	switch {
	case err != nil: // closed, or its deadline has passed
		return 0, err
	case p.err == unix.EAGAIN:
		p.missed()
		return 0, errNothing
	case p.err != nil:
		return 0, p.failed("read", p.err)
	case p.n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return p.n, nil
}

// lookFor reads until there are bytes, the time is over or somebody else's client asks. Bytes that are there already say nothing of
// polling. A Close or a deadline of somebody else is noticed when the time is over.
func (p *polledConn) lookFor(fd uintptr) bool {
	var begin time.Time
	for looks := 0; ; looks++ {
		p.n, p.err = unix.Read(int(fd), p.b)
		if p.err != unix.EAGAIN && p.err != unix.EINTR {
			if looks > 0 {
				p.found()
			}
			return true
		}
		if looks == 0 {
			begin = time.Now()
		}
		if !p.alone() || time.Since(begin) >= p.span {
			p.err = unix.EAGAIN
			return true
		}
	}
}

// hush says whether arrivals are silent. Otherwise each would wake a thread of the runtime, which finds that nobody sleeps for it, and takes the
// core from the client. When they are silent no more, what has arrived in the meantime gives a sign at once.
func (p *polledConn) hush(quiet bool) error {
	if p.quiet == quiet {
		return nil
	}
	mark := 1
	if quiet {
		mark = quietBytes
	}
	var failed error
	err := p.raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, mark) })
	switch {
	case err != nil:
		return err
	case failed != nil:
		return p.failed("setsockopt", failed)
	}
	p.quiet = quiet
	return nil
}

func (p *polledConn) failed(call string, err error) error {
	return &net.OpError{Op: "read", Net: "tcp", Source: p.LocalAddr(), Addr: p.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}

func (p *polledConn) Close() error {
	p.forget()
	return p.Conn.Close()
}
