package server

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// queries are the node's SQL, as the edges ask for it.
type queries struct {
	engine *query.Engine
	access *access.Control
}

func (n *Node) queries() queries {
	d := engineDoors{n}
	return queries{query.New(query.Options{Catalog: d, Source: d, Writer: d, DDL: d, Live: n.systemRows, Roles: n, Directory: n.rights, Sizes: n.sizes,
		Now: n.cfg.Now, Version: Version()}), n.access}
}

// request has the settings of the role where the caller sets none.
func (q queries) request(r *rpc.Query) query.Request {
	settings := r.Settings
	if of := q.access.Settings(r.Principal); len(of) > 0 {
		settings = query.Usable(of)
		maps.Copy(settings, r.Settings)
	}
	return query.Request{Principal: r.Principal, Rights: r.Rights, Database: r.Database, SQL: r.SQL, Args: r.Args, Settings: settings, Single: r.Single, ReadOnly: r.ReadOnly}
}

// Query runs statements.
func (q queries) Query(ctx context.Context, r *rpc.Query, sink rpc.Sink) error {
	return q.engine.Run(ctx, q.request(r), &wireSink{sink})
}

// CopyIn runs COPY … FROM STDIN.
func (q queries) CopyIn(ctx context.Context, r *rpc.Query, in io.Reader) (*apiv1.QueryEnd, error) {
	end, err := q.engine.CopyIn(ctx, q.request(r), in)
	return wireEnd(end), err
}

// CopyOut runs COPY … TO STDOUT.
func (q queries) CopyOut(ctx context.Context, r *rpc.Query, out io.Writer) (*apiv1.QueryEnd, error) {
	end, err := q.engine.CopyOut(ctx, q.request(r), out)
	return wireEnd(end), err
}

// wireSink gives results to an edge.
type wireSink struct{ to rpc.Sink }

func (s *wireSink) Columns(columns []plan.Column) error {
	out := make([]*apiv1.ResultColumn, len(columns))
	for i, c := range columns {
		out[i] = &apiv1.ResultColumn{Name: c.Name, Type: rpc.ColumnType(c.Type)}
	}
	return s.to.Columns(out)
}

func (s *wireSink) Row(values []plan.Value) error { return s.to.Row(values) }

func (s *wireSink) End(e *query.End) error { return s.to.End(wireEnd(e)) }

func wireEnd(e *query.End) *apiv1.QueryEnd {
	if e == nil {
		return nil
	}
	out := &apiv1.QueryEnd{Tag: e.Tag, Rows: e.Rows, AgeMs: e.Age.Milliseconds(), Settings: e.Settings, Receipt: e.Receipt}
	if e.Snapshot != nil {
		out.Snapshot = &apiv1.SnapshotID{MetaTerm: e.Snapshot.MetaTerm, Round: e.Snapshot.Round, Catalog: e.Snapshot.Catalog}
	}
	for _, n := range e.Notices {
		out.Notices = append(out.Notices, &apiv1.Notice{Severity: n.Severity, Message: n.Message, Hint: n.Hint})
	}
	return out
}

// engineDoors is what the engine needs of the node.
type engineDoors struct{ n *Node }

// catalogView is the metadata as the planner asks for it.
type catalogView struct{ view }

// Tables lists the tables of a database.
func (v catalogView) Tables(database string) []*schema.Table {
	var out []*schema.Table
	for _, t := range v.view.Tables() {
		if t.Name.Database == database {
			out = append(out, t)
		}
	}
	return out
}

// View is the newest one here, or one that holds everything acknowledged before the call.
func (d engineDoors) View(ctx context.Context, refresh bool) (plan.Catalog, error) {
	if refresh {
		if err := d.n.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	return catalogView{d.n.view()}, nil
}

// Shards is the number of data groups.
func (d engineDoors) Shards() int { return d.n.id.Shards }

// Insert counts a batch of the engine under the node's own session.
func (d engineDoors) Insert(ctx context.Context, principal string, b *query.Batch) (string, error) {
	w := &router.Batch{Principal: principal, Table: b.Table.Name, TableID: b.Table.ID, Rows: len(b.Counts), Counts: b.Counts, Events: b.Events}
	for _, c := range b.Cols {
		w.Dims = append(w.Dims, router.Column{Name: b.Table.Dims[c.Dim].Name, Dict: c.Values, Codes: c.Codes})
	}
	res, err := d.n.Write(ctx, w)
	if err != nil {
		return "", err
	}
	if len(res.Refused) > 0 {
		return "", refusedParts(res, b)
	}
	return receiptText(res.Receipts), nil
}

// refusedParts is the error of a batch of which some parts were refused, and says which were counted.
func refusedParts(res *router.Result, b *query.Batch) error {
	rows, lost := b.Rows(nil), int64(0)
	for _, f := range res.Refused {
		lost += b.Rows(f.Rows)
	}
	e := *errcode.From(res.Refused[0].Err)
	e.Message = fmt.Sprintf("%d of %d rows were not counted: %s", lost, rows, e.Message)
	if len(res.Receipts) > 0 {
		e.Detail = strings.TrimSpace(e.Detail + fmt.Sprintf(" The other %d rows were counted.", rows-lost))
	}
	return &e
}

func receiptText(rs []schema.Receipt) string {
	parts := make([]string, len(rs))
	for i, r := range rs {
		parts[i] = fmt.Sprintf("%d:%d", r.Shard, r.Index)
	}
	return strings.Join(parts, ",")
}

// CreateTable, AlterTable, DropTable, TruncateTable and DropWindows are those of the node.

// CreateTable adds a table.
func (d engineDoors) CreateTable(ctx context.Context, principal string, t *schema.Table, ifNotExists bool) error {
	_, err := d.n.CreateTable(ctx, principal, t, ifNotExists)
	return err
}

// AlterTable changes a table.
func (d engineDoors) AlterTable(ctx context.Context, principal string, name schema.Name, c plan.TableChange) error {
	_, err := d.n.AlterTable(ctx, principal, name, rpc.TableChange(c))
	return err
}

// DropTable ends a table.
func (d engineDoors) DropTable(ctx context.Context, principal string, name schema.Name, ifExists bool) error {
	return d.n.DropTable(ctx, principal, name, ifExists)
}

// TruncateTable empties a table.
func (d engineDoors) TruncateTable(ctx context.Context, principal string, name schema.Name) error {
	_, err := d.n.TruncateTable(ctx, principal, name)
	return err
}

// DropWindows ends windows of a table.
func (d engineDoors) DropWindows(ctx context.Context, principal string, name schema.Name, before int64) error {
	return d.n.DropWindows(ctx, name, before)
}
