package pgwire

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// block is what stands between BEGIN and COMMIT. INSERTs wait in it; reads of a read-only one share a snapshot.
type block struct {
	readOnly bool
	failed   bool
	used     bool // a statement has run, so that the mode stays
	rows     gather
	kept     kept
	saved    []savepoint
	settings map[string]string // as they were at BEGIN
	local    map[string]string // SET LOCAL
	stays    []string          // what ran at once and no ROLLBACK undoes
}

// savepoint is what ROLLBACK TO goes back to.
type savepoint struct {
	name     string
	batches  int
	settings map[string]string
	local    map[string]string
}

func endsFailure(st sql.Statement) bool {
	t, ok := st.(*sql.Transaction)
	return ok && (t.Kind == sql.Commit || t.Kind == sql.Rollback || t.Kind == sql.RollbackTo)
}

// transaction runs BEGIN, COMMIT, ROLLBACK and savepoints.
func (c *conn) transaction(_ context.Context, t *sql.Transaction, res *result) error {
	switch t.Kind {
	case sql.Begin:
		return c.begin(t, res)
	case sql.Commit:
		return c.commit(t, res)
	case sql.Rollback:
		return c.rollback(t, res)
	}
	if c.block == nil {
		verb := map[sql.TxKind]string{sql.Savepoint: "SAVEPOINT", sql.Release: "RELEASE SAVEPOINT", sql.RollbackTo: "ROLLBACK TO SAVEPOINT"}[t.Kind]
		return failure(stateNoBlock, "%s can only be used in transaction blocks", verb).WithHint("BEGIN starts one")
	}
	return c.block.savepoint(c, t, res)
}

func (c *conn) begin(t *sql.Transaction, res *result) error {
	tag := "BEGIN"
	if t.Start {
		tag = "START TRANSACTION"
	}
	if c.block != nil {
		c.warn(stateInBlock, "there is already a transaction in progress")
		return res.done(tag)
	}
	c.block = &block{readOnly: c.readOnlyByDefault(), settings: c.settings}
	c.block.kept.c = c
	c.block.mode(t.Modes)
	return res.done(tag)
}

func (b *block) mode(m sql.TxModes) {
	if m.Access != sql.AccessDefault {
		b.readOnly = m.Access == sql.ReadOnly
	}
}

// commit sends what the INSERTs gathered. Whatever comes of it, the block has ended.
func (c *conn) commit(t *sql.Transaction, res *result) error {
	b := c.block
	switch {
	case b == nil:
		c.warn(stateNoBlock, "there is no transaction in progress")
		return res.done("COMMIT")
	case b.failed:
		return c.rollback(t, res)
	}
	c.endBlock()
	if !b.rows.empty() {
		if err := c.sendRows(&b.rows); err != nil {
			return err
		}
	}
	c.chain(t, b)
	return res.done("COMMIT")
}

// rollback forgets what the INSERTs gathered and says what it cannot undo.
func (c *conn) rollback(t *sql.Transaction, res *result) error {
	b := c.block
	if b == nil {
		c.warn(stateNoBlock, "there is no transaction in progress")
		return res.done("ROLLBACK")
	}
	c.endBlock()
	c.restore(b.settings)
	if len(b.stays) > 0 {
		c.warn(stateWarning, "ROLLBACK does not undo what ran at once: "+strings.Join(b.stays, ", "))
	}
	c.chain(t, b)
	return res.done("ROLLBACK")
}

// chain begins a block like the one that has ended, for AND CHAIN.
func (c *conn) chain(t *sql.Transaction, b *block) {
	if t.Chain {
		c.block = &block{readOnly: b.readOnly, settings: c.settings}
		c.block.kept.c = c
	}
}

// endBlock frees what the block held.
func (c *conn) endBlock() {
	c.portals.closeAll()
	if c.block != nil {
		c.block.kept.end()
		c.block = nil
	}
}

func (b *block) savepoint(c *conn, t *sql.Transaction, res *result) error {
	if t.Kind == sql.Savepoint {
		if len(b.saved) == savepointsMax {
			return failure(stateLimit, "a transaction has at most %d savepoints", savepointsMax).WithHint("RELEASE those that are not needed")
		}
		b.saved = append(b.saved, savepoint{t.Name, len(b.rows.batches), c.settings, maps.Clone(b.local)})
		return res.done("SAVEPOINT")
	}
	at := len(b.saved) - 1
	for at >= 0 && b.saved[at].name != t.Name {
		at--
	}
	if at < 0 {
		return failure(stateSavepoint, "savepoint %q does not exist", t.Name)
	}
	if t.Kind == sql.Release {
		b.saved = b.saved[:at]
		return res.done("RELEASE")
	}
	s := b.saved[at]
	b.saved = b.saved[:at+1]
	b.rows.cut(s.batches)
	b.local = maps.Clone(s.local)
	b.failed = false
	c.portals.closeCursors(at + 1)
	c.restore(s.settings)
	return res.done("ROLLBACK")
}

// setTransaction is SET TRANSACTION and SET SESSION CHARACTERISTICS. Every isolation level is the same one here.
func (c *conn) setTransaction(t *sql.SetTransaction, res *result) error {
	switch {
	case t.Session:
		if t.Modes.Access != sql.AccessDefault {
			c.keep(readOnlyDefault, onOff(t.Modes.Access == sql.ReadOnly))
		}
		if t.Modes.Isolation != "" {
			c.keep("default_transaction_isolation", t.Modes.Isolation)
		}
	case c.block == nil:
		c.warn(stateNoBlock, "SET TRANSACTION can only be used in transaction blocks")
	case c.block.readOnly && t.Modes.Access == sql.ReadWrite && c.block.used:
		return failure(stateInBlock, "transaction read-write mode must be set before any query")
	default:
		c.block.mode(t.Modes)
	}
	return res.done("SET")
}

// allowed refuses what a read-only block does not run, and says what does not wait for COMMIT.
func (c *conn) allowed(st sql.Statement) error {
	if c.block != nil {
		c.block.used = true
	}
	if verb := writes(st); verb != "" && c.readOnly() {
		return failure(stateReadOnly, "cannot execute %s in a read-only transaction", verb)
	}
	if c.block == nil {
		return nil
	}
	if _, ok := st.(*sql.Query); ok && !c.block.rows.empty() {
		c.warn(stateWarning, fmt.Sprintf("%d rows of this transaction wait for COMMIT, and this query does not see them", c.block.rows.rows))
	}
	return nil
}

// readOnly says that nothing may be changed now.
func (c *conn) readOnly() bool {
	if c.block != nil {
		return c.block.readOnly
	}
	return c.readOnlyByDefault()
}

// done notes what a block did that does not wait for its end.
func (c *conn) done(st sql.Statement) {
	if c.block == nil {
		return
	}
	switch verb := writes(st); verb {
	case "", "INSERT":
	default:
		c.stays(verb)
	}
}

// staysMax bounds what a ROLLBACK lists.
const staysMax = 20

func (c *conn) stays(what string) {
	if n := len(c.block.stays); n < staysMax {
		c.block.stays = append(c.block.stays, what)
	} else if n == staysMax {
		c.block.stays = append(c.block.stays, "and more")
	}
}

// writes is the verb of a statement that changes tables, or empty.
func writes(st sql.Statement) string {
	switch st := st.(type) {
	case *sql.Insert:
		return "INSERT"
	case *sql.Delete:
		return "DELETE"
	case *sql.CreateTable:
		return "CREATE TABLE"
	case *sql.AlterTable:
		return "ALTER TABLE"
	case *sql.DropTable:
		return "DROP TABLE"
	case *sql.Truncate:
		return "TRUNCATE TABLE"
	case *sql.CreateRole:
		return "CREATE ROLE"
	case *sql.AlterRole:
		return "ALTER ROLE"
	case *sql.DropRole:
		return "DROP ROLE"
	case *sql.Grant:
		if st.Revoke {
			return "REVOKE"
		}
		return "GRANT"
	case *sql.Copy:
		if st.From {
			return "COPY FROM"
		}
	}
	return ""
}

func (c *conn) warn(state, message string) { c.notify(notice("WARNING", state, message, "")) }

// notify sends a notice, if the client wants those of its severity.
func (c *conn) notify(n *pgproto3.NoticeResponse) {
	switch c.effective()["client_min_messages"] {
	case "error":
		return
	case "warning":
		if n.Severity != "WARNING" {
			return
		}
	}
	c.out.send(n)
}

// restore puts the settings back, and tells the client of those it follows.
func (c *conn) restore(to map[string]string) {
	was := c.settings
	c.settings = to
	for _, name := range slices.Sorted(maps.Keys(reported)) {
		if was[name] != to[name] {
			c.reportSetting(name)
		}
	}
}

// Snapshot takes the snapshot of a read: in a read-only block the one that the block keeps.
func (c *conn) Snapshot(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	if r.Level == query.Session && r.MinIndex == "" {
		r.MinIndex = c.receipts.String()
	}
	if c.block == nil || !c.block.readOnly {
		return c.s.o.Source.Snapshot(ctx, r)
	}
	return c.block.kept.take(ctx, r)
}

var errKeptTooLong = &wireError{stateBlockTimeout, errcode.New(errcode.SnapshotTooOld, "the snapshot of this read-only transaction has lived as long as it may").
	WithHint("ROLLBACK, and BEGIN READ ONLY again to read a newer one")}
