package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/quipudb/quipu/client"
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/proto/backup"
	"github.com/quipudb/quipu/query/sql"
)

// Options of a restore.
type Options struct {
	NoRoles bool // leave roles and grants out
}

// marker is the context that says which restore a cluster is under way with. It is deleted when the restore is complete.
const marker = "quipu.restore"

// Restore loads a backup into an empty cluster, whatever its number of shards, through the same door as any import: a restore that is
// interrupted goes on where it was, and counts nothing twice. The last thing that it does is to compare sums.
func Restore(ctx context.Context, c *client.Client, b *Backup, o Options, progress io.Writer) error {
	r := &restore{c: c, b: b, o: o, progress: progress}
	if o.NoRoles {
		b.Roles = nil
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	for i := range b.Tables {
		if err := r.table(ctx, &b.Tables[i]); err != nil {
			return fmt.Errorf("table %s: %w", b.Tables[i].Definition.Table, err)
		}
	}
	for _, step := range []func(context.Context) error{r.compare, r.retention, r.contexts, r.roles} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.end(ctx)
}

type restore struct {
	c        *client.Client
	b        *Backup
	o        Options
	progress io.Writer
}

// begin takes an empty cluster, or one in which a restore of this backup was interrupted.
func (r *restore) begin(ctx context.Context) error {
	if len(r.b.Roles) > 0 {
		roles, err := r.texts(ctx, "SHOW roles")
		if err != nil {
			return err
		}
		if len(roles) == 0 {
			return errors.New("the backup has roles, and this cluster has none: after the first of them nobody else could go on. Start its first node " +
				"with --admin and --admin-password-file and restore as that role, or leave the roles out with --no-roles")
		}
	}
	old, err := r.c.Context(marker).Get(ctx)
	switch {
	case err == nil && old.Values["backup"] == r.b.ID:
		fmt.Fprintln(r.progress, "going on with a restore that was interrupted")
		return nil
	case err == nil && !old.Deleted:
		return fmt.Errorf("a restore of another backup (%.12s) was begun in this cluster and is not complete: finish that one, or take an empty cluster", old.Values["backup"])
	case err != nil && !errors.Is(err, &client.Error{Code: "NOT_FOUND"}):
		return err
	}
	tables, err := r.c.Tables(ctx)
	if err != nil {
		return err
	}
	if len(tables) > 0 {
		return fmt.Errorf("the cluster is not empty: it has %d tables, %s among them. A backup is restored into an empty cluster", len(tables), tables[0].Name)
	}
	records, err := r.number(ctx, "SELECT count(*) FROM quipu.contexts")
	if err != nil {
		return err
	}
	if records > 0 {
		return errors.New("the cluster is not empty: it has contexts (SELECT * FROM quipu.contexts). A backup is restored into an empty cluster")
	}
	_, err = r.c.Context(marker).CompareAndSet(ctx, old.Version, map[string]string{"backup": r.b.ID})
	return err
}

// number asks for one whole number.
func (r *restore) number(ctx context.Context, text string) (n int64, err error) {
	rows, err := r.c.Query(ctx, text)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n, _ = rows.Values()[0].(int64) // NULL is 0
	}
	return n, rows.Err()
}

func (r *restore) table(ctx context.Context, t *Table) error {
	d := proto.Clone(t.Definition).(*apiv1.Table)
	d.Id, d.Version = 0, 0
	d.RetentionSec = 0 // set when the cells are there: windows that it would end now were there when the backup was taken
	if d.PartitionBy == nil {
		d.PartitionBy = &apiv1.PartitionKey{} // absent would mean all dimensions, and the definition says none
	}
	if err := r.c.CreateTable(ctx, d); err != nil && !errors.Is(err, &client.Error{Code: "EXISTS"}) {
		return err
	}
	return r.cells(ctx, t)
}

// chunkRows is how many cells travel and count as one. chunksAhead bounds those without an answer.
const (
	chunkRows   = 8192
	chunksAhead = 64
)

// cells imports the cells of a table, all its files as one.
func (r *restore) cells(ctx context.Context, t *Table) error {
	if t.Cells == 0 {
		return nil
	}
	whole := sha256.New()
	for _, f := range t.Files {
		whole.Write(f.SHA256[:])
	}
	imp, err := r.c.Import(ctx, client.ImportSpec{Table: t.Definition.Table, FileHash: fmt.Sprintf("%x", whole.Sum(nil)),
		Mapping: "backup " + r.b.ID, Chunking: fmt.Sprint("rows ", chunkRows)})
	if err != nil {
		return err
	}
	defer imp.Close()
	done, _, _, complete := imp.Done()
	if complete {
		return nil
	}
	l := &loader{imp: imp, t: t, number: done, skip: int64(done) * chunkRows}
	for _, d := range t.Definition.Dimensions {
		l.dims = append(l.dims, d.Name)
	}
	l.next = client.NewColumns(l.dims...)
	for _, f := range t.Files {
		if err := r.b.lines(f, func(line []byte) error { return l.line(ctx, line) }); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		fmt.Fprintf(r.progress, "%s: %s counted\n", t.Definition.Table, f.Name)
	}
	if err := l.finish(ctx); err != nil {
		return err
	}
	return imp.Progress(ctx, l.number, t.Cells, 0, true)
}

// loader makes chunks of lines and sends them.
type loader struct {
	imp    *client.Import
	t      *Table
	dims   []string
	number uint64 // of the last chunk
	skip   int64  // cells that an earlier run has counted
	next   *client.Columns
	flying []*client.Pending
}

func (l *loader) line(ctx context.Context, line []byte) error {
	if l.skip > 0 {
		l.skip--
		return nil
	}
	cell, err := backup.ParseCell(line, len(l.dims), l.t.windowed())
	if err != nil {
		return err
	}
	l.next.Append(cell.Values, cell.Count, cell.Window)
	if l.next.Len() < chunkRows {
		return nil
	}
	return l.send(ctx)
}

// send sends what was gathered, when there is room.
func (l *loader) send(ctx context.Context) error {
	l.number++
	p, err := l.imp.Chunk(ctx, l.number, l.next)
	if err != nil {
		return err
	}
	l.next = client.NewColumns(l.dims...)
	if l.flying = append(l.flying, p); len(l.flying) < chunksAhead {
		return nil
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	return l.imp.Progress(ctx, l.number, int64(l.number)*chunkRows, 0, false)
}

// settle waits for every answer. A cell that is refused ends the restore: it would not be what was backed up.
func (l *loader) settle(ctx context.Context) error {
	for _, p := range l.flying {
		if _, err := p.Wait(ctx); err != nil {
			return err
		}
	}
	l.flying = nil
	return nil
}

func (l *loader) finish(ctx context.Context) error {
	if l.next.Len() > 0 {
		if err := l.send(ctx); err != nil {
			return err
		}
	}
	return l.settle(ctx)
}

// compare holds the sums of the tables to those of the backup.
func (r *restore) compare(ctx context.Context) error {
	for i := range r.b.Tables {
		t := &r.b.Tables[i]
		n, err := r.number(ctx, "SELECT sum(count) FROM "+sql.QuoteIdent(t.Definition.Table))
		if err != nil {
			return err
		}
		if n != t.Observations {
			return fmt.Errorf("table %s has %d observations, the backup %d: something else was written, or a restore of an earlier release was wrong", t.Definition.Table, n, t.Observations)
		}
		fmt.Fprintf(r.progress, "%s: %d observations, as in the backup\n", t.Definition.Table, n)
	}
	return nil
}

func (r *restore) retention(ctx context.Context) error {
	for i := range r.b.Tables {
		if d := r.b.Tables[i].Definition; d.RetentionSec > 0 {
			if err := r.c.SetRetention(ctx, d.Table, time.Duration(d.RetentionSec)*time.Second); err != nil {
				return fmt.Errorf("table %s: %w", d.Table, err)
			}
		}
	}
	return nil
}

func (r *restore) contexts(ctx context.Context) error {
	for _, c := range r.b.Contexts {
		if c.Name == marker {
			continue
		}
		_, err := r.c.Context(c.Name).CompareAndSet(ctx, 0, c.Values)
		if errors.Is(err, &client.Error{Code: "CONFLICT"}) { // set before an interruption, or by somebody else
			have, got := r.c.Context(c.Name).Get(ctx)
			if got == nil && maps.Equal(have.Values, c.Values) {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("context %s: %w", c.Name, err)
		}
	}
	return nil
}

// roles makes the roles anew. The one that restores keeps the password and the attributes that it has here: it could not go on otherwise.
func (r *restore) roles(ctx context.Context) error {
	if len(r.b.Roles) == 0 {
		return nil
	}
	me, err := r.texts(ctx, "SELECT current_user")
	if err != nil || len(me) != 1 {
		return errors.Join(errors.New("roles: the server does not say who restores"), err)
	}
	own := "ALTER ROLE " + sql.QuoteIdent(me[0]) + " WITH "
	for _, text := range r.b.Roles {
		if strings.HasPrefix(text, own) {
			fmt.Fprintf(r.progress, "role %s restores, and keeps its password and attributes\n", me[0])
			continue
		}
		if _, err := r.c.Exec(ctx, text); err != nil {
			return fmt.Errorf("roles: %w", err)
		}
	}
	return nil
}

// texts are the values of the first column of a result.
func (r *restore) texts(ctx context.Context, text string) (out []string, err error) {
	rows, err := r.c.Query(ctx, text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		out = append(out, fmt.Sprint(rows.Values()[0]))
	}
	return out, rows.Err()
}

func (r *restore) end(ctx context.Context) error {
	rec, err := r.c.Context(marker).Get(ctx)
	if err == nil {
		_, err = r.c.Context(marker).Delete(ctx, rec.Version)
	}
	return err
}
