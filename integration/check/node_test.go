package check_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/integration/check"
	"github.com/quipudb/quipu/server"
)

// nodeVariable makes the test binary a node instead: its value is the data directory and the address.
const nodeVariable = "QUIPU_CHECK_NODE"

func TestMain(m *testing.M) {
	if dir, addr, ok := strings.Cut(os.Getenv(nodeVariable), "|"); ok {
		if err := serve(dir, addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve runs a node until its standard input ends, as it does when the test dies.
func serve(dir, addr string) error {
	s, err := server.Serve(context.Background(), server.Config{DataDir: dir, Shards: shards, CellMemory: 64 << 20, DiskFree: -1}, addr)
	if err != nil {
		return err
	}
	fmt.Println("serving")
	io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

const shards = 4

// process is a node that can be killed.
type process struct {
	t         *testing.T
	dir, addr string
	cmd       *exec.Cmd
	stdin     io.Closer
}

func startProcess(t *testing.T) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: t.TempDir(), addr: l.Addr().String()}
	l.Close()
	t.Cleanup(func() { p.kill() })
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), nodeVariable+"="+p.dir+"|"+p.addr)
	p.cmd.Stderr = os.Stderr
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		p.t.Fatal(err)
	}
	p.stdin = in
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "serving\n" {
		p.t.Fatalf("the node did not start: %q, %v", line, err)
	}
}

// kill ends the node with SIGKILL.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.stdin.Close()
}

// TestNodeIsStrictlySerializable lets writers and strict readers loose on a node of four shards and kills it again and again. Every strict
// read, of one shard, of some and of all, must fit into one serial order with all adds; what is refused must leave no trace.
func TestNodeIsStrictlySerializable(t *testing.T) {
	kills, between := 3, 1000
	if os.Getenv("QUIPU_SOAK") != "" {
		kills, between = 40, 20_000
	}
	node := startProcess(t)
	run := newRun(t, node.addr)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { run.write(ctx, i) })
	}
	for i := range 4 {
		wg.Go(func() { run.read(ctx, 100+i) })
	}
	for range kills {
		run.progress(between)
		node.kill()
		node.start()
	}
	run.progress(between)
	stop()
	wg.Wait()
	run.judge()
}

// run is a workload against one cluster.
type run struct {
	t      *testing.T
	addr   string
	rec    *check.Recorder
	places [shards]string // partition key of a row that falls on the shard
	shard  map[string]int
	steps  chan struct{} // one for each answer, as many as fit
}

// progress waits for n answers from now on.
func (r *run) progress(n int) {
	for len(r.steps) > 0 {
		<-r.steps
	}
	for range n {
		select {
		case <-r.steps:
		case <-r.t.Context().Done():
			return
		}
	}
}

// step notes an answer.
func (r *run) step() {
	select {
	case r.steps <- struct{}{}:
	default:
	}
}

func newRun(t *testing.T, addr string) *run {
	r := &run{t: t, addr: addr, shard: map[string]int{}, steps: make(chan struct{}, 1<<10),
		rec: check.NewRecorder(shards, map[string]string{"test": t.Name(), "seed": "1"})}
	c := r.dial()
	rows, err := c.Query(t.Context(), "CREATE TABLE ledger (place text, writer text) WITH (partition_by = 'place')")
	if err != nil {
		t.Fatal(err)
	}
	rows.Close()
	for i := 0; len(r.shard) < shards; i++ { // receipts tell where a place lies
		place := fmt.Sprint("place ", i)
		receipt, err := c.Table("ledger").AddSync(t.Context(), client.Batch{Rows: []client.Observation{{Count: 1, Pairs: []string{"place", place, "writer", "probe"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if s := receipt.Shards[0].Shard; r.places[s] == "" {
			r.places[s], r.shard[place] = place, int(s)
		}
	}
	return r
}

func (r *run) dial() *client.Client {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.Open(ctx, r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// write adds until ctx ends: most often on one shard, sometimes on two; sometimes with an observation that the shard must refuse, and then
// the whole part with it. A call that takes too long is given up and its outcome unknown: the client goes on trying.
func (r *run) write(ctx context.Context, id int) {
	table, random := r.dial().Table("ledger"), rand.New(rand.NewPCG(1, uint64(id)))
	w := r.rec.Writer(id)
	for ctx.Err() == nil {
		if w.Retired() {
			w = r.rec.Writer(id)
		}
		at := []int{random.IntN(shards)}
		refuse := random.IntN(20) == 0
		if !refuse && random.IntN(4) == 0 {
			at = append(at, (at[0]+1)%shards)
		}
		delta := 1 + random.Int64N(1<<32)
		rows := r.rows(w.ID(), delta, at)
		if refuse {
			rows = append(rows, client.Observation{Count: -1, Pairs: []string{"place", r.places[at[0]], "writer", "nobody"}})
		}
		patience, cancel := context.WithTimeout(r.t.Context(), time.Duration(50+random.IntN(2000))*time.Millisecond)
		p := w.Add(delta, at...)
		_, err := table.AddSync(patience, client.Batch{Rows: rows})
		cancel()
		r.answer(p, err, refuse)
		r.step()
	}
}

// rows count delta in the writer's cell and in the shared one of each shard.
func (r *run) rows(writer int, delta int64, at []int) (rows []client.Observation) {
	for _, s := range at {
		for _, name := range []string{fmt.Sprint(writer), "all"} {
			rows = append(rows, client.Observation{Count: delta, Pairs: []string{"place", r.places[s], "writer", name}})
		}
	}
	return rows
}

// answer notes what became of an add.
func (r *run) answer(p *check.PendingAdd, err error, refuse bool) {
	refused, ok := errors.AsType[*client.Error](err)
	switch {
	case err == nil && !refuse:
		p.Acked()
	case err == nil:
		r.t.Error("a count below zero was acknowledged")
	case ok && refuse && refused.Code == "BELOW_ZERO":
		p.Refused()
	case errors.Is(err, context.DeadlineExceeded): // unknown
	default:
		r.t.Errorf("an add failed: %v", err)
	}
}

// read asks for one shard, for two, or for all of them until ctx ends.
func (r *run) read(ctx context.Context, id int) {
	c, random := r.dial(), rand.New(rand.NewPCG(2, uint64(id)))
	for ctx.Err() == nil {
		at := random.Perm(shards)[:1+random.IntN(shards)]
		slices.Sort(at)
		var names []string
		for _, s := range at {
			names = append(names, "'"+r.places[s]+"'")
		}
		sql := "SELECT place, writer, sum(count) FROM ledger WHERE place IN (" + strings.Join(names, ", ") + ") GROUP BY place, writer"
		patience, cancel := context.WithTimeout(ctx, 2*time.Second)
		p := r.rec.Read(id, check.Strict)
		views, err := r.views(patience, c, sql, at)
		cancel()
		if err == nil {
			p.Returned(views...)
			r.step()
			continue
		}
		select { // the node is down: no need to ask a thousand times
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// views runs a query and sorts its rows into views.
func (r *run) views(ctx context.Context, c *client.Client, sql string, at []int) ([]check.View, error) {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	views := make([]check.View, len(at))
	for i, s := range at {
		views[i] = check.View{Shard: s, Cells: []int64{}}
	}
	for rows.Next() {
		v := rows.Values()
		s, ok := r.shard[v[0].(string)]
		i := slices.Index(at, s)
		if !ok || i < 0 {
			return nil, fmt.Errorf("a row of %v that was not asked for", v[0])
		}
		note(&views[i], v[1].(string), v[2].(int64))
	}
	return views, rows.Err()
}

// note puts one row into a view: the shared cell, or that of a writer.
func note(v *check.View, writer string, value int64) {
	if writer == "all" {
		v.Sum = value
		return
	}
	if id, err := strconv.Atoi(writer); err == nil { // else a probe
		v.Cells = append(v.Cells, make([]int64, max(0, id+1-len(v.Cells)))...)
		v.Cells[id] = value
	}
}

// judge checks the history and keeps it if it is not what was promised.
func (r *run) judge() {
	h := r.rec.History()
	r.t.Log(h.Summary())
	if err := h.Summary().Void(200, 0.5); err != nil {
		r.t.Error(err)
	}
	if h.Summary().Refused == 0 || h.Summary().Unknown == 0 {
		r.t.Error("nothing was refused or nothing is unknown: the run shows less than it should")
	}
	err := check.Verify(h)
	if err == nil {
		return
	}
	path := filepath.Join(r.t.ArtifactDir(), "history.jsonl")
	r.t.Errorf("%v\nthe history is in %s (%v; run with -artifacts to keep it); to judge it again:\n"+
		"\tgo test ./integration/check -run Recorded -history %s", err, path, h.Save(path), path)
}
