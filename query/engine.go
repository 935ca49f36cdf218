// Package query is the read path's one door: text in, rows out. An Engine parses, binds to the catalog, plans, takes a snapshot of the
// shards that the plan needs, runs the fragments, and gives the rows of each statement to a Sink. INSERT and DDL pass through to the
// interfaces of Options.
//
//	e := query.New(query.Options{Catalog: c, Source: s, Writer: w, DDL: d})
//	err := e.Run(ctx, query.Request{SQL: "SELECT chi2_test(gender, admitted) FROM admissions"}, sink)
package query

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/quipudb/quipu/query/catalog"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Catalog gives the definitions of tables.
type Catalog interface {
	// View is the newest one here; after refresh it holds every change acknowledged before the call.
	View(ctx context.Context, refresh bool) (plan.Catalog, error)
	// Shards is the number of data groups.
	Shards() int
}

// Level is the consistency of a read.
type Level string

// The levels, whose promises are in docs/consistency.md.
const (
	Strict       Level = "strict"
	Linearizable Level = "linearizable"
	Session      Level = "session"
	Stale        Level = "stale"
)

// Read says what a snapshot must hold.
type Read struct {
	Shards       []schema.ShardID // nil means all
	Level        Level
	MinIndex     string        // of Session: shard:index, comma separated
	MaxStaleness time.Duration // of Stale: the age that the reader takes; 0 is any
}

// Source takes snapshots.
type Source interface {
	Snapshot(ctx context.Context, r Read) (*Snapshot, error)
}

// Snapshot is the shards at one instant, or, at the levels below Strict, each of them at an instant of its own. Release it.
type Snapshot struct {
	ID      schema.SnapshotID
	Taken   time.Time
	Steps   [3]time.Duration // of its round: prepare, open, commit
	Shards  []exec.Shard     // those that were asked for, less the missing ones of Fresh
	Fresh   *Freshness       // of the level Stale, and nil else
	Release func()
}

// Writer counts rows.
type Writer interface {
	// Insert counts a batch and gives the receipt in the form of quipu.min_index. A part that is refused is an error that says so.
	Insert(ctx context.Context, principal string, b *Batch) (receipt string, err error)
}

// Batch is rows for one table, column by column: code 0 of a column is NULL, code k is its k-th value.
type Batch struct {
	Table  *schema.Table
	Cols   []BatchColumn
	Counts []int64
	Events []int64  // Unix milliseconds, one a row; nil: now
	Times  []uint32 // how many rows of the statement each stands for, which its count holds already; nil: 1 each
}

// Rows is how many rows of the statement those rows of b stand for; nil means all of b.
func (b *Batch) Rows(of []uint32) int64 {
	switch {
	case of == nil && b.Times == nil:
		return int64(len(b.Counts))
	case b.Times == nil:
		return int64(len(of))
	}
	rows := int64(0)
	if of == nil {
		for _, n := range b.Times {
			rows += int64(n)
		}
	}
	for _, row := range of {
		rows += int64(b.Times[row])
	}
	return rows
}

// BatchColumn is one dimension of a Batch.
type BatchColumn struct {
	Dim    int
	Values []schema.Value // Values[0] is NULL
	Codes  []uint32
}

// DDL changes the catalog. A change returns when every shard has applied it.
type DDL interface {
	CreateTable(ctx context.Context, principal string, t *schema.Table, ifNotExists bool) error
	AlterTable(ctx context.Context, principal string, name schema.Name, c plan.TableChange) error
	DropTable(ctx context.Context, principal string, name schema.Name, ifExists bool) error
	TruncateTable(ctx context.Context, principal string, name schema.Name) error
	// DropWindows ends the windows of a table that start before a time (Unix seconds). From then on observations of theirs are late.
	DropWindows(ctx context.Context, principal string, name schema.Name, before int64) error
}

// Rights is what the principal of a request may do.
type Rights interface {
	plan.Rights
	// Statement says why a statement may not be run at all, as a public error, or nil. What it needs of tables is asked when they are
	// found.
	Statement(st sql.Statement) error
}

// Options of an Engine. All interfaces but Roles are needed.
type Options struct {
	Catalog Catalog
	Source  Source
	Writer  Writer
	DDL     DDL
	// Live gives the rows of the tables of schema quipu that a node knows by itself, in the order of their columns; nil: they are empty.
	Live  func(ctx context.Context, table string) ([][]plan.Value, error)
	Roles Roles // nil: statements about roles are refused
	// Directory is roles and rights as the system catalogs show them, as this node knows them now; nil: there is no role.
	Directory func() catalog.Directory
	// Sizes is what the tables take; nil, also what it gives: it is not known here.
	Sizes   func() map[schema.TableID]catalog.Size
	Now     func() time.Time // default time.Now
	Version string
}

// Engine runs SQL. Between calls it keeps what quipu.queries and quipu.statements show.
type Engine struct {
	o        Options
	activity *activity
	texts    texts
}

// New makes an engine.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Engine{o: o, activity: newActivity()}
}

// Request is one or several statements with what they depend on.
type Request struct {
	Principal string
	Rights    Rights // of the principal; nil: everything is allowed
	Database  string // empty means quipu
	SQL       string
	Args      []plan.Value
	Source    Source            // takes the snapshots of this request instead of the engine's: a transaction that keeps one
	Writer    Writer            // counts the rows of this request instead of the engine's: a transaction that gathers them
	Settings  map[string]string // with a Memory, a map that does not change any more
	Memory    *Memory           // of the session that sends it; nil: there was no request before
	Single    bool              // refuse more than one statement
	ReadOnly  bool              // refuse statements that change anything
}

// Sink takes the results of statements: Columns (none for statements without rows), rows, End. What it is given is the engine's again when
// it returns; values may be kept, the slice that holds them and end may not.
type Sink interface {
	Columns(columns []plan.Column) error
	Row(values []plan.Value) error
	End(end *End) error
}

// End is the footing of a result.
type End struct {
	Tag      string
	Rows     int64
	Notices  []Notice
	Snapshot *schema.SnapshotID
	Level    Level             // that the snapshot was taken at; empty without one
	Fresh    *Freshness        // of the level Stale, and nil else
	Age      time.Duration     // of the oldest shard, when the statement began
	Settings map[string]string // that the statement changed
	Local    map[string]string // that it changed for the rest of the transaction
	Receipt  string

	read *Snapshot // for EXPLAIN ANALYZE; released
}

// Notice is what is said beside a result.
type Notice struct{ Severity, Message, Hint string }

// Run runs the statements in order, each to its end.
func (e *Engine) Run(ctx context.Context, r Request, sink Sink) (err error) {
	defer guard(&err)
	statements, err := e.Parse(r.SQL)
	if err != nil {
		return err
	}
	if r.Single && len(statements) != 1 {
		return errcode.New(errcode.SyntaxError, "one statement is expected here, not %d", len(statements)).WithHint("send the statements one by one")
	}
	s, err := e.session(r)
	if err != nil {
		return err
	}
	for _, st := range statements {
		if err := s.statement(ctx, st, sink); err != nil {
			return err
		}
	}
	return nil
}

// guard turns a panic into an error of one query: a mistake in a function must not end the node.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = errcode.New(errcode.Internal, "the query failed by a mistake of ours: %v", p).WithDetail("%s", debug.Stack())
	}
}

func parse(text string) ([]sql.Statement, error) {
	statements, err := sql.Parse(text)
	if err != nil {
		return nil, plan.SyntaxError(err)
	}
	return statements, nil
}

// Memory is what the last request of a session leaves to the next: its settings, which are checked once as long as they stay, and the room
// that it ran in. It belongs to one goroutine at a time; the zero Memory is empty.
type Memory struct {
	given   map[string]string
	checked settings // is not changed any more, nor are the figures
	figures *figures
	spare   *session // nil: none, or in use
}

// check gives settings that must not be changed.
func (m *Memory) check(given map[string]string) (settings, *figures, error) {
	if m != nil && m.checked != nil && (sameMap(m.given, given) || maps.Equal(m.given, given)) {
		m.given = given
		return m.checked, m.figures, nil
	}
	out := make(settings, len(given))
	for name, value := range given {
		if err := out.set(name, value); err != nil {
			return nil, nil, err
		}
	}
	figures := out.figures()
	if m != nil {
		m.given, m.checked, m.figures = given, out, figures
	}
	return out, figures, nil
}

// sameMap says that a and b are one map, and not only equal.
func sameMap(a, b map[string]string) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

// take gives a session without a request. It may be left, once nothing refers to it any more.
func (m *Memory) take() *session {
	if m == nil || m.spare == nil {
		return &session{}
	}
	s := m.spare
	m.spare = nil
	return s
}

func (m *Memory) leave(s *session) {
	if m != nil {
		*s = session{reading: reading{emit: s.reading.emit}}
		m.spare = s
	}
}

// session is one request's settings and catalog.
type session struct {
	e        *Engine
	r        Request
	settings settings
	figures  *figures // what the settings mean
	own      bool     // settings may be changed
	changed  map[string]string
	local    map[string]string // the same, for the rest of the transaction
	explains bool              // nothing is to have an effect
	params   []plan.Type       // of a prepared statement
	of       *Statement        // that runs; nil: none does
	now      time.Time
	began    time.Time // the statement that runs
	given    int64     // rows of the statement that runs
	reading  reading   // of the query that runs
	running  running   // the statement, as quipu.queries shows it
}

func (e *Engine) session(r Request) (*session, error) {
	if r.Database == "" {
		r.Database = "quipu"
	}
	if r.Source == nil {
		r.Source = e.o.Source
	}
	if r.Writer == nil {
		r.Writer = e.o.Writer
	}
	set, figures, err := r.Memory.check(r.Settings)
	if err != nil {
		return nil, err
	}
	s := r.Memory.take()
	s.e, s.r, s.now, s.settings, s.figures = e, r, e.o.Now(), set, figures
	return s, nil
}

// setting and listed look at the settings as they are by then: a statement may change them.
func (s *session) setting(name string) (string, bool) { return s.settings.lookup(name) }
func (s *session) listed() []catalog.Setting          { return s.settings.list() }

// alter lets f change the settings of the session.
func (s *session) alter(f func(settings) error) error {
	if !s.own {
		s.settings, s.own = maps.Clone(s.settings), true
	}
	err := f(s.settings)
	s.figures = s.settings.figures()
	return err
}

// binder binds against the present view, or a refreshed one.
func (s *session) binder(ctx context.Context, refresh bool) (*plan.Binder, plan.Catalog, error) {
	view, err := s.e.o.Catalog.View(ctx, refresh)
	if err != nil {
		return nil, nil, err
	}
	system := catalog.New(catalog.Options{View: view, Database: s.r.Database, Principal: s.r.Principal, Settings: s.listed,
		Directory: s.e.o.Directory, Sizes: s.e.o.Sizes, Live: s.live(ctx)})
	mode, _ := plan.ModeByName(s.figures.mode)
	var rights plan.Rights
	if s.r.Rights != nil {
		rights = s.r.Rights
	}
	set := s.setConfig
	if s.explains {
		set = nil
	}
	return plan.NewBinder(plan.Context{Text: s.r.SQL, Catalog: view, Now: s.now, Args: s.r.Args, ArgTypes: s.params, Principal: s.r.Principal, Rights: rights, Database: s.r.Database,
		Mode: mode, Shards: s.e.o.Catalog.Shards(), System: system, Setting: s.setting, SetSetting: set}), view, nil
}

// live are the tables of schema quipu that the node fills in.
func (s *session) live(ctx context.Context) func(string) ([][]plan.Value, error) {
	return func(table string) ([][]plan.Value, error) {
		switch {
		case table == "queries":
			return s.e.activity.queries(s.e.o.Now()), nil
		case table == "statements":
			return s.e.activity.statements(), nil
		case s.e.o.Live == nil:
			return nil, nil
		}
		return s.e.o.Live(ctx, table)
	}
}

// bound runs f with a binder, and once more with a refreshed view if the catalog may be the reason of its error.
func (s *session) bound(ctx context.Context, f func(*plan.Binder) error) error {
	b, _, err := s.binder(ctx, false)
	if err != nil {
		return err
	}
	err = f(b)
	var e *errcode.Error
	if err == nil || !errors.As(err, &e) || e.Code != errcode.UnknownTable && e.Code != errcode.UnknownColumn && e.Code != errcode.SchemaChanged {
		return err
	}
	if b, _, err = s.binder(ctx, true); err != nil {
		return err
	}
	return f(b)
}

// statement runs one statement within its time.
func (s *session) statement(ctx context.Context, st *Statement, sink Sink) error {
	s.given, s.of = 0, st
	if s.began.IsZero() {
		s.began = s.now
	} else {
		s.began = s.e.o.Now()
	}
	s.e.activity.begin(&s.running, s.r.Principal, st.shown, s.began)
	err := s.within(ctx, func(ctx context.Context) error { return s.dispatch(ctx, st.Tree, sink) })
	s.e.activity.end(&s.running, s.e.o.Now(), s.given, err)
	return err
}

// TimedOut is the error of a statement that took longer than it may.
func TimedOut(after time.Duration) error {
	return errcode.New(errcode.StatementTimeout, "canceling statement due to statement timeout, which is %v", after).
		WithHint("SET statement_timeout changes that; 0 is no bound")
}

// within runs f until statement_timeout.
func (s *session) within(ctx context.Context, f func(context.Context) error) error {
	if d := s.figures.timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, TimedOut(d))
		defer cancel()
	}
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != ctx.Err() {
			return cause
		}
	}
	return err
}

func (s *session) dispatch(ctx context.Context, st sql.Statement, sink Sink) error {
	if s.r.ReadOnly && changes(st) {
		return errReadOnly()
	}
	if changes(st) && s.figures.readOnly {
		return errReadOnlySetting()
	}
	if err := s.allowed(st); err != nil {
		return err
	}
	switch st := st.(type) {
	case *sql.Query:
		return s.query(ctx, st, sink)
	case *sql.Explain:
		return s.explain(ctx, st, sink)
	case *sql.Insert:
		return s.insert(ctx, st, sink)
	case *sql.CreateTable, *sql.AlterTable, *sql.DropTable, *sql.Truncate:
		return s.ddl(ctx, st, sink)
	case *sql.Delete:
		return s.delete(ctx, st, sink)
	case *sql.Set:
		return s.set(st, sink)
	case *sql.Reset:
		return s.reset(st, sink)
	case *sql.Show:
		return s.show(ctx, st, sink)
	case *sql.CreateRole, *sql.AlterRole, *sql.DropRole, *sql.Grant, *sql.CreateToken, *sql.DropToken:
		return s.roles(ctx, st, sink)
	case *sql.Copy:
		return errcode.New(errcode.NotSupported, "COPY needs a stream of data").WithHint("use /v1/copy, the SDK, or quipu import and export")
	case *sql.Declare, *sql.Fetch, *sql.Close:
		return errcode.New(errcode.NotSupported, "cursors belong to a connection of PostgreSQL's protocol").
			WithHint("leave DECLARE and FETCH out: the rows of a result arrive as they are read").At(sql.CharPos(s.r.SQL, st.At()))
	case *sql.Prepare, *sql.Execute, *sql.Deallocate:
		return errcode.New(errcode.NotSupported, "prepared statements belong to a connection of PostgreSQL's protocol").
			WithHint("send the values of $1, $2, … with the request").At(sql.CharPos(s.r.SQL, st.At()))
	case *sql.Transaction:
		return errcode.New(errcode.NotSupported, "transactions are not supported: every statement stands alone").
			WithHint("leave BEGIN and COMMIT out; an INSERT of many rows is one request")
	}
	return errcode.New(errcode.NotSupported, "this statement is not supported yet").At(sql.CharPos(s.r.SQL, st.At()))
}

// allowed says why the principal may not run st.
func (s *session) allowed(st sql.Statement) error {
	if s.r.Rights == nil {
		return nil
	}
	return s.r.Rights.Statement(st)
}

func errReadOnly() error {
	return errcode.New(errcode.NotSupported, "this request may only read").WithHint("use POST for statements that change something")
}

func errReadOnlySetting() error {
	return errcode.New(errcode.NotSupported, "this session may only read").WithHint("SET default_transaction_read_only = off")
}

func changes(st sql.Statement) bool {
	switch st := st.(type) {
	case *sql.Query, *sql.Show, *sql.Set, *sql.Reset, *sql.Prepare, *sql.Execute, *sql.Deallocate, *sql.Declare, *sql.Fetch, *sql.Close:
		return false
	case *sql.Explain:
		return changes(st.Statement) && st.Analyze
	case *sql.Copy:
		return st.From
	}
	return true
}

// end finishes a statement.
func (s *session) end(sink Sink, end *End) error {
	if len(s.changed) > 0 {
		end.Settings = s.changed
	}
	if len(s.local) > 0 {
		end.Local = s.local
	}
	s.given = end.Rows
	return sink.End(end)
}
