package pgwire

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// result writes what a statement gives. It is the sink of one run of the engine.
type result struct {
	c        *conn
	describe bool          // send a RowDescription: the simple protocol
	cols     []plan.Column // what the client was told, if describe is false
	binary   []bool        // by column; nil: all in text

	cursor  bool // a FETCH completes it, not the end of the rows
	held    bool // pause before the first row
	skip    bool // count rows and send none: MOVE
	begun   bool
	max     int64 // rows until the next pause; 0 is no bound
	rows    int64 // since the last one
	pause   func() error
	changed map[string]string // settings
	local   map[string]string // settings, until the end of the block
}

// Columns opens the result.
func (r *result) Columns(cols []plan.Column) error {
	if r.begun {
		return nil
	}
	r.begun = true
	if cols == nil { // a statement that gives no rows
		return r.c.out.err
	}
	if r.describe {
		r.c.out.describe(cols, nil)
	} else if !sameTypes(cols, r.cols) {
		return failure(stateUnsupportedProtocol, "cached plan must not change result type").
			WithHint("the table has changed since the statement was prepared: prepare it again")
	}
	r.cols = cols
	return nil
}

func sameTypes(a, b []plan.Column) bool {
	return slices.EqualFunc(a, b, func(x, y plan.Column) bool {
		ox, _ := typeOf(x.Type)
		oy, _ := typeOf(y.Type)
		return ox == oy
	})
}

// Row sends one row.
func (r *result) Row(values []plan.Value) error {
	if r.held {
		if err := r.wait(); err != nil {
			return err
		}
	}
	r.rows++
	if !r.skip {
		if err := r.send(values); err != nil {
			return err
		}
	}
	if r.max > 0 && r.rows == r.max { // before the next row is computed, whose error belongs to the next piece
		return r.wait()
	}
	return nil
}

// wait stands still until the next piece is asked for.
func (r *result) wait() error {
	if err := r.pause(); err != nil {
		return err
	}
	r.held, r.rows = false, 0
	return nil
}

func (r *result) send(values []plan.Value) error {
	o := &r.c.out
	at := len(o.buf)
	buf := append(o.buf, 'D', 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(buf[at+5:], uint16(len(values)))
	for i, v := range values {
		buf = appendField(buf, r.cols[i].Type, v, r.binary != nil && r.binary[i])
	}
	binary.BigEndian.PutUint32(buf[at+1:], uint32(len(buf)-at-1))
	o.buf = buf
	return o.room()
}

// End closes the result with what is to be said beside it.
func (r *result) End(e *query.End) error {
	o := &r.c.out
	r.changed, r.local = e.Settings, e.Local
	for _, n := range e.Notices {
		state := "00000"
		if n.Severity == "WARNING" {
			state = stateWarning
		}
		r.c.notify(notice(n.Severity, state, n.Message, n.Hint))
	}
	if e.Snapshot != nil {
		r.c.reportFooting(*e.Snapshot, e.Age)
	}
	tag := e.Tag
	if r.pause != nil && strings.HasPrefix(tag, "SELECT ") {
		tag = "SELECT " + itoa(r.rows) // of the last piece, as in PostgreSQL
	}
	if !r.cursor {
		o.complete(tag)
	}
	return o.err
}

// done answers a statement that gives no rows and needs no engine.
func (r *result) done(tag string) error {
	r.c.out.complete(tag)
	return nil
}

// report tells the client the value of a parameter.
func (c *conn) report(name, value string) {
	c.out.send(&pgproto3.ParameterStatus{Name: name, Value: clean(value)})
}

// executeWhole runs one statement to its end, which is when res is free for the next.
func (c *conn) executeWhole(st *query.Statement, args []plan.Value, res result) error {
	c.whole = res
	defer func() { c.whole = result{} }()
	return c.execute(st, args, &c.whole)
}

// execute runs one statement. Rows that INSERTs left are sent first, unless this is one more INSERT.
func (c *conn) execute(st *query.Statement, args []plan.Value, res *result) error {
	if c.block != nil && c.block.failed && !endsFailure(st.Tree) {
		return errFailedBlock()
	}
	if _, more := c.tree(st).(*sql.Insert); !more {
		if err := c.settle(); err != nil {
			return err
		}
	} else if c.block == nil && c.loose.empty() {
		c.looseMark = c.out.mark()
	}
	return c.during(func(ctx context.Context) error { return c.dispatch(ctx, st, args, res) })
}

// dispatch gives a statement to the part that runs it.
func (c *conn) dispatch(ctx context.Context, st *query.Statement, args []plan.Value, res *result) error {
	switch t := st.Tree.(type) {
	case *sql.Transaction:
		return c.transaction(ctx, t, res)
	case *sql.SetTransaction:
		return c.setTransaction(t, res)
	case *sql.Set, *sql.Reset:
		return c.set(ctx, st, res)
	case *sql.Discard:
		return c.discard(t, res)
	case *sql.Prepare:
		return c.prepareNamed(ctx, st, t, res)
	case *sql.Execute:
		return c.executeNamed(ctx, st, t, res)
	case *sql.Explain:
		if x, ok := t.Statement.(*sql.Execute); ok {
			return c.explainNamed(ctx, st, t, x, res)
		}
	case *sql.Deallocate:
		return c.deallocate(t, res)
	case *sql.Declare:
		return c.declare(ctx, st, t, args, res)
	case *sql.Fetch:
		return c.fetch(ctx, t, res)
	case *sql.Close:
		return c.closeCursor(t, res)
	case *sql.Unlisten:
		return res.done("UNLISTEN")
	case *sql.Copy:
		return c.copy(ctx, st, t, res)
	}
	if err := c.engine(ctx, st, args, res); err != nil {
		return err
	}
	c.changed(res)
	return nil
}

// engine runs a statement in the engine, within what a transaction block allows.
func (c *conn) engine(ctx context.Context, st *query.Statement, args []plan.Value, sink query.Sink) error {
	if err := c.allowed(st.Tree); err != nil {
		return err
	}
	err := c.s.o.Engine.Execute(ctx, st, c.request(args), sink)
	if err == nil {
		c.done(st.Tree)
		return nil
	}
	if _, ok := st.Tree.(*sql.Insert); ok { // what the engine has handed over waits here, and is dropped with the statement
		e := *errcode.From(err)
		e.Detail = ""
		return &e
	}
	return err
}

func (c *conn) request(args []plan.Value) query.Request {
	return query.Request{Principal: c.user, Rights: c.login.Rights, Database: c.database, Args: args, Settings: c.effective(), Memory: &c.memory, Source: c, Writer: c}
}
