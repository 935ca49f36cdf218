package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// wirePeer is one of the servers, which answer the same messages of the same client.
type wirePeer struct {
	name, url string
	prepare   []string // statements that make its tables
	empty     []string // statements that empty the table of COPY
}

const wireRows = `('a', '1', 100), ('a', '2', 107), ('b', '1', 128), ('b', '2', 163), ('c', '1', 212), ('c', '2', 275), ('d', '1', 352), ('d', '2', 443)`

// runWire compares PostgreSQL's protocol as Quipu and PostgreSQL speak it: round trips and COPY, in turns, then the queries of the other
// comparison.
func runWire(ctx context.Context, binary, drawsFile string, span time.Duration, rounds, runs int, together bool) error {
	draws, err := os.ReadFile(drawsFile)
	if err != nil {
		return fmt.Errorf("--draws: %w", err)
	}
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer p.stop(syscall.SIGINT)
	port, err := freePort()
	if err != nil {
		return err
	}
	q, url, err := startQuipu(ctx, binary, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer q.stop(syscall.SIGTERM)
	peers := []wirePeer{
		{"PostgreSQL", p.url + "?sslmode=disable",
			[]string{"CREATE TABLE small (x text, y text, count int8)", "INSERT INTO small VALUES " + wireRows,
				"CREATE TABLE loaded (d0 text, d1 text, d2 text, d3 text)", "VACUUM ANALYZE"}, []string{"TRUNCATE loaded", "CHECKPOINT"}},
		{"Quipu", fmt.Sprintf("postgres://bench@127.0.0.1:%d/quipu?sslmode=disable", port),
			[]string{"CREATE TABLE small (x text, y text) WITH (partition_by = '')", "INSERT INTO small VALUES " + wireRows,
				"CREATE TABLE loaded (d0 text, d1 text, d2 text, d3 text)"}, []string{"TRUNCATE loaded"}},
	}
	portWithout, err := freePort()
	if err != nil {
		return err
	}
	without, err := startWorkless(ctx, portWithout, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer without.stop(syscall.SIGTERM)
	placed := &cores{servers: []int{p.cmd.Process.Pid, q.cmd.Process.Pid, without.cmd.Process.Pid}, together: together}
	all := append(slices.Clip(peers), wirePeer{name: workless, url: fmt.Sprintf("postgres://bench@127.0.0.1:%d/quipu?sslmode=disable", portWithout)})
	for _, peer := range peers {
		if err := peer.do(ctx, peer.prepare...); err != nil {
			return err
		}
	}
	pgbench, err := find("pgbench", debianPostgres)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wire-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	drivers, err := driverClients(dir)
	if err != nil {
		return err
	}
	for _, client := range append([]wireClient{{"pgbench", false, pgbenchClient(pgbench)}, {"pgconn", false, wireCase.measure}}, drivers...) {
		fmt.Printf("Round trips with %s\n\n", client.name)
		for _, c := range wireCases {
			if client.single && c.conns > 1 {
				continue
			}
			if err := placed.place(c.conns == 1); err != nil {
				return err
			}
			if err := c.compare(ctx, client, all, span, rounds); err != nil {
				return fmt.Errorf("%s with %s: %w", c.name, client.name, err)
			}
		}
	}
	if err := placed.place(false); err != nil {
		return err
	}
	if err := compareCopy(ctx, peers, draws, rounds); err != nil {
		return fmt.Errorf("COPY: %w", err)
	}
	r := &report{values: map[string]map[string]float64{}, times: map[string]map[string]float64{}}
	if err := errors.Join(p.query(ctx, r, runs), quipuQueries(ctx, r, binary, url, runs)); err != nil {
		return err
	}
	return r.compare()
}

func (p wirePeer) do(ctx context.Context, statements ...string) error {
	c, err := pgconn.Connect(ctx, p.url)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	defer c.Close(ctx)
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%s: %s: %w", p.name, sql, err)
		}
	}
	return nil
}

// wireCase is one kind of round trip: a query of one value, asked over some connections. A kept one is prepared once on each connection and
// then executed with the parameter $1.
type wireCase struct {
	name  string
	conns int
	sql   string
	kept  bool
	want  string
}

const (
	wireFloor = 1.5
	wireArg   = "b" // $1 of the kept statements
)

var wireCases = []wireCase{
	{"simple, SELECT 1", 1, "SELECT 1", false, "1"},
	{"simple, a sum over a table of 8 rows", 1, "SELECT sum(count) FROM small WHERE x = 'b'", false, "291"},
	{"simple, the same, 8 connections", 8, "SELECT sum(count) FROM small WHERE x = 'b'", false, "291"},
	{"extended, kept, SELECT $1", 1, "SELECT $1::text", true, wireArg},
	{"extended, kept, the sum with $1", 1, "SELECT sum(count)::int8 FROM small WHERE x = $1", true, "291"},
	{"extended, kept, the same, 8 connections", 8, "SELECT sum(count)::int8 FROM small WHERE x = $1", true, "291"},
}

// wireClient is a program that asks, and how it measures a case at one server.
type wireClient struct {
	name    string
	single  bool // asks over one connection only
	measure func(w wireCase, ctx context.Context, p wirePeer, span time.Duration) (rate, latency float64, err error)
}

// ask asks once and checks what comes back.
func (w wireCase) ask(ctx context.Context, c *pgconn.PgConn) error {
	if !w.kept {
		results, err := c.Exec(ctx, w.sql).ReadAll()
		if err != nil {
			return err
		}
		return oneValue(results[0], w.want)
	}
	r := c.ExecPrepared(ctx, "s", [][]byte{[]byte(wireArg)}, nil, nil).Read()
	if r.Err != nil {
		return r.Err
	}
	return oneValue(r, w.want)
}

func oneValue(r *pgconn.Result, want string) error {
	if len(r.Rows) != 1 || string(r.Rows[0][0]) != want {
		return fmt.Errorf("%q is not %s", r.Rows, want)
	}
	return nil
}

// compare asks the servers in turns and prints the ratios of their rates.
func (w wireCase) compare(ctx context.Context, client wireClient, peers []wirePeer, span time.Duration, rounds int) error {
	if w.conns > 1 { // each of the connections without work would poll, and take the cores from the client
		peers = slices.DeleteFunc(slices.Clone(peers), func(p wirePeer) bool { return p.name == workless })
	}
	ratios := map[string][]float64{}
	for range rounds {
		rates := map[string]float64{}
		for _, p := range peers {
			rate, latency, err := client.measure(w, ctx, p, span)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			rates[p.name] = rate
			fmt.Printf("%-11s %-42s %9.0f queries/s   %7.1f µs\n", p.name, w.name, rate, latency)
		}
		for name, rate := range rates {
			ratios[name] = append(ratios[name], rate/rates["PostgreSQL"])
		}
	}
	if of := ratios[workless]; len(of) > 0 {
		slices.Sort(of)
		fmt.Printf("A server without work: %.2f times PostgreSQL (median of rounds with %.2f)\n", of[len(of)/2], of)
	}
	printRatio(w.name, ratios["Quipu"], wireFloor)
	return nil
}

func printRatio(name string, ratios []float64, floor float64) {
	slices.Sort(ratios)
	verdict := "held"
	if median := ratios[len(ratios)/2]; median < floor {
		verdict = "MISSED"
	}
	fmt.Printf("Quipu: %.2f times PostgreSQL in %s (floor %.1f %s; median of rounds with %.2f)\n\n", ratios[len(ratios)/2], name, floor, verdict, ratios)
}

// measure asks with pgx's pgconn, a goroutine to each connection, checks every answer, and gives the queries a second and the median of a query's µs.
func (w wireCase) measure(ctx context.Context, p wirePeer, span time.Duration) (rate, p50 float64, err error) {
	conns := make([]*pgconn.PgConn, w.conns)
	for i := range conns {
		if conns[i], err = pgconn.Connect(ctx, p.url); err != nil {
			return 0, 0, err
		}
		defer conns[i].Close(ctx)
		if w.kept {
			if _, err := conns[i].Prepare(ctx, "s", w.sql, nil); err != nil {
				return 0, 0, err
			}
		}
		for range 200 { // warm
			if err := w.ask(ctx, conns[i]); err != nil {
				return 0, 0, err
			}
		}
	}
	times := make([][]time.Duration, len(conns))
	errs := make([]error, len(conns))
	began := time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			for last := time.Now(); last.Sub(began) < span && errs[i] == nil; {
				errs[i] = w.ask(ctx, c)
				now := time.Now()
				times[i] = append(times[i], now.Sub(last))
				last = now
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	all := slices.Concat(times...)
	slices.Sort(all)
	return float64(len(all)) / elapsed.Seconds(), float64(all[len(all)/2].Nanoseconds()) / 1000, errors.Join(errs...)
}

// compareCopy loads the same CSV into both, in turns, and holds the tables to its rows. The time ends with the acknowledgement, when the
// rows are durable.
func compareCopy(ctx context.Context, peers []wirePeer, csv []byte, rounds int) error {
	rows := int64(bytes.Count(csv, []byte("\n")) - 1)
	var ratios []float64
	for range rounds {
		rates := map[string]float64{}
		for _, p := range peers {
			if err := p.do(ctx, p.empty...); err != nil {
				return err
			}
			elapsed, err := p.load(ctx, csv, rows)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			rates[p.name] = float64(rows) / elapsed.Seconds()
			fmt.Printf("%-11s %-42s %9.0f rows/s\n", p.name, fmt.Sprintf("COPY of %d rows of CSV", rows), rates[p.name])
		}
		ratios = append(ratios, rates["Quipu"]/rates["PostgreSQL"])
	}
	printRatio("COPY", ratios, 4)
	return nil
}

func (p wirePeer) load(ctx context.Context, csv []byte, rows int64) (time.Duration, error) {
	c, err := pgconn.Connect(ctx, p.url)
	if err != nil {
		return 0, err
	}
	defer c.Close(ctx)
	began := time.Now()
	tag, err := c.CopyFrom(ctx, bytes.NewReader(csv), "COPY loaded (d0, d1, d2, d3) FROM STDIN (FORMAT csv, HEADER)")
	elapsed := time.Since(began)
	if err != nil {
		return 0, err
	}
	counted := "SELECT sum(count) FROM loaded"
	if p.name == "PostgreSQL" {
		counted = strings.Replace(counted, "sum(count)", "count(*)", 1)
	}
	results, err := c.Exec(ctx, counted).ReadAll()
	if err != nil {
		return 0, err
	}
	if tag.RowsAffected() != rows {
		return 0, fmt.Errorf("%s of %d rows", tag, rows)
	}
	return elapsed, oneValue(results[0], fmt.Sprint(rows))
}
