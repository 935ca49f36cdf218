package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/quipudb/quipu/integration/differential"
)

// TestDifferential asks Quipu and PostgreSQL 15 the same random statements; the answers must be equal. With QUIPU_SOAK=1 it
// asks until 20,000 queries were equal, and every production of the grammar was in 100 statements. QUIPU_SEED=n begins elsewhere.
func TestDifferential(t *testing.T) {
	if !soak() && os.Getenv("QUIPU_SEED") == "" {
		t.Skip("on request: QUIPU_SEED=1 for 400 queries, QUIPU_SOAK=1 for 20,000")
	}
	seed, want, perWorld, least := uint64(1), 400, 100, 0
	if soak() {
		want, perWorld, least = 20_000, 150, 100
	}
	if s := os.Getenv("QUIPU_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	d := &duel{t: t, postgres: connect(t, throwawayPostgres(t)), quipu: connect(t, postgresNode(t)+" sslmode=disable")}
	g := differential.New(seed)
	h := differential.NewHistogram()
	end, bounded := t.Deadline()
	for h.Equal < want && len(d.found) < differencesMax {
		if bounded && time.Until(end) < time.Minute { // say what there is, before -timeout says nothing
			t.Errorf("the time is up after %d of %d queries", h.Equal, want)
			break
		}
		world := g.World()
		d.play(world.Setup)
		for range perWorld {
			d.ask(g.Statement(world), h)
			if d.spoiled { // a write that differs
				break
			}
		}
		d.spoiled = false
		d.play(world.Drop)
		t.Logf("%d queries equal", h.Equal)
		for _, p := range append(world.Setup, world.Drop...) {
			h.Count(p.Production)
		}
	}
	t.Logf("seed %d\n%s", seed, h)
	if len(d.found) > 0 {
		t.Errorf("%d differences; the first with QUIPU_SEED=%d", len(d.found), seed)
	}
	if err := h.Check(least); err != nil {
		t.Error(err)
	}
}

const (
	differencesMax = 25          // is when a run gives up
	shrinkMax      = time.Minute // is spent on making one statement smaller
)

// duel asks both sides.
type duel struct {
	t               *testing.T
	quipu, postgres *side
	found           []string
	spoiled         bool
}

// play runs statements that must succeed on both sides.
func (d *duel) play(pairs []differential.Pair) {
	d.t.Helper()
	for _, p := range pairs {
		postgres := p.Postgres
		if postgres == "" {
			postgres = p.Quipu
		}
		for _, r := range []struct {
			*side
			sql string
		}{{d.quipu, p.Quipu}, {d.postgres, postgres}} {
			if a := r.simple(r.sql); a.Code != "" {
				d.t.Fatalf("%s %s\n%s", a.Code, a.Text, r.sql)
			}
		}
	}
}

// ask compares the answers to s, and shrinks s if they differ.
func (d *duel) ask(s *differential.Statement, h *differential.Histogram) {
	d.t.Helper()
	quipu, postgres, err := d.both(s)
	if err == nil {
		h.Add(s, quipu, postgres)
		return
	}
	if quipu.Code == slow || postgres.Code == slow { // says nothing of the answer
		h.Slow++
		d.spoiled = s.Check != ""
		return
	}
	small := s
	if s.Check != "" {
		d.spoiled = true
	} else {
		until := time.Now().Add(shrinkMax)
		small = differential.Shrink(s, 300, func(c *differential.Statement) bool {
			if time.Now().After(until) {
				return false
			}
			q, p, e := d.both(c)
			if e == nil || q.Code == slow || p.Code == slow || kindOf(q, p) != kindOf(quipu, postgres) {
				return false
			}
			err = e
			return true
		})
	}
	d.found = append(d.found, small.SQL())
	d.t.Errorf("%v\n%s\nparameters %q, sent as %d; it was\n%s", err, small.SQL(), small.Params, small.Mode, s.SQL())
}

// kindOf tells differences apart while a statement shrinks, so that it does not become one of another kind.
func kindOf(q, p *differential.Result) string { return q.Code + "/" + p.Code }

// both asks both sides, and after a write what the table is then.
func (d *duel) both(s *differential.Statement) (quipu, postgres *differential.Result, err error) {
	quipu, postgres = d.quipu.run(s), d.postgres.run(s)
	if err := differential.Compare(s, quipu, postgres); err != nil || s.Check == "" {
		return quipu, postgres, err
	}
	return quipu, postgres, differential.Compare(&differential.Statement{Ordered: true}, d.quipu.simple(s.Check), d.postgres.simple(s.Check))
}

// SQLSTATEs of statements that have no answer: one that took too long, as which all of them count, one that a busy node could take no snapshot for,
// and one that needs more than quipu.memory_limit, where PostgreSQL goes on with files.
const (
	slow        = "57014"
	unavailable = "57P03"
	large       = "53200"
)

// side is a connection to a server.
type side struct {
	t     *testing.T
	dsn   string
	conn  *pgconn.PgConn
	types *pgtype.Map
}

func connect(t *testing.T, dsn string) *side {
	t.Helper()
	s := &side{t: t, dsn: dsn, types: pgtype.NewMap()}
	s.open()
	t.Cleanup(func() { s.conn.Close(context.Background()) })
	return s
}

func (s *side) open() {
	s.t.Helper()
	config, err := pgconn.ParseConfig(s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	config.RuntimeParams["statement_timeout"] = "5000"
	if s.conn, err = pgconn.ConnectConfig(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
}

// run sends a statement in its mode.
func (s *side) run(q *differential.Statement) *differential.Result {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	switch q.Mode {
	case differential.Extended, differential.Binary:
		params := make([][]byte, len(q.Params))
		for i, p := range q.Params {
			params[i] = []byte(p)
		}
		var formats []int16
		if q.Mode == differential.Binary {
			formats = []int16{1}
		}
		r := s.conn.ExecParams(ctx, q.SQL(), params, nil, nil, formats).Read()
		return s.result([]*pgconn.Result{r}, r.Err)
	case differential.CopyOut:
		var out bytes.Buffer
		_, err := s.conn.CopyTo(ctx, &out, q.SQL())
		r := s.result(nil, err)
		r.Copy = out.String()
		return r
	case differential.CopyIn:
		tag, err := s.conn.CopyFrom(ctx, strings.NewReader(q.Data), q.SQL())
		r := s.result(nil, err)
		r.Copy = tag.String()
		return r
	}
	return s.simple(q.SQL())
}

func (s *side) simple(sql string) *differential.Result {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	sets, err := s.conn.Exec(ctx, sql).ReadAll()
	r := s.result(sets, err)
	if !s.conn.IsClosed() && s.conn.TxStatus() != 'I' {
		s.conn.Exec(ctx, "ROLLBACK").ReadAll()
	}
	return r
}

// result is an answer as the comparison takes it.
func (s *side) result(sets []*pgconn.Result, err error) *differential.Result {
	r := &differential.Result{}
	if err != nil {
		refused, ok := errors.AsType[*pgconn.PgError](err)
		if errors.Is(err, context.DeadlineExceeded) || ok && (refused.Code == unavailable || refused.Code == large) {
			r.Code = slow
		} else if ok {
			r.Code, r.Text = refused.Code, refused.Message
		} else {
			r.Code, r.Text = "XX000", err.Error()
		}
		if s.conn.IsClosed() {
			s.open()
		}
		return r
	}
	for _, set := range sets {
		out := differential.Set{Tag: set.CommandTag.String()}
		for _, f := range set.FieldDescriptions {
			out.Columns = append(out.Columns, differential.Column{Name: f.Name, OID: f.DataTypeOID})
		}
		for _, row := range set.Rows {
			values := make([]string, len(row))
			for i, v := range row {
				values[i] = s.text(set.FieldDescriptions[i], v)
			}
			out.Rows = append(out.Rows, values)
		}
		r.Sets = append(r.Sets, out)
	}
	return r
}

// text is a field as text. One in binary is read by pgx, as what its type says.
func (s *side) text(f pgconn.FieldDescription, v []byte) string {
	if v == nil {
		return differential.Null
	}
	if f.Format == pgtype.TextFormatCode {
		return string(v)
	}
	typ, ok := s.types.TypeForOID(f.DataTypeOID)
	if !ok {
		return fmt.Sprintf("%x", v)
	}
	if _, array := typ.Codec.(*pgtype.ArrayCodec); array && len(v) >= 8 {
		v = slices.Clone(v)
		copy(v[4:8], []byte{0, 0, 0, 0}) // whether there may be a NULL: PostgreSQL is not exact about it
		return fmt.Sprintf("%x", v)
	}
	value, err := typ.Codec.DecodeDatabaseSQLValue(s.types, f.DataTypeOID, f.Format, v)
	switch value := value.(type) {
	case nil:
		return fmt.Sprint(err)
	case time.Time:
		if f.DataTypeOID == pgtype.DateOID {
			return value.Format("2006-01-02")
		}
		return value.UTC().Format("2006-01-02 15:04:05.999999")
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	}
	return fmt.Sprint(value)
}

// postgresBin is where Debian's package postgresql-15 puts the server.
const postgresBin = "/usr/lib/postgresql/15/bin"

// throwawayPostgres starts a PostgreSQL server on a socket in a directory of its own, and gives how to connect.
func throwawayPostgres(t *testing.T) (dsn string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(postgresBin, "postgres")); err != nil {
		t.Skip("needs PostgreSQL 15, of Debian's package postgresql")
	}
	dir, err := os.MkdirTemp("", "quipu-pg-") // short: the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as, err := serverUser(dir)
	if err != nil {
		t.Skipf("PostgreSQL does not run as root, and there is no user postgres: %v", err)
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(postgresBin, "initdb"), "-D", data, "-U", "me", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: as}, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	var log lockedBuffer
	server := exec.Command(filepath.Join(postgresBin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=UTC")
	server.SysProcAttr, server.Dir, server.Stderr = &syscall.SysProcAttr{Credential: as}, dir, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT) // fast shutdown
		server.Wait()
	})
	dsn = "host=" + dir + " user=me dbname=postgres"
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := pgconn.Connect(t.Context(), dsn)
		if err == nil {
			conn.Close(t.Context())
			return dsn
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, &log)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// serverUser is whom the server runs as: nobody else where the test is not root, else postgres, who then owns dir.
func serverUser(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
