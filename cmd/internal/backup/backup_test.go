package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/proto/backup"
	"github.com/quipudb/quipu/server"
)

// serve starts a cluster of one node with so many shards.
func serve(t *testing.T, address string, shards int, change func(*server.Config)) *server.Service {
	t.Helper()
	cfg := server.Config{DataDir: t.TempDir(), Shards: shards, CellMemory: 64 << 20, DiskFree: -1}
	if change != nil {
		change(&cfg)
	}
	s, err := server.Serve(t.Context(), cfg, address)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newCluster is serve with an end at that of the test.
func newCluster(t *testing.T, shards int, change func(*server.Config), opts ...client.Option) *client.Client {
	t.Helper()
	s := serve(t, "127.0.0.1:0", shards, change)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return open(t, s.Addr.String(), opts...)
}

func open(t *testing.T, address string, opts ...client.Option) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := client.Open(ctx, address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

func exec(t *testing.T, c *client.Client, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if _, err := c.Exec(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// answer is the rows of a statement as text, floats to the last bit.
func answer(t *testing.T, c *client.Client, text string) string {
	t.Helper()
	rows, err := c.Query(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		line := ""
		for _, v := range rows.Values() {
			if f, ok := v.(float64); ok {
				v = fmt.Sprintf("%x", f)
			}
			line += fmt.Sprintf("%v|", v)
		}
		lines = append(lines, line)
	}
	if rows.Err() != nil {
		t.Fatalf("%s: %v", text, rows.Err())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// fill makes tables of every kind.
func fill(t *testing.T, c *client.Client) {
	t.Helper()
	exec(t, c,
		`CREATE TABLE odd ("a ""b" text NOT NULL DEFAULT 'z', n int8, yes bool) WITH (partition_by = 'n')`,
		`INSERT INTO odd VALUES ('q', 1, true, 5), (E'tab\t\\N\n\r', NULL, false, 7), ('', -9223372036854775808, NULL, 9000000000000000000)`,
		`CREATE TABLE hours (x text) WITH (window = '1h', retention = '90d', partition_by = '')`,
		`INSERT INTO hours (x, ts, count) VALUES ('now', now(), 3), ('then', now() - interval '7 hours', 4)`,
		`CREATE TABLE empty (x text, y text)`,
		`CREATE TABLE checkout (variant text, outcome text)`)
	if _, err := c.Context("prod").CompareAndSet(t.Context(), 0, map[string]string{"sample_rate": "0.5", "note": "a=b"}); err != nil {
		t.Fatal(err)
	}
	w := c.Table("checkout")
	for i := range 20_000 {
		if err := w.Add(t.Context(), int64(1+i%7), "variant", fmt.Sprint("v", i%40), "outcome", fmt.Sprint("o", i%331)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var questions = []string{
	`SELECT * FROM odd`, `SELECT x, ts, count FROM hours`, `SELECT count(*) FROM empty`,
	`SELECT chi2_test(variant, outcome) FROM checkout`, `SELECT g_test(variant, outcome) FROM checkout`, `SELECT cramers_v(variant, outcome) FROM checkout`,
	`SELECT variant, sum(count) FROM checkout GROUP BY variant`,
	`SELECT name, dimensions, partition_by, "window", retention FROM quipu.tables`, `SELECT name, key, value FROM quipu.contexts`,
}

func TestRestoredClusterAnswersToTheLastBit(t *testing.T) {
	t.Parallel()
	from, to := newCluster(t, 3, nil), newCluster(t, 5, nil)
	fill(t, from)
	dir := filepath.Join(t.TempDir(), "monday")
	if err := Create(t.Context(), from, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), from, dir, io.Discard); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over an old backup: %v", err)
	}
	b, err := Verify(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), from, b, Options{}, io.Discard); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a cluster that is not empty: %v", err)
	}
	if err := Restore(t.Context(), to, b, Options{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		if got, want := answer(t, to, q), answer(t, from, q); got != want {
			t.Errorf("%s\n%s\nwant\n%s", q, got, want)
		}
	}
	fromID, _ := from.Server(t.Context())
	if toID, _ := to.Server(t.Context()); toID.ClusterID == fromID.ClusterID {
		t.Error("the restored cluster has the identity of the old one")
	}
	if err := Restore(t.Context(), to, b, Options{}, io.Discard); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("twice into one cluster: %v", err)
	}
}

// A writer counts first into one table and, when that is acknowledged, into the other. A backup of one instant never has more in the second.
func TestBackupIsOfOneInstantWhileWritingGoesOn(t *testing.T) {
	t.Parallel()
	from := newCluster(t, 4, nil)
	exec(t, from, `CREATE TABLE first (x text)`, `CREATE TABLE second (x text)`)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		a, b := from.Table("first"), from.Table("second")
		for i := 0; ctx.Err() == nil; i++ {
			one := client.Batch{Rows: []client.Observation{{Pairs: []string{"x", fmt.Sprint(i % 97)}}}}
			for _, table := range []*client.Table{a, b} {
				if _, err := table.AddSync(t.Context(), one); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	last := int64(-1)
	for i := range 10 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := Create(t.Context(), from, dir, io.Discard); err != nil {
			t.Fatal(err)
		}
		b, err := Verify(dir, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		x, y := b.Tables[0].Observations, b.Tables[1].Observations
		if b.Tables[0].Definition.Table != "first" {
			x, y = y, x
		}
		if x < y || x > y+1 || x < last {
			t.Errorf("backup %d has %d and %d observations, the one before %d", i, x, y, last)
		}
		last = x
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if last < 1 {
		t.Error("nothing was written meanwhile")
	}
}

func TestDamagedBackupIsRefusedByTheNameOfTheFile(t *testing.T) {
	t.Parallel()
	from := newCluster(t, 2, func(c *server.Config) { c.Admin, c.AdminPassword = "root", "first" }, client.WithPassword("root", "first"))
	exec(t, from, `CREATE TABLE a (x text) WITH (partition_by = '')`, `INSERT INTO a VALUES ('one', 1), ('two', 2)`, `CREATE ROLE r`)
	dir := filepath.Join(t.TempDir(), "b")
	if err := Create(t.Context(), from, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := Verify(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{backup.ManifestFile, backup.ClusterFile, backup.TablesFile, backup.RolesFile}
	for _, f := range b.Tables[0].Files {
		if f.Size > 0 {
			names = append(names, f.Name)
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damages := map[string][]byte{"cut off": text[:len(text)-1], "longer": append(bytes.Clone(text), '\n'), "empty": {}}
		for i := 0; i < len(text); i += 1 + len(text)/20 {
			flipped := bytes.Clone(text)
			flipped[i] ^= 4
			damages[fmt.Sprint("byte ", i)] = flipped
		}
		for what, bad := range damages {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(dir, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s, gone: %v", name, err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(filepath.Join(dir, "cells"), io.Discard); err == nil || !strings.Contains(err.Error(), "not a whole backup") {
		t.Errorf("no backup at all: %v", err)
	}
}

// cutOff ends a restore in the middle of its second file of cells.
type cutOff struct {
	cancel context.CancelFunc
	left   int
}

func (c *cutOff) Write(p []byte) (int, error) {
	if c.left -= bytes.Count(p, []byte("counted")); c.left <= 0 {
		c.cancel()
	}
	return len(p), nil
}

func TestRestoreThatWasInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	from, to := newCluster(t, 4, nil), newCluster(t, 1, nil)
	fill(t, from)
	dir := filepath.Join(t.TempDir(), "b")
	if err := Create(t.Context(), from, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := Verify(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for left := 1; left < 6; left += 2 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := Restore(ctx, to, b, Options{}, &cutOff{cancel, left}); err == nil {
			t.Fatal("the restore was not interrupted")
		}
		cancel()
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := Create(t.Context(), from, other, io.Discard); err != nil {
		t.Fatal(err)
	}
	o, err := Verify(other, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), to, o, Options{}, io.Discard); err == nil || !strings.Contains(err.Error(), "of another backup") {
		t.Errorf("another backup into half a restore: %v", err)
	}
	if err := Restore(t.Context(), to, b, Options{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, q := range questions {
		if got, want := answer(t, to, q), answer(t, from, q); got != want {
			t.Errorf("%s\n%s\nwant\n%s", q, got, want)
		}
	}
}

func TestRolesComeBack(t *testing.T) {
	t.Parallel()
	admin := func(c *server.Config) { c.Admin, c.AdminPassword = "root", "first" }
	from, to := newCluster(t, 2, admin, client.WithPassword("root", "first")), newCluster(t, 2, admin, client.WithPassword("root", "first"))
	exec(t, from, `CREATE TABLE a (x text)`, `INSERT INTO a VALUES ('one', 1)`, `CREATE ROLE readers`, `GRANT SELECT ON a TO readers`, `GRANT MONITOR ON SYSTEM TO readers`,
		`CREATE ROLE "O'Brien" LOGIN PASSWORD 'secret' CONNECTION LIMIT 7 VALID UNTIL '2999-01-01'`, `GRANT readers TO "O'Brien"`, `ALTER ROLE readers SET statement_timeout = '5s'`,
		`GRANT INSERT ON a TO "O'Brien" WITH GRANT OPTION`)
	dir := filepath.Join(t.TempDir(), "b")
	if err := Create(t.Context(), from, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := Verify(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), newCluster(t, 1, nil), b, Options{}, io.Discard); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("into a cluster without a role: %v", err)
	}
	if err := Restore(t.Context(), to, b, Options{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := Create(t.Context(), to, again, io.Discard); err != nil {
		t.Fatal(err)
	}
	second, err := Verify(again, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	own := func(text string) bool { return strings.HasPrefix(text, "ALTER ROLE root ") } // it keeps the password that it has
	b.Roles, second.Roles = slices.DeleteFunc(b.Roles, own), slices.DeleteFunc(second.Roles, own)
	if got, want := strings.Join(second.Roles, "\n"), strings.Join(b.Roles, "\n"); got != want {
		t.Errorf("roles\n%s\nwant\n%s", got, want)
	}
	lone := newCluster(t, 1, nil)
	if err := Restore(t.Context(), lone, b, Options{NoRoles: true}, io.Discard); err != nil {
		t.Error(err)
	}
}

// A writer of the old cluster finds the restored one at the old address, where sessions have the numbers that they had. What has no answer is
// of unknown outcome; nothing counts under a session that another writer has there.
func TestWriterOfTheOldClusterIsToldThatItsSessionIsOver(t *testing.T) {
	t.Parallel()
	old := serve(t, "127.0.0.1:0", 2, nil)
	address := old.Addr.String()
	var unknown int
	w := open(t, address, client.WithHooks(client.Hooks{OnUnknown: func(client.BatchInfo) { unknown++ }}))
	exec(t, w, `CREATE TABLE a (x text)`)
	add := func(n int64) error {
		if err := w.Table("a").Add(t.Context(), n, "x", "cell"); err != nil {
			t.Fatal(err)
		}
		return w.Flush(t.Context())
	}
	if err := add(1); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "b")
	if err := Create(t.Context(), w, dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := add(10); err != nil { // after the backup: it will be gone
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	restored := serve(t, address, 3, nil)
	defer func() {
		if err := restored.Close(); err != nil {
			t.Error(err)
		}
	}()
	b, err := Verify(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), open(t, address), b, Options{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	first := add(100) // in flight under the old session, or under a new one if the keep-alive was faster
	var lost *client.LostError
	if first != nil && !errors.As(first, &lost) {
		t.Fatal(first)
	}
	if err := add(1000); err != nil {
		t.Fatal(err)
	}
	want := "1101|"
	if lost != nil && lost.Unknown == 100 {
		want = "1001|"
	}
	if got := answer(t, open(t, address), `SELECT sum(count) FROM a`); got != want {
		t.Errorf("the restored cluster has %s, want %s (%v, %d of unknown outcome)", got, want, first, unknown)
	}
}
