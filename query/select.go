package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// plannedMax is how often a query is planned anew because its tables changed under it.
const plannedMax = 3

func (s *session) query(ctx context.Context, q *sql.Query, sink Sink) error {
	bound, err := s.bind(ctx, q)
	if err != nil {
		return err
	}
	return s.run(ctx, q, bound, sink, nil)
}

func (s *session) bind(ctx context.Context, q *sql.Query) (bound *plan.Query, err error) {
	err = s.bound(ctx, func(b *plan.Binder) error {
		bound, err = b.Query(q)
		return err
	})
	return bound, err
}

// run runs a bound query. Nothing has gone to the sink when a changed table makes it start anew.
func (s *session) run(ctx context.Context, q *sql.Query, bound *plan.Query, sink Sink, costs map[*plan.Fragment]*exec.Cost) error {
	for try := 1; ; try++ {
		end := &End{}
		out := &once{sink: sink, columns: bound.Columns}
		err := s.rows(ctx, bound, out, end, costs)
		if err == nil {
			if err := out.open(); err != nil {
				return err
			}
			end.Rows, end.Tag = out.rows, fmt.Sprintf("SELECT %d", out.rows)
			return s.end(sink, end)
		}
		var e *errcode.Error
		if out.opened || try == plannedMax || !errors.As(err, &e) || e.Code != errcode.SchemaChanged {
			return err
		}
		if bound, err = s.bind(ctx, q); err != nil {
			return err
		}
	}
}

// once opens a result at its first row.
type once struct {
	sink    Sink
	columns []plan.Column
	opened  bool
	rows    int64
}

func (o *once) open() error {
	if o.opened {
		return nil
	}
	o.opened = true
	return o.sink.Columns(o.columns)
}

func (o *once) row(values []plan.Value) error {
	if err := o.open(); err != nil {
		return err
	}
	o.rows++
	return o.sink.Row(values[:len(o.columns)])
}

// rows takes the snapshot that the plan needs and runs the plan on it.
func (s *session) rows(ctx context.Context, bound *plan.Query, out *once, end *End, costs map[*plan.Fragment]*exec.Cost) error {
	warned := warnings{}
	env := &exec.Env{Costs: costs, Warn: warned.add, Options: exec.Options{
		Parallel: int(s.settings.number("quipu.parallelism")), Memory: exec.NewBudget(s.settings.bytes("quipu.memory_limit"))}}
	if shards, any := bound.Shards(); any {
		if len(bound.Fragments()) > 1 {
			shards = nil
		}
		snap, err := s.r.Source.Snapshot(ctx, Read{Shards: shards, Level: Level(s.settings.get("quipu.read_consistency")), MinIndex: s.settings.get("quipu.min_index")})
		if err != nil {
			return err
		}
		defer snap.Release()
		env.Shards = snap.Shards
		end.Snapshot, end.Age = &snap.ID, s.e.o.Now().Sub(snap.Taken)
	}
	if err := env.Run(ctx, bound, out.row); err != nil {
		return err
	}
	end.Notices = warned.notices()
	return nil
}

// warnings counts what tests warn of, so that a thousand tests give one notice.
type warnings map[string]int

func (w warnings) add(text string) {
	kind, _, _ := strings.Cut(text, " (")
	w[kind]++
}

func (w warnings) notices() []Notice {
	var kinds []string
	for k := range w {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	var out []Notice
	for _, k := range kinds {
		n := Notice{Severity: "NOTICE", Message: "a test warns: " + k}
		if w[k] > 1 {
			n.Message = fmt.Sprintf("%d tests warn: %s", w[k], k)
		}
		out = append(out, n)
	}
	return out
}

// explain shows the plan; with ANALYZE it runs the query and shows what it took.
func (s *session) explain(ctx context.Context, x *sql.Explain, sink Sink) error {
	q, ok := x.Statement.(*sql.Query)
	if !ok {
		return errcode.New(errcode.NotSupported, "EXPLAIN is for SELECT").At(sql.CharPos(s.r.SQL, x.Statement.At()))
	}
	if x.Format == "json" {
		return errcode.New(errcode.NotSupported, "EXPLAIN (FORMAT json) is not supported yet").At(sql.CharPos(s.r.SQL, x.Pos))
	}
	bound, err := s.bind(ctx, q)
	if err != nil {
		return err
	}
	costs := map[*plan.Fragment]*exec.Cost{}
	note := func(*plan.Fragment) []string { return nil }
	end := &End{Tag: "EXPLAIN"}
	var tail []string
	if x.Analyze {
		out := &once{sink: discard{}, columns: bound.Columns}
		began := s.e.o.Now()
		if err := s.rows(ctx, bound, out, end, costs); err != nil {
			return err
		}
		note = func(f *plan.Fragment) []string {
			if c := costs[f]; c != nil {
				return c.Lines()
			}
			return nil
		}
		tail = append(tail, fmt.Sprintf("Rows: %d", out.rows), fmt.Sprintf("Time: %.3f ms", float64(s.e.o.Now().Sub(began).Microseconds())/1000))
		if end.Snapshot != nil {
			tail = append(tail, "Snapshot: "+end.Snapshot.String())
		}
	}
	if err := sink.Columns(explainColumns); err != nil {
		return err
	}
	for _, line := range append(plan.Explain(bound, note), tail...) {
		if err := sink.Row([]plan.Value{plan.TextValue(line)}); err != nil {
			return err
		}
		end.Rows++
	}
	return s.end(sink, end)
}

var explainColumns = []plan.Column{{Name: "QUERY PLAN", Type: plan.Text}}

type discard struct{}

func (discard) Columns([]plan.Column) error { return nil }
func (discard) Row([]plan.Value) error      { return nil }
func (discard) End(*End) error              { return nil }
