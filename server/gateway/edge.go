package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
)

const (
	headerTime     = 5 * time.Second // for the first bytes of a connection, and for the header of an HTTP request
	idleTime       = 2 * time.Minute // between two HTTP requests on a connection
	headerBytesMax = 64 << 10
	connectionsMax = 4096
)

// preface is how every HTTP/2 connection with prior knowledge begins, which is what gRPC without TLS does; no HTTP/1 request does.
const preface = "PRI * HT"

// Edge serves gRPC and HTTP/1.1 on one port. It reads the first eight bytes of a connection and hands it, with those bytes, to
// the gRPC server or to the HTTP server. A connection that is slow to say anything holds nobody up.
type Edge struct {
	grpc   *grpc.Server
	http   *http.Server
	tls    *tls.Config // nil: connections are not encrypted
	logger *slog.Logger

	toGRPC, toHTTP *handover
	servers        sync.WaitGroup // the two servers
	accepting      sync.WaitGroup // calls of Serve
	sniffing       sync.WaitGroup
	slots          chan struct{} // a token for each open connection
	stop           chan struct{} // closed by Shutdown

	mu        sync.Mutex // guards listeners, and stop against being closed while Serve begins
	listeners map[net.Listener]struct{}
}

// drainKey finds, in the context of a request, the channel that closes when the edge shuts down. Event streams end on it.
type drainKey struct{}

// NewEdge makes an edge over a gRPC server and a handler, where encrypt is not nil for encrypted connections only. Stop it with
// Shutdown, which also stops the gRPC server.
func NewEdge(g *grpc.Server, handler http.Handler, encrypt *tls.Config, logger *slog.Logger) *Edge {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	e := &Edge{
		grpc: g,
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: headerTime,
			IdleTimeout:       idleTime,
			MaxHeaderBytes:    headerBytesMax,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		},
		tls:       encrypt,
		logger:    logger,
		toGRPC:    newHandover(),
		toHTTP:    newHandover(),
		slots:     make(chan struct{}, connectionsMax),
		stop:      make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
	}
	base := context.WithValue(context.Background(), drainKey{}, (<-chan struct{})(e.stop))
	e.http.BaseContext = func(net.Listener) context.Context { return base }
	e.servers.Go(func() { e.grpc.Serve(e.toGRPC) }) // both end when their handover closes
	e.servers.Go(func() { e.http.Serve(e.toHTTP) })
	return e
}

// Serve accepts connections from l until Shutdown, and then returns nil, or until l fails. It closes l.
func (e *Edge) Serve(l net.Listener) error {
	defer l.Close()
	if !e.track(l) {
		return nil
	}
	defer e.untrack(l)
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err != nil {
			if e.stopping() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, or the peer has gone already: the listener itself is sound.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			e.logger.Warn("accept failed", "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-e.stop:
			}
			continue
		}
		pause = 0
		e.take(conn)
	}
}

// take never blocks the accept loop.
func (e *Edge) take(conn net.Conn) {
	select {
	case e.slots <- struct{}{}:
	default:
		e.logger.Warn("connection refused, too many are open", "max", connectionsMax)
		conn.Close()
		return
	}
	c := &sniffed{Conn: conn, release: sync.OnceFunc(func() { <-e.slots })}
	e.sniffing.Go(func() { e.sniff(c) })
}

// sniff reads the first bytes and hands the connection over.
func (e *Edge) sniff(c *sniffed) {
	c.SetDeadline(time.Now().Add(headerTime))
	if e.tls != nil && !c.encrypt(e.tls) {
		c.Close()
		return
	}
	c.head = make([]byte, len(preface))
	if _, err := io.ReadFull(c.Conn, c.head); err != nil {
		c.Close() // gone, or slower than it may be
		return
	}
	c.SetDeadline(time.Time{})
	to := e.toHTTP
	if string(c.head) == preface {
		to = e.toGRPC
	}
	to.hand(c)
}

// Shutdown stops accepting, lets requests in flight finish until ctx is done, and then cuts them off.
func (e *Edge) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if !e.stopping() {
		close(e.stop)
	}
	for l := range e.listeners {
		l.Close()
	}
	e.mu.Unlock()
	e.accepting.Wait()
	e.toGRPC.Close()
	err := e.http.Shutdown(ctx) // closes toHTTP; connections still being sniffed find both closed
	if err != nil {
		e.http.Close()
	}
	stopped := make(chan struct{})
	go func() {
		e.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		err = ctx.Err()
		e.grpc.Stop()
		<-stopped
	}
	e.sniffing.Wait() // at most headerTime
	e.servers.Wait()
	return err
}

// track says whether l may be accepted from.
func (e *Edge) track(l net.Listener) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping() {
		return false
	}
	e.listeners[l] = struct{}{}
	e.accepting.Add(1)
	return true
}

func (e *Edge) untrack(l net.Listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.listeners, l)
	e.accepting.Done()
}

func (e *Edge) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// sniffed is a connection whose first bytes have been read and are read again.
type sniffed struct {
	net.Conn
	head    []byte // not read again yet
	release func() // gives the slot back, once
}

// encrypt does the TLS handshake. Who sent plain HTTP is told so.
func (c *sniffed) encrypt(cfg *tls.Config) bool {
	t := tls.Server(c.Conn, cfg)
	err := t.Handshake()
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && slices.Contains(httpStarts, string(plain.RecordHeader[:4])) {
		io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nthis port speaks HTTPS: begin the address with https://\n")
	}
	c.Conn = t
	return err == nil
}

// httpStarts are how requests of HTTP/1 begin.
var httpStarts = []string{"GET ", "HEAD", "POST", "PUT ", "PATC", "DELE", "OPTI"}

func (c *sniffed) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite lets the HTTP server end an answer to a request that it does not read to its end, without a reset.
func (c *sniffed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok { // TCP, and TLS on it
		return half.CloseWrite()
	}
	return nil
}

func (c *sniffed) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// handover is the net.Listener of one of the two servers.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newHandover() *handover {
	h := &handover{conns: make(chan net.Conn), done: make(chan struct{})}
	h.close = sync.OnceFunc(func() { close(h.done) })
	return h
}

// hand waits until the server takes c; a server that has stopped closes it.
func (h *handover) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		c.Close()
	}
}

// Accept is net.Listener's.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and leaves the real listener alone.
func (h *handover) Close() error {
	h.close()
	return nil
}

// Addr is a name: there may be several real listeners.
func (h *handover) Addr() net.Addr { return handoverAddr{} }

type handoverAddr struct{}

func (handoverAddr) Network() string { return "edge" }
func (handoverAddr) String() string  { return "edge" }
