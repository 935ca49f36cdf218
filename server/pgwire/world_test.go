package pgwire

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// world is what a Server needs, over one store in memory.
type world struct {
	tb    testing.TB
	store *storage.Store
	o     Options

	mu      sync.Mutex // guards the fields below
	tables  map[schema.Name]*schema.Table
	nextID  schema.TableID
	inserts int                                             // requests to count
	refuse  func(ctx context.Context, b *query.Batch) error // runs before a batch is counted, if it is set
	reading func(ctx context.Context, r query.Read) error   // runs before a snapshot, if it is set
	open    int                                             // snapshots that are not released
}

var oneShard = schema.EvenSlotMap(1)

// epoch is the time of every world.
var epoch = time.Date(2024, 5, 1, 12, 30, 0, 0, time.UTC)

func newWorld(tb testing.TB) *world {
	s, err := storage.Open(storage.Options{Dir: "shard", FS: vfs.NewMem(), Memory: storage.NewMemory(1 << 30), CheckpointEvery: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	w := &world{tb: tb, store: s, tables: map[schema.Name]*schema.Table{}, nextID: 1}
	e := query.New(query.Options{Catalog: w, Source: w, Writer: w, DDL: w, Now: func() time.Time { return epoch }})
	w.o = Options{Engine: e, Catalog: w, Source: w, Writer: w, Version: "test"}
	return w
}

// serve starts a server of the world.
func (w *world) serve() *Server {
	s, err := New(w.o)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			w.tb.Errorf("shutdown: %v", err)
		}
	})
	return s
}

func (w *world) View(context.Context, bool) (plan.Catalog, error) { return w, nil }
func (w *world) Shards() int                                      { return 1 }
func (w *world) SlotMap() *schema.SlotMap                         { return oneShard }

func (w *world) Table(name schema.Name) *schema.Table {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tables[name]
}

func (w *world) Tables(database string) []*schema.Table {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*schema.Table
	for _, t := range w.tables {
		if t.Name.Database == database {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *schema.Table) int { return strings.Compare(a.Name.Table, b.Name.Table) })
	return out
}

func (w *world) Snapshot(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	w.mu.Lock()
	reading := w.reading
	w.mu.Unlock()
	if reading != nil {
		if err := reading(ctx, r); err != nil {
			return nil, err
		}
	}
	snap, err := w.store.Snapshot()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.open++
	w.mu.Unlock()
	release := sync.OnceFunc(func() {
		snap.Release()
		w.mu.Lock()
		w.open--
		w.mu.Unlock()
	})
	return &query.Snapshot{Taken: epoch, ID: schema.SnapshotID{MetaTerm: 1, Round: 2, Catalog: 3}, Release: release,
		Shards: []exec.Shard{{Snapshot: exec.Here{Snapshot: snap}}}}, nil
}

// Insert counts rows one by one.
func (w *world) Insert(ctx context.Context, _ string, b *query.Batch) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inserts++
	if w.refuse != nil {
		if err := w.refuse(ctx, b); err != nil {
			return "", err
		}
	}
	for row, count := range b.Counts {
		values := make([]schema.Value, len(b.Table.Dims))
		for d := range values {
			values[d] = b.Table.Dims[d].Default
		}
		for _, c := range b.Cols {
			values[c.Dim] = c.Values[c.Codes[row]]
		}
		if err := w.count(b.Table, b.Table.Bucket(b.Events[row]), values, count); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("0:%d", w.inserts), nil
}

func (w *world) count(t *schema.Table, window int64, values []schema.Value, count int64) (err error) {
	w.store.Update(func(tx *storage.Tx) {
		state := tx.Table(t.ID)
		codes := make([]uint32, len(values))
		for d, v := range values {
			if !v.Null {
				codes[d] = state.Intern(d, v.Text)
			}
		}
		switch old := state.Get(window, codes); {
		case count < 0 && old+count < 0:
			err = errcode.New(errcode.BelowZero, "the count would fall to %d", old+count)
		case count > 0 && old > math.MaxInt64-count:
			err = errcode.New(errcode.Overflow, "the count would leave the range of int64")
		case count != 0:
			state.Add(window, codes, count)
		}
	})
	return err
}

func (w *world) put(t *schema.Table) (err error) {
	w.store.Update(func(tx *storage.Tx) { err = tx.SetTable(t) })
	w.tables[t.Name] = t
	return err
}

func (w *world) CreateTable(_ context.Context, _ string, t *schema.Table, ifNotExists bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tables[t.Name] != nil {
		if ifNotExists {
			return nil
		}
		return errcode.New(errcode.Exists, "table %q already exists", t.Name.Table)
	}
	t = t.Clone()
	t.ID, t.Version, t.Measures = w.nextID, 1, 1
	w.nextID++
	return w.put(t)
}

func (w *world) AlterTable(_ context.Context, _ string, name schema.Name, c plan.TableChange) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tables[name].Clone()
	t.Version++
	t.Dims = append(t.Dims, c.AddDims...)
	return w.put(t)
}

func (w *world) DropTable(_ context.Context, _ string, name schema.Name, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tables[name]; t != nil {
		w.store.Update(func(tx *storage.Tx) { tx.DropTable(t.ID) })
		delete(w.tables, name)
	}
	return nil
}

func (w *world) TruncateTable(ctx context.Context, principal string, name schema.Name) error {
	t := w.Table(name)
	if err := w.DropTable(ctx, principal, name, false); err != nil {
		return err
	}
	return w.CreateTable(ctx, principal, t, false)
}

func (w *world) DropWindows(_ context.Context, _ string, name schema.Name, before int64) error {
	t := w.Table(name)
	w.store.Update(func(tx *storage.Tx) { tx.Table(t.ID).DropWindows(before) })
	return nil
}

// client is the other end of a connection.
type client struct {
	tb  testing.TB
	net net.Conn
	*pgproto3.Frontend
}

// dial opens a connection in memory and says who is there.
func (w *world) dial(s *Server, params ...string) *client {
	w.tb.Helper()
	ours, theirs := net.Pipe()
	s.ServeConn(theirs)
	w.tb.Cleanup(func() { ours.Close() })
	c := &client{w.tb, ours, pgproto3.NewFrontend(ours, ours)}
	m := &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ada"}}
	for i := 0; i < len(params); i += 2 {
		m.Parameters[params[i]] = params[i+1]
	}
	c.put(m)
	return c
}

// put sends messages from a goroutine of its own, as the pipe holds nothing.
func (c *client) put(messages ...pgproto3.FrontendMessage) {
	var buf []byte
	for _, m := range messages {
		var err error
		if buf, err = m.Encode(buf); err != nil {
			c.tb.Fatal(err)
		}
	}
	go c.net.Write(buf)
}

// until reads messages up to one of a kind, or to the end of the connection, and shows them.
func (c *client) until(kind string) []string {
	var out []string
	for {
		m, err := c.Receive()
		if err != nil {
			return append(out, "closed")
		}
		out = append(out, show(m))
		if word, _, _ := strings.Cut(out[len(out)-1], " "); word == kind {
			return out
		}
	}
}

// ready reads to the next ReadyForQuery.
func (c *client) ready() string { return strings.Join(c.until("ReadyForQuery"), "\n") }

// ask runs statements by the simple protocol.
func (c *client) ask(text string) string {
	c.put(&pgproto3.Query{String: text})
	return c.ready()
}

// show is a message as one line of a script.
func show(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		return "RowDescription" + showFields(m.Fields)
	case *pgproto3.DataRow:
		var b strings.Builder
		for _, v := range m.Values {
			if b.WriteByte(' '); v == nil {
				b.WriteString("NULL")
			} else {
				b.WriteString(strconv.Quote(string(v)))
			}
		}
		return "DataRow" + b.String()
	case *pgproto3.CommandComplete:
		return "CommandComplete " + string(m.CommandTag)
	case *pgproto3.ReadyForQuery:
		return "ReadyForQuery " + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return "Error " + showError(m)
	case *pgproto3.NoticeResponse:
		return "Notice " + showError((*pgproto3.ErrorResponse)(m))
	case *pgproto3.ParameterStatus:
		return "ParameterStatus " + m.Name + "=" + m.Value
	case *pgproto3.ParameterDescription:
		return fmt.Sprint("ParameterDescription ", m.ParameterOIDs)
	case *pgproto3.CopyInResponse:
		return fmt.Sprint("CopyIn ", m.OverallFormat, m.ColumnFormatCodes)
	case *pgproto3.CopyOutResponse:
		return fmt.Sprint("CopyOut ", m.OverallFormat, m.ColumnFormatCodes)
	case *pgproto3.CopyData:
		return "CopyData " + strconv.Quote(string(m.Data))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

func showFields(fields []pgproto3.FieldDescription) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, " %s:%d", f.Name, f.DataTypeOID)
		if f.Format != 0 {
			b.WriteString("b")
		}
	}
	return b.String()
}

func showError(m *pgproto3.ErrorResponse) string {
	s := fmt.Sprintf("%s %s %q", m.Severity, m.Code, m.Message)
	if m.Position != 0 {
		s += fmt.Sprintf(" at=%d", m.Position)
	}
	if m.Detail != "" {
		s += fmt.Sprintf(" detail=%q", m.Detail)
	}
	if m.Hint != "" { // the words are the engine's
		s += " hint"
	}
	return s
}
