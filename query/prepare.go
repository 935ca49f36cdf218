package query

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// Statement is one parsed statement. It is immutable but for the plan that it keeps, and may be run many times and at once.
type Statement struct {
	Text string        // that it was parsed from, with the statements beside it; positions of errors refer to it
	Tree sql.Statement // what an edge looks at to know BEGIN, COPY and the like

	params []plan.Type // of a prepared statement
	shown  string      // the text in quipu.queries and quipu.statements
	plan   atomic.Pointer[keptPlan]
}

// Parse splits text into its statements. Nothing is resolved yet.
func Parse(text string) ([]*Statement, error) {
	trees, err := parse(text)
	if err != nil {
		return nil, err
	}
	out := make([]*Statement, len(trees))
	shown := shownText(text)
	for i, t := range trees {
		out[i] = &Statement{Text: text, Tree: t, shown: shown}
	}
	return out, nil
}

// Prepared is a statement with its names resolved and its parameters typed, before these have values.
type Prepared struct {
	Statement *Statement    // nil: the text was empty
	Columns   []plan.Column // of the rows that it gives; nil: it gives none
	Params    []plan.Type   // of $1, $2, …; text where nothing says otherwise
}

// Prepare parses one statement and describes it without running it. types are those of its parameters that are known, plan.Unknown for
// those to infer; it may be shorter than the parameters. Of r it uses SQL, Principal, Database and Settings.
func (e *Engine) Prepare(ctx context.Context, r Request, types []plan.Type) (p *Prepared, err error) {
	defer guard(&err)
	statements, err := Parse(r.SQL)
	if err != nil {
		return nil, err
	}
	switch len(statements) {
	case 0:
		return &Prepared{}, nil
	case 1:
	default:
		return nil, errcode.New(errcode.SyntaxError, "cannot insert multiple commands into a prepared statement").
			WithHint("prepare the statements one by one")
	}
	return e.prepare(ctx, statements[0], r, types)
}

// PrepareQuery describes the query of a DECLARE, which is run through the cursor and not with the statement.
func (e *Engine) PrepareQuery(ctx context.Context, st *Statement, r Request, types []plan.Type) (p *Prepared, err error) {
	defer guard(&err)
	d, ok := st.Tree.(*sql.Declare)
	if !ok {
		return nil, errcode.New(errcode.Internal, "%T has no cursor", st.Tree)
	}
	return e.prepare(ctx, st.Part(d.Query), r, types)
}

// PrepareNamed describes the statement of a PREPARE.
func (e *Engine) PrepareNamed(ctx context.Context, st *Statement, r Request) (p *Prepared, err error) {
	defer guard(&err)
	t, ok := st.Tree.(*sql.Prepare)
	if !ok {
		return nil, errcode.New(errcode.Internal, "%T prepares nothing", st.Tree)
	}
	var types []plan.Type
	err = e.bound(ctx, st, r, func(b *plan.Binder) (err error) {
		types, err = b.ParamTypes(t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.prepare(ctx, st.Part(t.Statement), r, types)
}

// Arguments are the values that x, which is st or is explained by it, gives parameters of the given types.
func (e *Engine) Arguments(ctx context.Context, st *Statement, x *sql.Execute, r Request, types []plan.Type) (args []plan.Value, err error) {
	defer guard(&err)
	err = e.bound(ctx, st, r, func(b *plan.Binder) (err error) {
		args, err = b.Arguments(x, types)
		return err
	})
	return args, err
}

func (e *Engine) bound(ctx context.Context, st *Statement, r Request, f func(*plan.Binder) error) error {
	r.SQL = st.Text
	s, err := e.session(r)
	if err != nil {
		return err
	}
	return s.bound(ctx, f)
}

func (e *Engine) prepare(ctx context.Context, st *Statement, r Request, types []plan.Type) (*Prepared, error) {
	r.SQL = st.Text
	s, err := e.session(r)
	if err != nil {
		return nil, err
	}
	p := &Prepared{Statement: st}
	if p.Columns, p.Params, err = s.describe(ctx, st.Tree, types); err != nil {
		return nil, err
	}
	p.Statement.params = p.Params
	return p, nil
}

// Part is a statement that stands inside of s.
func (s *Statement) Part(tree sql.Statement) *Statement {
	return &Statement{Text: s.Text, Tree: tree, shown: s.shown}
}

// Params are the types of the parameters of a prepared statement.
func (s *Statement) Params() []plan.Type { return s.params }

// Explained is the EXPLAIN x of a prepared statement.
func (s *Statement) Explained(x *sql.Explain) *Statement {
	of := *x
	of.Statement = s.Tree
	return &Statement{Text: s.Text, Tree: &of, params: s.params, shown: s.shown}
}

// Execute runs a statement with the values r.Args of its parameters. r.SQL is not looked at.
func (e *Engine) Execute(ctx context.Context, st *Statement, r Request, sink Sink) (err error) {
	defer guard(&err)
	r.SQL = st.Text
	s, err := e.session(r)
	if err != nil {
		return err
	}
	s.params = st.params
	if err = s.statement(ctx, st, sink); err == nil { // else what has failed may still be looked at
		r.Memory.leave(s)
	}
	return err
}

// describe gives the columns and parameters of a statement.
func (s *session) describe(ctx context.Context, st sql.Statement, types []plan.Type) (cols []plan.Column, params []plan.Type, err error) {
	switch st := st.(type) {
	case *sql.Query:
		err = s.unvalued(ctx, types, func(b *plan.Binder) error {
			q, err := b.Query(st)
			if err == nil {
				cols, params = q.Columns, b.Params()
			}
			return err
		})
	case *sql.Insert:
		err = s.unvalued(ctx, types, func(b *plan.Binder) error {
			_, err := b.Insert(st)
			params = b.Params()
			return err
		})
	case *sql.Delete:
		err = s.unvalued(ctx, types, func(b *plan.Binder) error {
			_, err := b.Delete(st)
			params = b.Params()
			return err
		})
	case *sql.Explain:
		if _, params, err = s.describe(ctx, st.Statement, types); err == nil {
			cols = explainColumns(st)
		}
	case *sql.Declare: // gives no rows itself
		_, params, err = s.describe(ctx, st.Query, types)
	case *sql.Show:
		cols, err = s.shown(ctx, st)
	case *sql.CreateToken:
		cols = createTokenColumns
	}
	return cols, params, err
}

// unvalued runs f with binders that know the types of some parameters and the values of none.
func (s *session) unvalued(ctx context.Context, types []plan.Type, f func(*plan.Binder) error) error {
	return s.bound(ctx, func(b *plan.Binder) error {
		b.Describe(types)
		return f(b)
	})
}

var errDescribed = errors.New("query: described")

// shown are the columns of a SHOW, which it gives before any row.
func (s *session) shown(ctx context.Context, st *sql.Show) ([]plan.Column, error) {
	var sink columnSink
	if err := s.show(ctx, st, &sink); !errors.Is(err, errDescribed) {
		return nil, err
	}
	return sink.columns, nil
}

// columnSink stops at the columns.
type columnSink struct{ columns []plan.Column }

func (c *columnSink) Columns(columns []plan.Column) error { c.columns = columns; return errDescribed }
func (*columnSink) Row([]plan.Value) error                { return errDescribed }
func (*columnSink) End(*End) error                        { return errDescribed }
