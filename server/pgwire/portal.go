package pgwire

import (
	"context"
	"maps"
	"runtime/debug"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// portal is a statement with its parameters, ready to run or halfway through.
type portal struct {
	name   string
	st     *prepared
	args   []plan.Value
	binary []bool // of the columns; nil: all text
	bytes  int
	ran    bool
	cursor bool       // DECLARE made it
	saved  int        // savepoints of the block when it did
	run    *suspended // nil: not halfway
}

// suspended is the engine halfway through a result: its goroutine fills the output while the connection's waits, and waits itself in
// between, so that one of them runs at a time.
type suspended struct {
	cancel context.CancelCauseFunc
	res    *result    // the engine's while it runs, the connection's while it is paused
	rows   chan int64 // how many to give next; closed to end
	state  chan step
	ended  bool
}

// step is why the engine's goroutine stopped.
type step struct {
	paused bool
	err    error
}

// portals are those of a connection.
type portals struct {
	unnamed   *portal
	named     map[string]*portal
	bytes     int
	suspended int
	spare     *portal // an unnamed one that has ended, whose memory the next one takes
}

// get gives a portal, or nil.
func (p *portals) get(name string) *portal {
	if name == "" {
		return p.unnamed
	}
	return p.named[name]
}

func (p *portals) find(name string) (*portal, error) {
	if x := p.get(name); x != nil {
		return x, nil
	}
	return nil, failure(stateUnknownPortal, "portal %q does not exist", name)
}

// fresh is a portal that put has not seen yet.
func (p *portals) fresh(name string, st *prepared) *portal {
	x := p.spare
	if x == nil {
		x = &portal{}
	}
	p.spare = nil
	*x = portal{name: name, st: st, args: x.args[:0]}
	return x
}

func (p *portals) put(x *portal) error {
	if x.name == "" {
		p.close("")
	}
	switch {
	case p.get(x.name) != nil:
		return failure(stateDuplicatePortal, "cursor %q already exists", x.name)
	case len(p.named) >= portalsMax || p.bytes+x.bytes > portalBytesMax:
		return failure(stateLimit, "the connection has %d portals with parameters of %d bytes, the bounds are %d and %d", len(p.named), p.bytes,
			portalsMax, portalBytesMax).WithHint("close those that are not needed")
	}
	p.bytes += x.bytes
	if x.name == "" {
		p.unnamed = x
		return nil
	}
	if p.named == nil {
		p.named = map[string]*portal{}
	}
	p.named[x.name] = x
	return nil
}

// close ends a portal and waits for its goroutine, if it has one.
func (p *portals) close(name string) bool {
	x := p.get(name)
	if x == nil {
		return false
	}
	p.end(x)
	p.bytes -= x.bytes
	if name == "" {
		p.unnamed = nil
		p.leave(x)
	} else {
		delete(p.named, name)
	}
	return true
}

// leave keeps the memory of a portal that has ended, without what it referred to.
func (p *portals) leave(x *portal) {
	if cap(x.args) > spareArgsMax {
		return
	}
	clear(x.args)
	*x = portal{args: x.args[:0]}
	p.spare = x
}

func (p *portals) end(x *portal) {
	if x.run == nil {
		return
	}
	if !x.run.ended {
		x.run.cancel(errPortalClosed)
		<-x.run.state
		x.run.ended = true
	}
	x.run = nil
	p.suspended--
}

func (p *portals) closeAll() {
	p.close("")
	p.closeNamed()
}

func (p *portals) closeNamed() {
	for name := range p.named {
		p.close(name)
	}
}

var errPortalClosed = failure(stateUnknownPortal, "the portal was closed")

// bind makes a portal.
func (c *conn) bind(m *pgproto3.Bind) error {
	st, err := c.statements.find(m.PreparedStatement)
	if err != nil {
		return err
	}
	if c.block != nil && c.block.failed && (st.Statement == nil || !endsFailure(st.Statement.Tree)) {
		return errFailedBlock()
	}
	p := c.portals.fresh(m.DestinationPortal, st)
	if p.args, err = st.arguments(p.args, m); err != nil {
		return err
	}
	if p.binary, err = formats(m.ResultFormatCodes, len(c.columns(st)), "result"); err != nil {
		return err
	}
	for _, b := range m.Parameters {
		p.bytes += len(b)
	}
	if err := c.portals.put(p); err != nil {
		return err
	}
	c.out.send(&pgproto3.BindComplete{})
	return nil
}

// executePortal runs a portal, or goes on with it, for at most rows rows; 0 is no bound.
func (c *conn) executePortal(name string, rows int64) error {
	p, err := c.portals.find(name)
	if err != nil {
		return err
	}
	switch {
	case p.st.Statement == nil:
		c.out.send(&pgproto3.EmptyQueryResponse{})
		return nil
	case p.cursor:
		return failure(statePortalNotSuspended, "portal %q is a cursor", name).WithHint("FETCH reads it")
	case p.run != nil:
		return c.resume(p, rows)
	case p.ran && p.st.returnsRows():
		c.out.complete("SELECT 0")
		return nil
	case p.ran:
		return failure(statePortalNotSuspended, "portal %q cannot be run", name).WithHint("bind the statement again")
	}
	p.ran = true
	res := result{c: c, cols: c.columns(p.st), binary: p.binary}
	if rows > 0 && p.st.returnsRows() {
		paused := res
		return c.suspend(p, &paused, rows)
	}
	return c.executeWhole(p.st.Statement, p.args, res)
}

// suspend runs a portal up to its first pause.
func (c *conn) suspend(p *portal, res *result, rows int64) error {
	if c.block != nil && c.block.failed {
		return errFailedBlock()
	}
	if err := c.settle(); err != nil {
		return err
	}
	res.max = rows
	if err := c.start(p, res); err != nil {
		return err
	}
	return c.await(p)
}

// start runs a portal in a goroutine of its own, which can wait between rows. statement_timeout holds for each wait for it, not for all
// of them together.
func (c *conn) start(p *portal, res *result) error {
	if err := c.allowed(p.st.Statement.Tree); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(c.s.base)
	run := &suspended{cancel: cancel, res: res, rows: make(chan int64), state: make(chan step)}
	res.pause = func() error {
		run.state <- step{paused: true}
		select {
		case res.max = <-run.rows:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	r := c.request(p.args)
	r.Settings, r.Memory = maps.Clone(r.Settings), nil // what the connection knows stays with its goroutine
	delete(r.Settings, statementTimeout)
	p.run = run
	c.portals.suspended++
	go func() { run.state <- step{err: c.guarded(ctx, p.st.Statement, r, res)} }()
	return nil
}

const statementTimeout = "statement_timeout"

// guarded runs a statement in the engine. A panic would end the process here, so it becomes an error.
func (c *conn) guarded(ctx context.Context, st *query.Statement, r query.Request, res *result) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = errcode.New(errcode.Internal, "the query failed by a mistake of ours: %v", x).WithDetail("%s", debug.Stack())
		}
	}()
	return c.s.o.Engine.Execute(ctx, st, r, res)
}

func (c *conn) resume(p *portal, rows int64) error {
	if err := c.settle(); err != nil {
		return err
	}
	p.run.rows <- rows
	return c.await(p)
}

// await waits until the engine of a portal pauses or ends.
func (c *conn) await(p *portal) error {
	return c.during(func(ctx context.Context) error {
		paused, err := c.paused(ctx, p)
		if paused {
			c.out.send(&pgproto3.PortalSuspended{})
		}
		return err
	})
}

// paused waits until the engine of a portal pauses, or ends.
func (c *conn) paused(ctx context.Context, p *portal) (bool, error) {
	if d := query.Span(c.effective()[statementTimeout]); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, query.TimedOut(d))
		defer cancel()
	}
	run := p.run
	stop := context.AfterFunc(ctx, func() { run.cancel(context.Cause(ctx)) })
	defer stop()
	s := <-run.state
	if s.paused {
		return true, nil
	}
	run.ended = true
	c.portals.end(p)
	c.changed(run.res)
	return false, s.err
}

// sync ends a pipeline: what INSERTs left is sent, and outside of a block every portal is closed.
func (c *conn) sync() error {
	c.skipping = false
	return c.answer(c.settle())
}
