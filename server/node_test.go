package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

func start(t testing.TB, dir string) *Node {
	t.Helper()
	n, err := Open(t.Context(), Config{DataDir: dir, Shards: 3, CellMemory: 64 << 20, DiskFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func stopNode(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func createTable(t testing.TB, n *Node) *schema.Table {
	t.Helper()
	table, err := n.CreateTable(t.Context(), "local", &schema.Table{
		Name: schema.Name{Table: "admissions"}, PartitionBy: []int{0, 1},
		Dims: []schema.Dimension{{Name: "dept", Type: schema.Text, Default: schema.Null}, {Name: "gender", Type: schema.Text, Default: schema.Null}},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// batch has one row a department and gender.
func batch(session, seq uint64, counts ...int64) *router.Batch {
	b := &router.Batch{Principal: "local", Session: session, Seq: seq, Table: schema.Name{Table: "admissions"}, Counts: counts,
		Dims: []router.Column{{Name: "dept", Dict: []schema.Value{schema.Null}}, {Name: "gender", Dict: []schema.Value{schema.Null, schema.V("m"), schema.V("f")}}}}
	for i := range counts {
		b.Dims[0].Dict = append(b.Dims[0].Dict, schema.V(fmt.Sprint("dept ", i/2)))
		b.Dims[0].Codes = append(b.Dims[0].Codes, uint32(i+1))
		b.Dims[1].Codes = append(b.Dims[1].Codes, uint32(1+i%2))
	}
	return b
}

// total reads all shards at one instant and sums a table. On a busy machine a round may take longer than a shard may be silent; that refuses a
// read and says nothing about it.
func total(t testing.TB, n *Node, table schema.TableID) (sum int64) {
	t.Helper()
	cut, err := n.rounds.Take(t.Context(), n.allShards())
	for try := 1; err != nil && codeOf(err) == errcode.Unavailable && try < 20; try++ {
		cut, err = n.rounds.Take(t.Context(), n.allShards())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Release()
	for _, snap := range cut.Snapshots {
		view, ok := snap.Snapshot.(exec.Here).Table(table)
		if !ok {
			t.Fatalf("a shard does not know table %d", table)
		}
		for _, seg := range view.Segments(storage.Filter{}, 1) {
			err := seg.Scan(t.Context(), nil, func(c *storage.Chunk) error {
				for _, n := range c.Counts[:c.Len] {
					sum += n
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return sum
}

func TestBatchCountsOnceOverRetriesAndRestarts(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	table := createTable(t, n)
	s, err := n.OpenSession(t.Context(), "local", false)
	if err != nil {
		t.Fatal(err)
	}
	b := batch(s.ID, 1, 512, 89, 353, 17, 120, 202)
	first, err := n.Write(t.Context(), b)
	if err != nil || len(first.Refused) > 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := n.Write(t.Context(), b)
	if err != nil || !again.Receipts[0].Duplicate {
		t.Fatalf("again: %+v, %v", again, err)
	}
	stopNode(t, n)
	n = start(t, dir)
	defer stopNode(t, n)
	again, err = n.Write(t.Context(), b)
	if err != nil || !again.Receipts[0].Duplicate {
		t.Fatalf("after the restart: %+v, %v", again, err)
	}
	if got := total(t, n, table.ID); got != 1293 {
		t.Errorf("total %d, want 1293", got)
	}
}

func TestStateIsTheLogAfterACrash(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	table := createTable(t, n)
	for i := range 20 {
		if _, err := n.Write(t.Context(), batch(0, 0, int64(i), 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	crashed := t.TempDir() // what a disk holds when the process dies now
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	stopNode(t, n)
	n = start(t, crashed)
	defer stopNode(t, n)
	if got, want := total(t, n, table.ID), int64(20*19/2+20*2); got != want {
		t.Errorf("total %d, want %d", got, want)
	}
}

func TestWritesThatAreRefusedChangeNothing(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	table := createTable(t, n)
	s, err := n.OpenSession(t.Context(), "local", false)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*router.Batch)
		want   errcode.Code
	}{
		"unknown table":    {func(b *router.Batch) { b.Table.Table = "admission" }, errcode.UnknownTable},
		"unknown column":   {func(b *router.Batch) { b.Dims[0].Name = "depth" }, errcode.UnknownColumn},
		"foreign session":  {func(b *router.Batch) { b.Principal = "mallory" }, errcode.SessionForeign},
		"unissued session": {func(b *router.Batch) { b.Session = 1 << 40 }, errcode.SessionExpired},
		"other table id":   {func(b *router.Batch) { b.TableID = 999 }, errcode.SchemaChanged},
		"bad code":         {func(b *router.Batch) { b.Dims[1].Codes[1] = 77 }, errcode.Invalid},
		"bad value":        {func(b *router.Batch) { b.Dims[1].Dict[1] = schema.V(strings.Repeat("x", 2000)) }, errcode.ValueInvalid},
		"no rows":          {func(b *router.Batch) { b.Dims = nil }, errcode.Invalid},
		"stamp and key":    {func(b *router.Batch) { b.Key = "k" }, errcode.Invalid},
	} {
		b := batch(s.ID, 5, 1, 2)
		tc.change(b)
		_, err := n.Write(t.Context(), b)
		if e := errcode.From(err); err == nil || e.Code != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	res, err := n.Write(t.Context(), batch(s.ID, 6, -1))
	if err != nil || len(res.Refused) != 1 || errcode.From(res.Refused[0].Err).Code != errcode.BelowZero {
		t.Errorf("below zero: %+v, %v", res, err)
	}
	if got := total(t, n, table.ID); got != 0 {
		t.Errorf("total %d after refusals only", got)
	}
}

func TestKeyCountsOnceAndReplays(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	table := createTable(t, n)
	b := batch(0, 0, 5, 6, 7, 8)
	b.Key = "order-17"
	if _, err := n.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	again, err := n.Write(t.Context(), b)
	if err != nil || !again.Replayed {
		t.Errorf("again: %+v, %v", again, err)
	}
	other := batch(0, 0, 5, 6, 7, 9)
	other.Key = "order-17"
	if _, err := n.Write(t.Context(), other); errcode.From(err).Code != errcode.KeyReused {
		t.Errorf("another body: %v", err)
	}
	if got := total(t, n, table.ID); got != 26 {
		t.Errorf("total %d, want 26", got)
	}
}

func TestClosedSessionIsRefusedEverywhere(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	createTable(t, n)
	s, err := n.OpenSession(t.Context(), "local", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.CloseSession(t.Context(), "local", s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Write(t.Context(), batch(s.ID, 1, 1)); errcode.From(err).Code != errcode.SessionExpired {
		t.Errorf("write: %v", err)
	}
	if err := n.KeepAlive(t.Context(), "local", []uint64{s.ID}); errcode.From(err).Code != errcode.SessionExpired {
		t.Errorf("keep-alive: %v", err)
	}
}

// Each writer adds a batch of +1 and −1 … over several shards at once; acknowledged totals never go back, and a cut never shows more than was
// asked for.
func TestSnapshotsHoldWhatWasAcknowledged(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	table := createTable(t, n)
	const writers, each = 8, 30
	var mu sync.Mutex
	var acked, asked int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				b := batch(0, 0, 1, 1, 1, 1, 1, 1)
				mu.Lock()
				asked += 6
				mu.Unlock()
				if _, err := n.Write(context.Background(), b); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acked += 6
				mu.Unlock()
			}
		})
	}
	for range 100 {
		mu.Lock()
		low := acked
		mu.Unlock()
		got := total(t, n, table.ID)
		mu.Lock()
		high := asked
		mu.Unlock()
		if got < low || got > high {
			t.Fatalf("a read shows %d; %d were acknowledged before it, %d asked for before its end", got, low, high)
		}
	}
	wg.Wait()
	if got := total(t, n, table.ID); got != writers*each*6 {
		t.Errorf("total %d, want %d", got, writers*each*6)
	}
}

func TestDefinitionsReachEveryShard(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	table := createTable(t, n)
	if _, err := n.CreateTable(t.Context(), "local", table, false); errcode.From(err).Code != errcode.Exists {
		t.Errorf("a second table of the name: %v", err)
	}
	if again, err := n.CreateTable(t.Context(), "local", table, true); err != nil || again.ID != table.ID {
		t.Errorf("IF NOT EXISTS: %v, %v", again, err)
	}
	fresh, err := n.TruncateTable(t.Context(), "local", table.Name)
	if err != nil || fresh.ID == table.ID {
		t.Fatalf("truncate: %v, %v", fresh, err)
	}
	for _, s := range n.shards {
		if s.version(fresh.ID) == 0 || s.version(table.ID) != 0 {
			t.Errorf("shard %d: versions %v", s.id, s.versions)
		}
	}
	if err := n.DropTable(t.Context(), "local", table.Name, false); err != nil {
		t.Fatal(err)
	}
	if err := n.DropTable(t.Context(), "local", table.Name, false); errcode.From(err).Code != errcode.UnknownTable {
		t.Errorf("a second drop: %v", err)
	}
	if err := n.DropTable(t.Context(), "local", table.Name, true); err != nil {
		t.Errorf("IF EXISTS: %v", err)
	}
}

// TestOlderViewDropsNoTable holds that a shard whose new leader lags behind the meta group keeps the tables made since.
func TestOlderViewDropsNoTable(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	older := n.view()
	table := createTable(t, n)
	s, err := n.OpenSession(t.Context(), "local", false)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := n.Write(t.Context(), batch(s.ID, 1, 1, 2, 3)); err != nil || len(res.Refused) > 0 {
		t.Fatal(res, err)
	}
	for _, shard := range n.shards {
		if err := shard.followView(t.Context(), func() view { return older }); err != nil {
			t.Error(err)
		}
	}
	if got := total(t, n, table.ID); got != 6 {
		t.Errorf("total %d, want 6", got)
	}
}

func TestFullDiskRefusesWritesAndServesReads(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	table := createTable(t, n)
	n.disk.least.Store(1 << 62)
	res, err := n.Write(t.Context(), batch(0, 0, 1))
	if err == nil && len(res.Refused) > 0 {
		err = res.Refused[0].Err
	}
	if e := errcode.From(err); err == nil || e.Code != errcode.DiskFull {
		t.Errorf("write: %v", err)
	}
	if got := total(t, n, table.ID); got != 0 {
		t.Errorf("total %d", got)
	}
	n.disk.least.Store(-1)
	if _, err := n.Write(t.Context(), batch(0, 0, 1)); err != nil {
		t.Errorf("write when there is room again: %v", err)
	}
}

func TestDirectoryIsHeldByOneNode(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	defer stopNode(t, n)
	_, err := Open(t.Context(), Config{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("got %v", err)
	}
}

func TestForeignStateIsRefused(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	stopNode(t, start(t, a))
	stopNode(t, start(t, b))
	if err := errors.Join(os.RemoveAll(a+"/meta"), os.CopyFS(a+"/meta", os.DirFS(b+"/meta"))); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(t.Context(), Config{DataDir: a}); err == nil {
		stopNode(t, n)
		t.Error("a node took the meta group of another cluster")
	}
}

func TestVoterWithoutMemoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	stopNode(t, start(t, dir))
	if err := os.RemoveAll(dir + "/shards/1"); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(t.Context(), Config{DataDir: dir}); err == nil {
		stopNode(t, n)
		t.Error("the node started without the memory of one of its groups")
	} else if !strings.Contains(err.Error(), "shard") {
		t.Errorf("the error does not name the group: %v", err)
	}
}

// A retry that reaches the log (its answer was not known when it was proposed) is a duplicate also where it is alone in its entry.
func TestDuplicateAloneInItsEntryIsAcknowledged(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	createTable(t, n)
	s, err := n.OpenSession(t.Context(), "local", false)
	if err != nil {
		t.Fatal(err)
	}
	b := batch(s.ID, 1, 7)
	first, err := n.Write(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	sh := n.shards[first.Receipts[0].Shard]
	blind := replica.NewProposer(replica.ProposerOptions{Shard: sh.id, Apply: sh.replica.Apply, Stamp: sh.replica.Stamp, Admit: sh.replica.Admit,
		Room: sh.replica.WaitRoom, Cells: sh.replica.Store().StepCells, Pass: sh.replica.Gate().Pass, Dict: sh.dict, Read: verdicts,
		Seen: func(command.Part) (replica.Verdict, uint64, bool) { return replica.Verdict{}, 0, false }})
	defer blind.Close()
	table := n.view().Table(router.FullName(b.Table))
	out, err := blind.Propose(&replica.Part{Table: table, Len: 1, Counts: []int64{7},
		Stamp: command.Part{Kind: command.Ordinary, Session: s.ID, Seq: 1, Home: sh.id, MapVersion: n.view().Slots.Version},
		Cols:  []replica.PartColumn{{Values: []schema.Value{schema.V("dept 0")}}, {Values: []schema.Value{schema.V("m")}}}}).Wait(t.Context())
	if err != nil || !out.Duplicate {
		t.Errorf("got %+v, %v; want a duplicate", out, err)
	}
	if got := total(t, n, table.ID); got != 7 {
		t.Errorf("total %d, want 7", got)
	}
}
