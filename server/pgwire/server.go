// Package pgwire speaks PostgreSQL's protocol, version 3, so that psql, drivers and dashboards connect unmodified. It is thin: messages
// come in, statements go to query.Engine, rows go out. What it adds is what belongs to a connection: prepared statements and portals,
// transaction blocks, settings, COPY, cancellation, and the bounds of all of them.
//
//	s, err := pgwire.New(pgwire.Options{Engine: e, Catalog: c, Source: s, Writer: w})
//	go s.Serve(listener)
//	defer s.Shutdown(ctx)
//
// A connection is one goroutine that reads a message, does what it says and writes the answer; docs/pgwire.md says what clients may
// expect, and where it differs from PostgreSQL.
package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/query"
)

// Options of a Server. Engine, Catalog, Source and Writer are needed; the last three are those of the engine.
type Options struct {
	Engine  *query.Engine
	Catalog query.Catalog
	Source  query.Source
	Writer  query.Writer

	Roles   Roles       // who may log in; nil: nobody is asked, on loopback only
	TLS     *tls.Config // nil: connections are not encrypted
	Version string      // of quipu, told to clients

	// Node stands for the node in process ids, from 0 to NodeMax. Forward takes a cancel request that no connection here is meant by to
	// the nodes of a number, and returns when ctx ends at the latest; nil: there are none.
	Node    uint32
	Forward func(ctx context.Context, node, process uint32, key []byte)

	ConnectionsMax int           // default 100
	StartTimeout   time.Duration // from accept to the end of authentication; default 10 s
	IdleTimeout    time.Duration // without a message, outside of a transaction block; default 4 h
	BlockTimeout   time.Duration // without a message inside one, and the life of the snapshot of a read-only one; default 60 s
	WriteTimeout   time.Duration // of a client that does not read, and up to a quarter more; default 30 s
	CommitTimeout  time.Duration // of sending rows to the shards, after which the outcome is unknown; default 30 s

	// Poll is how long a connection looks for the next query before it sleeps, while its client is the only one that asks and does so at once again.
	// It spares waking a core for every query, and keeps one awake for it. Default 100 µs; negative: connections sleep at once.
	Poll time.Duration

	Logger *slog.Logger // default: discard
}

// Bounds of one connection.
const (
	messageBytesMax   = 16 << 20 // of one message: above the parser's limit of a text, with room for parameters
	statementsMax     = 1024     // named prepared statements
	statementBytesMax = 16 << 20 // texts of all of them
	portalsMax        = 64
	portalBytesMax    = 32 << 20 // parameters of all of them
	blockBytesMax     = 64 << 20 // rows that wait for COMMIT
	savepointsMax     = 64
	spareArgsMax      = 64       // parameters of a portal whose memory the next one takes
	flushBytes        = 64 << 10 // of answers that are gathered before they are sent
	keepBytes         = 1 << 20  // of a buffer that is kept for the next answers
	startupBytesMax   = 10_000
	startupParamsMax  = 64
	passwordBytesMax  = 10_000 // of a message before authentication
)

func (o Options) complete() (Options, error) {
	if o.Engine == nil || o.Catalog == nil || o.Source == nil || o.Writer == nil {
		return o, errors.New("pgwire: an engine, a catalog, a source and a writer are needed")
	}
	if o.ConnectionsMax == 0 {
		o.ConnectionsMax = 100
	}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{
		{&o.StartTimeout, 10 * time.Second}, {&o.IdleTimeout, 4 * time.Hour}, {&o.BlockTimeout, time.Minute},
		{&o.WriteTimeout, 30 * time.Second}, {&o.CommitTimeout, 30 * time.Second}, {&o.Poll, 100 * time.Microsecond},
	} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if runtime.GOMAXPROCS(0) < 2 {
		o.Poll = -1 // nothing would come while it polls
	}
	if o.TLS != nil {
		o.TLS = withALPN(o.TLS)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Node > NodeMax {
		return o, errors.New("pgwire: the number of a node is at most 2047")
	}
	return o, nil
}

// Server serves PostgreSQL clients.
type Server struct {
	o      Options
	decoy  [32]byte // makes the salts of users that do not exist
	base   context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	asked  atomic.Pointer[eagerness] // whose client has asked last

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	conns     map[uint32]*conn
	starting  map[*conn]struct{} // have not told who they are
	lastID    uint32
	stopping  bool
}

// New makes a server. It listens when Serve is called.
func New(o Options) (*Server, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, listeners: map[net.Listener]struct{}{}, conns: map[uint32]*conn{}, starting: map[*conn]struct{}{}}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	rand.Read(s.decoy[:])
	return s, nil
}

// Serve accepts connections of l until Shutdown, closes l, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	for {
		nc, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			stopping := s.stopping
			delete(s.listeners, l)
			s.mu.Unlock()
			if stopping {
				return nil
			}
			return err
		}
		s.ServeConn(nc)
	}
}

// ServeConn serves one connection in a goroutine of its own, and closes it.
func (s *Server) ServeConn(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Cancel requests and refusals need a connection too; beyond twice the bound there is no answer.
	if s.stopping || len(s.starting)+len(s.conns) >= 2*s.o.ConnectionsMax {
		nc.Close()
		return
	}
	c := newConn(s, s.polled(nc))
	s.starting[c] = struct{}{}
	s.wg.Go(func() { s.run(c) })
}

// run takes a connection from its first byte to its last.
func (s *Server) run(c *conn) {
	defer c.close()
	defer s.leave(c)
	defer c.recovered()
	err := c.handshake()
	if err == nil {
		err = s.admit(c)
	}
	if err == nil {
		err = c.greet()
	}
	if err != nil {
		c.end(err)
		return
	}
	c.loop()
}

// admit gives c a process id and makes room for it.
func (s *Server) admit(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return errStopping
	case len(s.conns) >= s.o.ConnectionsMax:
		return failure(stateTooManyConnections, "the server has as many connections as it takes, %d", s.o.ConnectionsMax).
			WithHint("close some, or put a pool in front")
	}
	if most := c.login.ConnectionsMax; most >= 0 {
		n := 0
		for _, other := range s.conns {
			if other.user == c.user {
				n++
			}
		}
		if n >= most {
			return failure(stateTooManyConnections, "too many connections for role %q", c.user)
		}
	}
	for {
		s.lastID = s.lastID%connectionMax + 1
		c.id = s.o.Node<<connectionBits | s.lastID
		if _, used := s.conns[c.id]; !used {
			break
		}
	}
	s.conns[c.id] = c
	delete(s.starting, c)
	return nil
}

// A process id is the number of the node and that of the connection, so that a cancel request finds its way from any node. It has 31 bits:
// clients read it as a signed number.
const (
	connectionBits = 20
	connectionMax  = 1<<connectionBits - 1
	NodeMax        = 1<<11 - 1 // highest number of a node
)

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.starting, c)
	if s.conns[c.id] == c {
		delete(s.conns, c.id)
	}
}

// Interrupt cancels what the connection with this process id and key runs, and is false if there is none. A wrong key is ignored, as the
// protocol wants it.
func (s *Server) Interrupt(id uint32, key []byte) bool {
	s.mu.Lock()
	c := s.conns[id]
	s.mu.Unlock()
	if c == nil || subtle.ConstantTimeCompare(c.key, key) != 1 {
		return false
	}
	c.interrupt(errUserCancel)
	return true
}

// forwardWait bounds how long a cancel request is on its way to another node. Clients wait for the end of its connection.
const forwardWait = 2 * time.Second

// interrupt is a cancel request, for a connection here or at another node.
func (s *Server) interrupt(id uint32, key []byte) {
	if s.Interrupt(id, key) || s.o.Forward == nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.base, min(forwardWait, s.o.StartTimeout))
	defer cancel()
	s.o.Forward(ctx, id>>connectionBits, id, key)
}

// Shutdown lets statements in flight end until ctx does, ends every connection and waits for that.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.starting {
		c.raw.Close()
	}
	for _, c := range s.conns {
		c.wake()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cancel(errStopping)
		return nil
	case <-ctx.Done():
	}
	s.cancel(errStopping)
	s.mu.Lock()
	for _, c := range s.conns {
		c.raw.Close()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}
