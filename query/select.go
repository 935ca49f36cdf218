package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// plannedMax is how often a query is planned anew because its tables changed under it.
const plannedMax = 3

func (s *session) query(ctx context.Context, q *sql.Query, sink Sink) error {
	bound, err := s.planned(ctx, q)
	if err != nil {
		return err
	}
	if err := s.run(ctx, q, bound, sink); err != nil {
		return err
	}
	bound.Leave()
	return nil
}

func (s *session) bind(ctx context.Context, q *sql.Query) (bound *plan.Query, err error) {
	err = s.bound(ctx, func(b *plan.Binder) error {
		bound, err = b.Query(q)
		return err
	})
	return bound, err
}

// run runs a bound query. Nothing has gone to the sink when a changed table makes it start anew.
func (s *session) run(ctx context.Context, q *sql.Query, bound *plan.Query, sink Sink) error {
	for try := 1; ; try++ {
		r := &s.reading
		*r = reading{q: bound, sink: sink, emit: r.emit}
		err := s.rows(ctx, r)
		if err == nil {
			if err := r.open(); err != nil {
				return err
			}
			r.end.Rows, r.end.Tag = r.rows, selectTag(r.rows)
			return s.end(sink, &r.end)
		}
		var e *errcode.Error
		if r.opened || try == plannedMax || !errors.As(err, &e) || e.Code != errcode.SchemaChanged {
			return err
		}
		if bound, err = s.bind(ctx, q); err != nil {
			return err
		}
	}
}

func selectTag(rows int64) string {
	if rows == 1 {
		return "SELECT 1"
	}
	return "SELECT " + strconv.FormatInt(rows, 10)
}

// reading is a query that runs.
type reading struct {
	q        *plan.Query
	sink     Sink
	measured *measured // nil if nobody asks what it takes
	emit     exec.Emit // is row, made once

	opened bool // the sink has the columns
	rows   int64
	end    End

	env    exec.Env
	memory exec.Budget
}

// open opens the result, at its first row or its end.
func (r *reading) open() error {
	if r.opened {
		return nil
	}
	r.opened = true
	return r.sink.Columns(r.q.Columns)
}

func (r *reading) row(values []plan.Value) error {
	if err := r.open(); err != nil {
		return err
	}
	r.rows++
	return r.sink.Row(values[:len(r.q.Columns)])
}

// snapshotsMax is how many snapshots a query takes because a node was lost on which it worked.
const snapshotsMax = 3

// rows runs the plan on a snapshot, and on another one if that was lost before the first row.
func (s *session) rows(ctx context.Context, r *reading) error {
	for try := 1; ; try++ {
		taken, err := s.rowsOnce(ctx, r)
		if err == nil || !taken || r.opened || try == snapshotsMax || ctx.Err() != nil || !isLost(err) {
			return err
		}
	}
}

// isLost says that a snapshot is gone because its node is, or the connection to it. (Whoever takes snapshots looks for those who can by itself.)
func isLost(err error) bool {
	e, ok := errors.AsType[*errcode.Error](err)
	return ok && (e.Code == errcode.Unavailable || e.Code == errcode.NotLeader || e.Code == errcode.Closing || e.Code == errcode.SnapshotTooOld)
}

// rowsOnce takes the snapshot that the plan needs and runs the plan on it.
func (s *session) rowsOnce(ctx context.Context, r *reading) (taken bool, err error) {
	env, end := &r.env, &r.end
	*env = exec.Env{Options: exec.Options{
		Parallel: s.figures.parallel, Memory: r.memory.Bound(s.figures.memory)}}
	if m := r.measured; m != nil {
		clear(m.costs)
		clear(m.actual)
		env.Costs, env.Actual = m.costs, m.actual
	}
	if shards, any := r.q.Shards(); any {
		read := s.figures.read
		read.Shards = shards
		snap, err := s.r.Source.Snapshot(ctx, read)
		if err != nil {
			return false, err
		}
		taken = true
		defer snap.Release()
		env.Shards = snap.Shards
		end.Snapshot, end.Level, end.Age = &snap.ID, read.Level, max(0, s.began.Sub(snap.Taken))
		if end.Fresh = snap.Fresh; end.Fresh != nil {
			end.Age += end.Fresh.Age()
			env.Tested = end.Fresh.tested
		}
		end.read = snap
	}
	if r.emit == nil {
		r.emit = r.row
	}
	if err := env.Run(ctx, r.q, r.emit); err != nil {
		return taken, err
	}
	end.Notices = notices(env.Warnings)
	if end.Fresh != nil {
		end.Notices = append(end.Notices, end.Fresh.notices()...)
	}
	return taken, nil
}

// notices say what tests warned of, and how many of them.
func notices(warnings map[string]int) (out []Notice) {
	if len(warnings) == 0 {
		return nil
	}
	for _, kind := range slices.Sorted(maps.Keys(warnings)) {
		n := Notice{Severity: "NOTICE", Message: "a test warns: " + kind}
		if many := warnings[kind]; many > 1 {
			n.Message = fmt.Sprintf("%d tests warn: %s", many, kind)
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
	for _, o := range x.Options { // as PostgreSQL
		if (o.Name == "timing" || o.Name == "wal") && x.On(o.Name, false) && !x.Analyze {
			return errcode.New(errcode.InvalidOption, "EXPLAIN option %s requires ANALYZE", strings.ToUpper(o.Name)).At(sql.CharPos(s.r.SQL, o.Pos))
		}
	}
	s.explains = true
	began := s.e.o.Now()
	bound, err := s.bind(ctx, q)
	if err != nil {
		return err
	}
	planned := s.e.o.Now()
	r := &reading{q: bound, sink: discard{}}
	r.end.Tag = "EXPLAIN"
	shown := plan.Shown{Verbose: x.Verbose}
	timing, summary := x.On("timing", true), x.On("summary", x.Analyze)
	if x.Analyze {
		if err := s.analyze(ctx, r, &shown, timing); err != nil {
			return err
		}
	}
	ran := s.e.o.Now()
	var text []string
	var facts plan.Facts
	if x.On("settings", false) {
		set := plan.Facts{}
		for _, k := range s.settings.list() {
			if k.Value != k.Default {
				set = append(set, plan.Fact{Key: k.Name, Value: k.Value})
				text = append(text, "Setting "+k.Name+": "+k.Value)
			}
		}
		facts = append(facts, plan.Fact{Key: "Settings", Value: set})
	}
	if summary {
		facts = append(facts, plan.Fact{Key: "Planning Time", Value: ms(planned.Sub(began))})
		if x.Analyze {
			text = append(text, fmt.Sprintf("Rows: %d", r.rows))
			facts = append(facts, plan.Fact{Key: "Execution Time", Value: ms(ran.Sub(planned))})
		}
		text = append(text, fmt.Sprintf("Planning time: %.3f ms", ms(planned.Sub(began))))
		if x.Analyze {
			text = append(text, fmt.Sprintf("Execution time: %.3f ms", ms(ran.Sub(planned))))
			text, facts = append(text, r.end.readLines(timing)...), append(facts, r.end.readFacts(timing)...)
		}
	}
	columns, lines := explainColumns(x), append(plan.Explain(bound, shown), text...)
	if x.Format == "json" {
		whole, err := plan.ExplainJSON(bound, shown, facts)
		if err != nil {
			return err
		}
		lines = []string{whole}
	}
	if err := sink.Columns(columns); err != nil {
		return err
	}
	for _, line := range lines {
		v := plan.TextValue(line)
		v.Type = columns[0].Type
		if err := sink.Row([]plan.Value{v}); err != nil {
			return err
		}
		r.end.Rows++
	}
	return s.end(sink, &r.end)
}

// analyze runs a query for what it takes.
func (s *session) analyze(ctx context.Context, r *reading, shown *plan.Shown, timing bool) error {
	m := &measured{costs: map[*plan.Fragment]*exec.Cost{}, actual: map[plan.Node]*exec.Actual{}}
	r.measured = m
	if err := s.rows(ctx, r); err != nil {
		return err
	}
	shown.Actual = func(n plan.Node) (rows, loops int64) {
		if a := m.actual[n]; a != nil {
			return a.Rows, a.Loops
		}
		return 0, 0
	}
	shown.Costs = func(f *plan.Fragment) []string {
		if c := m.costs[f]; c != nil {
			return c.Lines(timing)
		}
		return nil
	}
	shown.CostFacts = func(f *plan.Fragment) []plan.Fact {
		if c := m.costs[f]; c != nil {
			return c.Facts(timing)
		}
		return nil
	}
	return nil
}

// measured is what a run took.
type measured struct {
	costs  map[*plan.Fragment]*exec.Cost
	actual map[plan.Node]*exec.Actual
}

// readLines are what EXPLAIN ANALYZE says of the snapshot: its instant, the steps of its round, and where each shard was read.
func (e *End) readLines(timing bool) (out []string) {
	if e.read == nil {
		return nil
	}
	out = append(out, "Snapshot: "+e.Snapshot.String(), "Level: "+string(e.Level))
	if e.read.ID.Round != 0 && timing {
		t := e.read.Steps
		out = append(out, fmt.Sprintf("Round: %.3f ms prepare, %.3f ms open, %.3f ms commit", ms(t[0]), ms(t[1]), ms(t[2])))
	}
	at := map[string][]schema.ShardID{}
	for _, s := range e.read.Shards {
		at[s.Node] = append(at[s.Node], s.ID)
	}
	for _, node := range slices.Sorted(maps.Keys(at)) {
		if node != "" {
			out = append(out, fmt.Sprintf("Node %s: shards %v", node, at[node]))
		}
	}
	return out
}

// readFacts are the same for FORMAT json.
func (e *End) readFacts(timing bool) (out plan.Facts) {
	if e.read == nil {
		return nil
	}
	out = plan.Facts{{Key: "Snapshot", Value: e.Snapshot.String()}, {Key: "Level", Value: string(e.Level)}}
	if e.read.ID.Round != 0 && timing {
		t := e.read.Steps
		out = append(out, plan.Fact{Key: "Round", Value: plan.Facts{{Key: "Prepare Time", Value: ms(t[0])}, {Key: "Open Time", Value: ms(t[1])}, {Key: "Commit Time", Value: ms(t[2])}}})
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func explainColumns(x *sql.Explain) []plan.Column {
	if x.Format == "json" {
		return []plan.Column{{Name: "QUERY PLAN", Type: plan.JSON}}
	}
	return []plan.Column{{Name: "QUERY PLAN", Type: plan.Text}}
}

type discard struct{}

func (discard) Columns([]plan.Column) error { return nil }
func (discard) Row([]plan.Value) error      { return nil }
func (discard) End(*End) error              { return nil }
