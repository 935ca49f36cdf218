package pgwire

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// polledPair gives a connection that polls with its next read, for span, and its client.
func polledPair(t *testing.T, span time.Duration) (*polledConn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{o: Options{Poll: span}}
	p := s.polled(nc).(*polledConn)
	t.Cleanup(func() { p.Close(); client.Close() })
	for range alonesMin + 1 {
		p.heard()
	}
	p.soon = true
	return p, client
}

// waterMark is how many bytes must have come before p gives a sign of them.
func (p *polledConn) waterMark(t *testing.T) (n int) {
	t.Helper()
	if err := p.raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) }); err != nil {
		t.Error(err)
	}
	return n
}

// reading reads once beside the test.
func (p *polledConn) reading() <-chan got {
	out := make(chan got, 1)
	go func() {
		b := make([]byte, 64)
		n, err := p.Read(b)
		out <- got{string(b[:n]), err}
	}()
	return out
}

type got struct {
	text string
	err  error
}

func (r got) is(t *testing.T, text string, err error) {
	t.Helper()
	if r.text != text || !errors.Is(r.err, err) {
		t.Errorf("read %q, %v; want %q, %v", r.text, r.err, text, err)
	}
}

func TestReadsWhilePolling(t *testing.T) {
	p, client := polledPair(t, time.Hour)
	for _, text := range []string{"one", "two"} {
		read := p.reading()
		io.WriteString(client, text)
		(<-read).is(t, text, nil)
		if n := p.waterMark(t); n != quietBytes {
			t.Errorf("arrivals gave a sign after %d bytes", n)
		}
	}
	read := p.reading()
	client.Close()
	(<-read).is(t, "", io.EOF)
}

func TestSleepsAfterPolling(t *testing.T) {
	p, client := polledPair(t, time.Nanosecond)
	if err := p.hush(true); err != nil {
		t.Fatal(err)
	}
	read := p.reading()
	for p.waterMark(t) != 1 {
		runtime.Gosched()
	}
	io.WriteString(client, "x")
	(<-read).is(t, "x", nil)
	if p.vain != 1 {
		t.Errorf("vain is %d after one poll in vain", p.vain)
	}
}

func TestWhatComesBeforeSleepWakes(t *testing.T) {
	p, client := polledPair(t, time.Nanosecond)
	if err := p.hush(true); err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, "x") // without a sign, as long as the connection is silent
	p.soon = false
	(<-p.reading()).is(t, "x", nil)
}

func TestPollingEndsWhenAnotherAsks(t *testing.T) {
	p, client := polledPair(t, time.Hour)
	read := p.reading()
	for p.waterMark(t) != quietBytes {
		runtime.Gosched()
	}
	other := eagerness{asked: p.asked}
	other.heard()
	for p.waterMark(t) != 1 {
		runtime.Gosched()
	}
	io.WriteString(client, "x")
	(<-read).is(t, "x", nil)
}

func TestReadsEndWithTheConnection(t *testing.T) {
	p, _ := polledPair(t, time.Nanosecond)
	read := p.reading()
	p.Close()
	(<-read).is(t, "", net.ErrClosed)

	p, _ = polledPair(t, time.Hour)
	p.SetReadDeadline(past)
	(<-p.reading()).is(t, "", os.ErrDeadlineExceeded)
}

func TestLongMessagesWhilePolling(t *testing.T) {
	p, client := polledPair(t, 10*time.Microsecond)
	const size = 4 << 20
	var wg sync.WaitGroup
	wg.Go(func() { client.Write(make([]byte, size)) })
	for b, rest := make([]byte, 32<<10), size; rest > 0; {
		n, err := p.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		rest -= n
	}
	wg.Wait()
}

func TestConnectionsOfTCPArePolled(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	s.o.Poll = time.Millisecond // also with one processor
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var found *conn
	for found == nil {
		runtime.Gosched()
		s.mu.Lock()
		for c := range s.starting {
			found = c
		}
		s.mu.Unlock()
	}
	if _, ok := found.net.(*polledConn); !ok {
		t.Errorf("reads from a %T", found.net)
	}
	l.Close()
	<-served
}
