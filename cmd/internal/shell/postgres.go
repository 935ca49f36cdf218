package shell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
)

// Postgres is a connection over PostgreSQL's protocol. Close it.
type Postgres struct {
	config  *pgconn.Config
	conn    *pgconn.PgConn
	notices []client.Notice // that came since the last statement began
	seen    string          // the snapshot that was reported last
}

// IsPostgres says that a URL names a server by PostgreSQL's scheme.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// WithoutPassword is the URL as it may be shown.
func WithoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the server"
	}
	return u.Redacted()
}

// cancelTime is how long a statement that was asked to end may take to do so before its connection is cut.
const cancelTime = 5 * time.Second

// ParsePostgres reads a connection string, with PostgreSQL's environment variables where it says nothing.
func ParsePostgres(address string) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "quipu sql"
	}
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelTime}
	}
	return config, nil
}

// OpenPostgres connects as config says.
func OpenPostgres(ctx context.Context, config *pgconn.Config) (*Postgres, error) {
	p := &Postgres{config: config}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		p.notices = append(p.notices, client.Notice{Severity: n.Severity, Message: n.Message, Hint: n.Hint})
	}
	return p, p.connect(ctx)
}

func (p *Postgres) connect(ctx context.Context) (err error) {
	p.conn, err = pgconn.ConnectConfig(ctx, p.config)
	return err
}

// Close ends the connection.
func (p *Postgres) Close(ctx context.Context) error { return p.conn.Close(ctx) }

// State is that of the transaction.
func (p *Postgres) State() State {
	switch p.conn.TxStatus() {
	case 'T':
		return Open
	case 'E':
		return Failed
	}
	return Idle
}

// About names the server.
func (p *Postgres) About() string {
	return fmt.Sprintf("%s over PostgreSQL's protocol, database %s as %s",
		net.JoinHostPort(p.config.Host, strconv.Itoa(int(p.config.Port))), p.config.Database, p.config.User)
}

// ready makes a connection that was lost anew, with a notice: what SET changed is gone, and so is a transaction.
func (p *Postgres) ready(ctx context.Context) error {
	p.notices = nil
	if !p.conn.IsClosed() {
		return nil
	}
	if err := p.connect(ctx); err != nil {
		return publicError(err)
	}
	p.notices = append(p.notices, client.Notice{Severity: "WARNING", Message: "the connection was lost and has been made anew", Hint: "settings have their first values again"})
	return nil
}

// Query runs one statement.
func (p *Postgres) Query(ctx context.Context, sql string) (Rows, error) {
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	r := &pgRows{p: p, result: p.conn.Exec(ctx, sql)}
	if r.result.NextResult() {
		r.reader = r.result.ResultReader()
		return r, nil
	}
	if err := r.result.Close(); err != nil {
		return nil, publicError(err)
	}
	return r, nil
}

// publicError is what the server said, as the API would have said it.
func publicError(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	out := &client.Error{Code: e.Code, Message: e.Message, Hint: e.Hint, Position: int(e.Position)}
	if e.Detail != "" {
		out.Violations = []string{e.Detail}
	}
	return out
}

type pgRows struct {
	p      *Postgres
	result *pgconn.MultiResultReader
	reader *pgconn.ResultReader // nil: the statement was empty
	values []any
	tag    string
	err    error
	done   bool
}

func (r *pgRows) Columns() []render.Column {
	if r.reader == nil {
		return nil
	}
	var out []render.Column
	for _, f := range r.reader.FieldDescriptions() {
		out = append(out, render.Column{Name: f.Name, Numeric: isNumber(f.DataTypeOID)})
	}
	return out
}

func isNumber(oid uint32) bool {
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return true
	}
	return false
}

func (r *pgRows) Next() bool {
	if r.done || r.reader == nil {
		return false
	}
	if r.reader.NextRow() {
		fields := r.reader.FieldDescriptions()
		r.values = r.values[:0]
		for i, text := range r.reader.Values() {
			r.values = append(r.values, decode(fields[i].DataTypeOID, text))
		}
		return true
	}
	r.finish()
	return false
}

// finish reads what is left.
func (r *pgRows) finish() {
	if r.done || r.reader == nil {
		return
	}
	r.done = true
	tag, err := r.reader.Close()
	r.tag = tag.String()
	if more := r.result.Close(); err == nil {
		err = more
	}
	if err != nil {
		r.err = publicError(err)
	}
}

// decode reads a value in text form as the API gives it; what is of no type of ours stays text.
func decode(oid uint32, text []byte) any {
	if text == nil {
		return nil
	}
	s := string(text)
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	case pgtype.Float4OID, pgtype.Float8OID:
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	case pgtype.BoolOID:
		return s == "t"
	case pgtype.TimestamptzOID:
		if t, err := time.Parse("2006-01-02 15:04:05.999999Z07", s); err == nil {
			return t.UTC()
		}
	}
	return s
}

func (r *pgRows) Values() []any { return r.values }
func (r *pgRows) Err() error    { return r.err }

// Footing is the tag, the notices that came, and the snapshot if the server reported another one than before.
func (r *pgRows) Footing() client.Footing {
	f := client.Footing{Tag: r.tag, Notices: r.p.notices}
	if snapshot := r.p.conn.ParameterStatus("quipu.snapshot"); snapshot != r.p.seen {
		r.p.seen, f.Snapshot = snapshot, snapshot
		ms, _ := strconv.ParseInt(r.p.conn.ParameterStatus("quipu.staleness_ms"), 10, 64)
		f.Age = time.Duration(ms) * time.Millisecond
	}
	return f
}

func (r *pgRows) Close() { r.finish() }
