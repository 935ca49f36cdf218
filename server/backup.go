package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/backup"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// Backup writes the whole cluster as of one instant: the snapshots of one round, and the catalog that did not change around it. Writing goes on
// meanwhile; cells that change are kept twice until their shard's file is written. docs/format/backup.md says what is in the files.
func (n *Node) Backup(ctx context.Context, to rpc.BackupSink) error {
	b := &backupRun{n: n, to: to}
	if err := b.take(ctx); err != nil {
		return err
	}
	defer b.snap.Release()
	for _, part := range []func() error{b.cluster, b.tables, b.roles, b.contexts} {
		if err := part(); err != nil {
			return err
		}
	}
	for i, t := range b.view.Tables() {
		for _, s := range b.snap.Shards {
			if err := b.cells(ctx, i, t, s); err != nil {
				return fmt.Errorf("backup of table %s, shard %d: %w", t.Name.Table, s.ID, err)
			}
		}
	}
	return nil
}

// backupRun is one backup under way.
type backupRun struct {
	n    *Node
	to   rpc.BackupSink
	view *meta.View
	snap *query.Snapshot
}

// catalogTries bounds how often a backup begins anew because a table was made or changed while its snapshot was taken.
const catalogTries = 10

// take opens the snapshot of a round around which the catalog did not change.
func (b *backupRun) take(ctx context.Context) error {
	for range catalogTries {
		if err := b.n.Refresh(ctx); err != nil {
			return err
		}
		before := b.n.machine.View().Catalog
		snap, err := engineDoors{b.n}.Snapshot(ctx, query.Read{Level: query.Strict})
		if err != nil {
			return err
		}
		if err := b.n.Refresh(ctx); err != nil {
			snap.Release()
			return err
		}
		b.view, b.snap = b.n.machine.View(), snap
		if b.view.Catalog == before {
			return b.names()
		}
		snap.Release()
	}
	return errcode.New(errcode.SchemaChanged, "tables were made or changed %d times while a backup began", catalogTries).
		WithHint("begin the backup again when no table is being created, altered or dropped")
}

// names refuses what a restore of this version could not bring back.
func (b *backupRun) names() error {
	for _, t := range b.view.Tables() {
		if t.Name.Database != "quipu" || t.Name.Schema != "public" {
			b.snap.Release()
			return errcode.New(errcode.NotSupported, "table %s.%s.%s is not in schema public of database quipu: this version makes no backup of it", t.Name.Database, t.Name.Schema, t.Name.Table)
		}
	}
	return nil
}

// lines writes a file of lines.
func (b *backupRun) lines(name string, lines [][]byte) error {
	if err := b.to.Begin(name); err != nil {
		return err
	}
	for _, l := range lines {
		if _, err := b.to.Write(append(l, '\n')); err != nil {
			return err
		}
	}
	return b.to.End(int64(len(lines)), 0)
}

func (b *backupRun) cluster() error {
	line, err := json.Marshal(backup.Cluster{Format: backup.Format, Cluster: b.n.id.Cluster, Incarnation: b.view.Incarnation, Shards: b.n.id.Shards,
		MetaTerm: b.snap.ID.MetaTerm, Round: b.snap.ID.Round, Catalog: b.view.Catalog, Revision: b.view.Revision,
		Taken: b.n.cfg.Now().UTC().Format(time.RFC3339), Version: Version()})
	if err != nil {
		return err
	}
	return b.lines(backup.ClusterFile, [][]byte{line})
}

func (b *backupRun) tables() error {
	var lines [][]byte
	for _, t := range b.view.Tables() {
		line, err := rpc.DefinitionJSON(t)
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	return b.lines(backup.TablesFile, lines)
}

func (b *backupRun) contexts() error {
	var lines [][]byte
	for _, r := range b.view.Contexts("") {
		line, err := json.Marshal(backup.Context{Name: r.Name, Values: r.Values})
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	return b.lines(backup.ContextsFile, lines)
}

// roles writes statements that make the roles anew: all of them first, because they may be members of each other. Tokens are left out: only
// their digests are known, and who restores a cluster should not bring back what was handed out for another one.
func (b *backupRun) roles() error {
	var first, rest [][]byte
	for _, r := range b.view.Roles() {
		name := sql.QuoteIdent(r.Name)
		first = append(first, fmt.Appendf(nil, "CREATE ROLE IF NOT EXISTS %s", name))
		rest = append(rest, fmt.Appendf(nil, "ALTER ROLE %s WITH %s", name, roleOptions(&r.Role)))
		for _, key := range slices.Sorted(maps.Keys(r.Settings)) {
			rest = append(rest, fmt.Appendf(nil, "ALTER ROLE %s SET %s = %s", name, key, sql.QuoteString(r.Settings[key])))
		}
		for _, of := range r.MemberOf {
			rest = append(rest, fmt.Appendf(nil, "GRANT %s TO %s", sql.QuoteIdent(of), name))
		}
	}
	return b.lines(backup.RolesFile, append(append(first, rest...), b.grants()...))
}

func roleOptions(r *schema.Role) string {
	no := func(yes bool, word string) string {
		if yes {
			return word
		}
		return "NO" + word
	}
	options := []string{no(r.Superuser, "SUPERUSER"), no(r.Login, "LOGIN"), fmt.Sprintf("CONNECTION LIMIT %d", r.ConnectionsMax)}
	if r.HasPassword() {
		options = append(options, "PASSWORD "+sql.QuoteString(access.FormatVerifier(r.Verifier)))
	}
	if r.ValidUntil != 0 {
		options = append(options, "VALID UNTIL "+sql.QuoteString(time.UnixMilli(r.ValidUntil).UTC().Format(time.RFC3339Nano)))
	}
	return strings.Join(options, " ")
}

func (b *backupRun) grants() (lines [][]byte) {
	for _, t := range append([]*schema.Table{nil}, b.view.Tables()...) {
		id, on := schema.TableID(0), "SYSTEM"
		if t != nil {
			id, on = t.ID, "TABLE "+sql.QuoteIdent(t.Name.Table)
		}
		of := b.view.Granted(id)
		for _, role := range slices.Sorted(maps.Keys(of)) {
			plain, option := of[role].Held&^of[role].Option, of[role].Option
			if plain != 0 {
				lines = append(lines, fmt.Appendf(nil, "GRANT %s ON %s TO %s", plain, on, sql.QuoteIdent(role)))
			}
			if option != 0 {
				lines = append(lines, fmt.Appendf(nil, "GRANT %s ON %s TO %s WITH GRANT OPTION", option, on, sql.QuoteIdent(role)))
			}
		}
	}
	return lines
}

// cells writes what one shard has of a table. The engine reads it as any query's cells are read, wherever the shard is.
func (b *backupRun) cells(ctx context.Context, i int, t *schema.Table, s exec.Shard) error {
	if err := b.to.Begin(backup.CellsFile(i, int(s.ID))); err != nil {
		return err
	}
	d := pinned{engineDoors{b.n}, b.view, oneShard{b.snap, s}}
	e := query.New(query.Options{Catalog: d, Source: d.shard, Writer: d, DDL: d, Now: b.n.cfg.Now, Version: Version()})
	sink := &cellSink{to: b.to, windowed: t.Window > 0}
	if err := e.Run(ctx, query.Request{Principal: "backup", SQL: cellsOf(t), Single: true, ReadOnly: true}, sink); err != nil {
		return err
	}
	return b.to.End(sink.rows, sink.sum)
}

// cellsOf is the query for the cells of a table, as they are stored.
func cellsOf(t *schema.Table) string {
	var columns []string
	for _, d := range t.Dims {
		columns = append(columns, sql.QuoteIdent(d.Name))
	}
	if t.Window > 0 {
		columns = append(columns, "ts")
	}
	return "SELECT " + strings.Join(append(columns, "count"), ", ") + " FROM " + sql.QuoteIdent(t.Name.Table)
}

// pinned is the catalog of a backup: the view of its instant, whatever has changed since.
type pinned struct {
	engineDoors
	view  *meta.View
	shard oneShard
}

// View is the one of the backup.
func (p pinned) View(context.Context, bool) (plan.Catalog, error) {
	return catalogView{view{p.view}}, nil
}

// oneShard gives one shard of a snapshot that somebody else releases.
type oneShard struct {
	of    *query.Snapshot
	shard exec.Shard
}

// Snapshot is the shard as of the snapshot.
func (o oneShard) Snapshot(context.Context, query.Read) (*query.Snapshot, error) {
	return &query.Snapshot{ID: o.of.ID, Taken: o.of.Taken, Shards: []exec.Shard{o.shard}, Release: func() {}}, nil
}

// cellSink writes rows as lines of cells and adds up their counts.
type cellSink struct {
	to       rpc.BackupSink
	windowed bool
	rows     int64
	sum      uint64
	line     []byte
	cell     backup.Cell
}

// Columns is told nothing new.
func (s *cellSink) Columns([]plan.Column) error { return nil }

// End has nothing to add: the file's end says how many rows there were.
func (s *cellSink) End(*query.End) error { return nil }

// Row writes a cell.
func (s *cellSink) Row(values []plan.Value) error {
	c := &s.cell
	last := len(values) - 1
	c.Count = values[last].Int()
	if s.windowed {
		last--
		c.Window = values[last].Time().UnixMilli()
	}
	c.Values = c.Values[:0]
	for _, v := range values[:last] {
		text := plan.SchemaValue(v)
		if v.IsNull() {
			c.Values = append(c.Values, nil)
			continue
		}
		c.Values = append(c.Values, []byte(text.Text))
	}
	s.rows++
	s.sum += uint64(c.Count)
	s.line = backup.AppendCell(s.line[:0], c, s.windowed)
	_, err := s.to.Write(s.line)
	return err
}

// Hash is the digest of each replica here, each as of an index of its own.
func (n *Node) Hash(ctx context.Context) ([]rpc.ReplicaHash, error) {
	var out []rpc.ReplicaHash
	for _, r := range n.replicas() {
		at, sum, err := r.Store().Hash(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, rpc.ReplicaHash{Group: r.Group().String(), Index: at.Index, SHA256: sum})
	}
	return out, nil
}
