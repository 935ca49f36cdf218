package pgwire

import (
	"context"
	"fmt"
	"slices"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// declare opens a cursor: a portal whose query runs up to its first row, so that the cursor stands for the instant of its DECLARE, and
// then waits for FETCH and MOVE. It lives until the end of the block.
func (c *conn) declare(ctx context.Context, st *query.Statement, d *sql.Declare, args []plan.Value, res *result) error {
	switch {
	case d.Hold:
		return errcode.New(errcode.NotSupported, "cursors WITH HOLD are not supported").
			WithHint("fetch before COMMIT, or read everything with COPY (query) TO STDOUT")
	case d.Scroll == "scroll":
		return errcode.New(errcode.NotSupported, "cursors with SCROLL are not supported").WithHint("a cursor goes forward only: leave SCROLL out")
	case c.block == nil:
		return failure(stateNoBlock, "DECLARE CURSOR can only be used in transaction blocks").WithHint("BEGIN starts one")
	}
	p, err := c.s.o.Engine.PrepareQuery(ctx, st, c.request(args), st.Params())
	if err != nil {
		return err
	}
	x := &portal{name: d.Name, st: &prepared{Prepared: p}, args: slices.Clone(args), cursor: true, saved: len(c.block.saved)}
	for _, v := range args {
		x.bytes += len(v.String())
	}
	if d.Binary {
		x.binary = make([]bool, len(p.Columns))
		for i := range x.binary {
			x.binary[i] = true
		}
	}
	if err := c.portals.put(x); err != nil {
		return err
	}
	err = c.start(x, &result{c: c, cols: p.Columns, cursor: true, held: true})
	if err == nil {
		_, err = c.paused(ctx, x)
	}
	if err != nil {
		c.portals.close(d.Name)
		return err
	}
	return res.done("DECLARE CURSOR")
}

// fetch sends the next rows of a cursor, or skips them.
func (c *conn) fetch(ctx context.Context, f *sql.Fetch, res *result) error {
	x := c.portals.get(f.Name)
	if x == nil || !x.cursor {
		return errNoCursor(f.Name)
	}
	if f.Direction != "forward" || !f.All && f.Count < 1 {
		return failure(statePortalNotSuspended, "cursor can only scan forward").WithHint("FETCH n, FETCH ALL, MOVE n and MOVE ALL are what it can")
	}
	verb, binary := "FETCH", res.binary
	switch {
	case f.Move:
		verb = "MOVE"
	case res.describe: // the simple protocol, where DECLARE BINARY says it
		binary = x.binary
		c.out.describe(x.st.Columns, binary)
	}
	n := int64(0)
	if run := x.run; run != nil {
		run.res.binary, run.res.skip = binary, f.Move
		run.rows <- f.Count // 0, all of them, is no bound
		if _, err := c.paused(ctx, x); err != nil {
			return err
		}
		n = run.res.rows
	}
	return res.done(fmt.Sprintf("%s %d", verb, n))
}

func (c *conn) closeCursor(t *sql.Close, res *result) error {
	if t.Name == "" {
		c.portals.closeNamed()
		return res.done("CLOSE CURSOR ALL")
	}
	if !c.portals.close(t.Name) {
		return errNoCursor(t.Name)
	}
	return res.done("CLOSE CURSOR")
}

func errNoCursor(name string) error {
	return failure(stateUnknownPortal, "cursor %q does not exist", name)
}

// closeCursors closes those that were declared when the block had at least so many savepoints.
func (p *portals) closeCursors(saved int) {
	for name, x := range p.named {
		if x.cursor && x.saved >= saved {
			p.close(name)
		}
	}
}
