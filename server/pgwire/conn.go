package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/errcode"
)

// conn is one connection. The goroutine that serves it owns every field but those under mu.
type conn struct {
	s          *Server
	raw        net.Conn          // as it was accepted; others may close it
	net        net.Conn          // the same, or TLS on it
	in         *pgproto3.Backend // reads from
	arrivals   arrivals
	out        output
	tls        *tls.ConnectionState // nil: not encrypted
	encryption *tls.Config          // that made it so
	minor      uint32               // of the protocol

	id             uint32
	key            []byte
	user, database string
	login          Login

	wishes   map[string]string // parameters of the startup message
	initial  map[string]string // settings that RESET goes back to
	settings map[string]string // that differ from the engine's defaults; a map that is here does not change any more
	memory   query.Memory
	receipts receipts // of what was written here

	statements statements
	portals    portals
	whole      result // of the statement that runs to its end
	footing    footing
	skipping   bool // an error of the extended protocol: everything up to Sync is ignored

	spareRun  *runContext // of an earlier statement, which nobody waits for; nil: none
	block     *block      // nil: outside of BEGIN and COMMIT
	loose     gather      // rows of INSERTs outside of a block that are not sent yet
	looseMark int64       // where the answers to those begin

	mu          sync.Mutex  // guards the fields below
	running     *runContext // nil: nothing runs
	interrupted bool        // what runs shall end, and wait for nothing more
	waiting     bool        // for bytes
	woken       bool        // to end at the next moment without work
	armed       time.Time   // when reads end by themselves, at or before until; zero: not set
	until       time.Time   // how long they are waited for
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, raw: nc, settings: map[string]string{}, initial: map[string]string{}}
	c.arrivals.c = c
	c.setNet(nc)
	c.key = make([]byte, 32)
	rand.Read(c.key)
	return c
}

func (c *conn) setNet(nc net.Conn) {
	c.net = nc
	c.out.net, c.out.timeout = nc, c.s.o.WriteTimeout
	c.forget()
}

// forget says that the deadlines of the connection were set, or ended, by somebody else.
func (c *conn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.out.until = time.Time{}, time.Time{}
}

// close ends what the connection holds.
func (c *conn) close() {
	c.endBlock()
	if c.spareRun != nil {
		c.spareRun.cancel(nil)
	}
	c.net.Close()
}

// recovered turns a mistake of ours into the end of one connection.
func (c *conn) recovered() {
	if p := recover(); p != nil {
		c.s.o.Logger.Error("a connection failed by a mistake of ours", "err", p, "stack", string(debug.Stack()))
		c.end(errcode.New(errcode.Internal, "the connection failed by a mistake of ours"))
	}
}

// end says why the connection ends, if there is somebody to hear it.
func (c *conn) end(err error) {
	if err == nil || errors.Is(err, errEnded) || c.out.err != nil {
		return
	}
	c.out.send(response("FATAL", err))
	c.out.flush()
}

// reported are the settings that clients are told of, by the engine's name.
var reported = map[string]string{
	"application_name": "application_name", "client_encoding": "client_encoding", "datestyle": "DateStyle", "timezone": "TimeZone",
	"standard_conforming_strings": "standard_conforming_strings", readOnlyDefault: readOnlyDefault,
}

// greet tells the client of the session that begins.
func (c *conn) greet() error {
	c.net.SetDeadline(time.Now().Add(c.s.o.StartTimeout))
	if err := c.checkDatabase(); err != nil {
		return err
	}
	if err := c.applyWishes(); err != nil {
		return err
	}
	for _, p := range [][2]string{
		{"server_version", serverVersion}, {"server_encoding", "UTF8"}, {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"}, {"TimeZone", "UTC"}, {"integer_datetimes", "on"}, {"standard_conforming_strings", "on"},
		{"is_superuser", onOff(c.login.Superuser)}, {"session_authorization", c.user}, {"application_name", c.settings["application_name"]},
		{readOnlyDefault, onOff(c.readOnlyByDefault())}, {"in_hot_standby", "off"}, {"quipu_version", c.s.o.Version},
	} {
		c.out.send(&pgproto3.ParameterStatus{Name: p[0], Value: clean(p[1])})
	}
	if c.minor < 2 {
		c.key = c.key[:4]
	}
	c.out.send(&pgproto3.BackendKeyData{ProcessID: c.id, SecretKey: c.key})
	c.net.SetDeadline(time.Time{})
	c.forget()
	c.arrivals.served = true
	return c.ready()
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// serverVersion is the PostgreSQL that clients shall take us for. psql and others choose their catalog queries by it.
const serverVersion = "15.0 (quipu 0.1)"

// ready says that the next query may come.
func (c *conn) ready() error {
	c.out.ready(c.status())
	return c.out.flush()
}

// status is I outside of a block, T inside one, E inside one that has failed.
func (c *conn) status() byte {
	switch {
	case c.block == nil:
		return 'I'
	case c.block.failed:
		return 'E'
	}
	return 'T'
}

// loop serves messages until one ends the connection.
func (c *conn) loop() {
	for {
		m, err := c.receive()
		if err != nil {
			c.end(err)
			return
		}
		if err := c.handle(m); err != nil {
			c.end(err)
			return
		}
	}
}

// arrivals are the bytes of the client. Once it is served, they are waited for as long as the state of the connection allows: where several
// messages arrive together, once for all of them.
type arrivals struct {
	c      *conn
	served bool
}

func (a *arrivals) Read(b []byte) (int, error) {
	c := a.c
	if !a.served { // the start has a deadline of its own
		return c.net.Read(b)
	}
	patience, _, _ := c.patience()
	if !c.wait(patience) {
		return 0, errStopping
	}
	n, err := c.net.Read(b)
	for n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.goOn() {
		n, err = c.net.Read(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if c.woken && errors.Is(err, os.ErrDeadlineExceeded) {
		err = errStopping
	}
	return n, err
}

// patience is how long the client may be silent, and what is said when it was for longer.
func (c *conn) patience() (d time.Duration, state, what string) {
	if c.block != nil || c.portals.suspended > 0 {
		return c.within("idle_in_transaction_session_timeout", c.s.o.BlockTimeout), stateBlockTimeout, "terminating connection due to idle-in-transaction timeout"
	}
	return c.within("idle_session_timeout", c.s.o.IdleTimeout), stateIdleTimeout, "terminating connection due to idle-session timeout"
}

// receive gives the next message.
func (c *conn) receive() (pgproto3.FrontendMessage, error) {
	m, err := c.in.Receive()
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, errStopping):
		return nil, errStopping
	case errors.Is(err, os.ErrDeadlineExceeded):
		patience, state, what := c.patience()
		return nil, failure(state, "%s (%v)", what, patience)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return nil, errEnded
	}
	return nil, broken(err)
}

// within is the time that a setting gives, but no more than the server does; without one it is the server's.
func (c *conn) within(setting string, bound time.Duration) time.Duration {
	if d := query.Span(c.settings[setting]); d > 0 {
		return min(d, bound)
	}
	return bound
}

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// wait sets the time that the next bytes have, and is false if none are to come. A deadline of the connection that comes earlier may stay:
// it is cheaper to go on when it ends a read, hours later as a rule, than to move it for every read.
func (c *conn) wait(patience time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.woken {
		return false
	}
	c.waiting = true
	c.until = time.Now().Add(patience)
	switch {
	case c.interrupted: // before a COPY came to wait for its data
		c.arm(past)
	case c.armed.IsZero() || c.armed.After(c.until):
		c.arm(c.until)
	}
	return true
}

// arm sets when reads end by themselves. mu is held.
func (c *conn) arm(t time.Time) {
	c.armed = t
	c.net.SetReadDeadline(t)
}

// goOn says that a read which has ended by itself did so too early, and gives the next one the time that is left.
func (c *conn) goOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.woken || c.interrupted || !time.Now().Before(c.until) {
		return false
	}
	c.arm(c.until)
	return true
}

// broken is the error of bytes that are no message, behind which nothing can be found again.
func broken(err error) error {
	if long, ok := errors.AsType[*pgproto3.ExceededMaxBodyLenErr](err); ok {
		return failure(stateLimit, "a message of %d bytes is longer than %d", long.ActualBodyLen, long.MaxExpectedBodyLen).
			WithHint("send the rows in several INSERTs, or use COPY")
	}
	if isEOF(err) {
		return errEnded
	}
	return errProtocol("%v", err)
}

// wake ends the connection as soon as it has nothing to do.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = true
	if c.waiting {
		c.arm(past)
	}
}

// interrupt cancels what runs.
func (c *conn) interrupt(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		return
	}
	c.running.cancel(cause)
	c.interrupted = true
	if c.waiting { // for the data of a COPY
		c.arm(past)
	}
}

// during runs f with a context that interrupt ends, and prefers the reason of the interruption to what followed from it.
func (c *conn) during(f func(context.Context) error) error {
	ctx := c.spareRun
	if ctx == nil {
		ctx = newRunContext(c.s.base)
	}
	c.spareRun = nil
	c.mu.Lock()
	c.running = ctx
	c.mu.Unlock()
	err := f(ctx)
	c.mu.Lock()
	c.running, c.interrupted = nil, false
	c.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		err = because(ctx, err)
	}
	if ctx.unseen() {
		c.spareRun = ctx
	} else {
		ctx.cancel(nil)
	}
	return err
}

// because is the reason for which ctx was canceled, if err says no more than that it was.
func because(ctx context.Context, err error) error {
	if _, e := sqlState(err); e.Code == errcode.Canceled || e.Code == errcode.Timeout {
		if cause := context.Cause(ctx); cause != ctx.Err() {
			return cause
		}
	}
	return err
}

// handle does what a message says. An error ends the connection.
func (c *conn) handle(m pgproto3.FrontendMessage) error {
	switch m := m.(type) {
	case *pgproto3.Query:
		c.skipping = false
		return c.simple(m.String)
	case *pgproto3.Sync:
		return c.sync()
	case *pgproto3.Terminate:
		return errEnded
	case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
		return nil // what was on its way when a COPY failed
	case *pgproto3.FunctionCall:
		return c.answer(failure(stateUnsupportedProtocol, "function calls of the protocol are not supported").WithHint("call the function in a SELECT"))
	}
	if c.skipping {
		return nil
	}
	var err error
	switch m := m.(type) {
	case *pgproto3.Parse:
		err = c.parse(m)
	case *pgproto3.Bind:
		err = c.bind(m)
	case *pgproto3.Describe:
		err = c.describe(m)
	case *pgproto3.Execute:
		err = c.executePortal(m.Portal, int64(m.MaxRows))
	case *pgproto3.Close:
		c.closeNamed(m)
	case *pgproto3.Flush:
		if err = c.settle(); err == nil {
			return c.out.flush()
		}
	default:
		return errProtocol("a message that is not expected here: %T", m)
	}
	if err != nil {
		c.skipping = true
		if err = c.fail(err); err != nil {
			return err
		}
	}
	return c.out.room()
}

// answer ends a query: with an error, if there is one, and with the state of the connection.
func (c *conn) answer(err error) error {
	if err != nil {
		if err = c.fail(err); err != nil {
			return err
		}
	}
	if c.block == nil {
		c.portals.closeAll()
	}
	return c.ready()
}

// fail answers a statement with an error. What INSERTs left to be sent is dropped, as PostgreSQL rolls it back; a block has failed. An
// error that ends the connection is returned.
func (c *conn) fail(err error) error {
	c.loose.drop()
	if c.block != nil {
		c.block.failed = true
	}
	if f, ok := errors.AsType[*fatal](err); ok {
		return f.error
	}
	if _, e := sqlState(err); e.Code == errcode.Internal {
		c.s.o.Logger.Error("a statement failed by a mistake of ours", "err", e.Message, "detail", e.Detail)
	}
	if c.out.err == nil {
		c.out.send(c.advised(response("ERROR", err)))
	}
	return c.out.err
}

// advised adds what to use instead to an error of a program that cannot work here.
func (c *conn) advised(e *pgproto3.ErrorResponse) *pgproto3.ErrorResponse {
	switch name := c.settings["application_name"]; name {
	case "pg_dump", "pg_dumpall", "pg_restore":
		e.Hint = name + " is for PostgreSQL, of whose own catalogs it wants more than there is here: quipu backup create keeps everything, " +
			"quipu export and COPY write the rows of a table, and \\d of psql shows its definition"
	}
	return e
}
