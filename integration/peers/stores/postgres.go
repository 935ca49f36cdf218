package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresConf is PostgreSQL as it comes, on loopback, with more memory than it takes by itself. Durability is untouched:
// fsync, synchronous_commit and full_page_writes are on.
const postgresConf = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 1GB
work_mem = 256MB
max_wal_size = 8GB
`

// debianPostgres is where Debian puts PostgreSQL's programs.
const debianPostgres = "/usr/lib/postgresql/*/bin"

type postgres struct {
	process
	url string
}

func startPostgres(ctx context.Context) (p *postgres, err error) {
	server, err := find("postgres", debianPostgres)
	if err != nil {
		return nil, err
	}
	initdb, err := find("initdb", filepath.Dir(server), debianPostgres)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peer-postgres-")
	if err != nil {
		return nil, err
	}
	p = &postgres{process: process{dir: dir}, url: fmt.Sprintf("postgres://bench@127.0.0.1:%d/postgres", port)}
	defer func() {
		if err != nil {
			p.stop(syscall.SIGINT)
		}
	}()
	data := filepath.Join(dir, "data")
	create := exec.CommandContext(ctx, initdb, "-D", data, "-U", "bench", "--auth", "trust", "-E", "UTF8", "--locale", "C")
	if err := as("postgres", create, dir); err != nil {
		return nil, err
	}
	if out, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conf, "%sport = %d\n", postgresConf, port)
	if err = errors.Join(err, conf.Close()); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(server, "-D", data)
	if err := as("postgres", p.cmd, dir); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, eventually(ctx, func(ctx context.Context) error {
		c, err := pgx.Connect(ctx, p.url)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
}

func runPostgres(ctx context.Context, r *report, b batches, span time.Duration, runs int) error {
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer p.stop(syscall.SIGINT)
	for _, conns := range connections {
		m, err := p.count(ctx, b, span, conns)
		if err != nil {
			return err
		}
		r.line("PostgreSQL", fmt.Sprintf("upsert of unnest, %d obs a transaction, %d conns", batchSize, conns), m)
	}
	if runs == 0 {
		return nil
	}
	return p.query(ctx, r, runs)
}

const upsert = `INSERT INTO cells SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[])
ON CONFLICT (d0, d1, d2, d3) DO UPDATE SET count = cells.count + excluded.count`

// count upserts batches over so many connections and holds the table to what was acknowledged.
func (p *postgres) count(ctx context.Context, b batches, span time.Duration, conns int) (m measured, err error) {
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return m, err
	}
	defer c.Close(ctx)
	for _, sql := range []string{
		"DROP TABLE IF EXISTS cells",
		"CREATE TABLE cells (d0 text, d1 text, d2 text, d3 text, count int8 NOT NULL, PRIMARY KEY (d0, d1, d2, d3))",
		"CHECKPOINT",
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return m, fmt.Errorf("%s: %w", sql, err)
		}
	}
	var senders []func(context.Context, []cell) error
	for range conns {
		c, err := pgx.Connect(ctx, p.url)
		if err != nil {
			return m, err
		}
		defer c.Close(ctx)
		senders = append(senders, func(ctx context.Context, batch []cell) error {
			columns, counts := transposed(batch)
			_, err := c.Exec(ctx, upsert, columns[0], columns[1], columns[2], columns[3], counts)
			return err
		})
	}
	if m, err = b.drive(ctx, span, senders); err != nil {
		return m, err
	}
	var sum int64
	if err := c.QueryRow(ctx, "SELECT sum(count)::int8 FROM cells").Scan(&sum); err != nil {
		return m, err
	}
	if sum != m.acked {
		return m, fmt.Errorf("the table counts %d, %d were acknowledged", sum, m.acked)
	}
	return m, nil
}

func transposed(batch []cell) (columns [dimensions][]string, counts []int64) {
	for _, c := range batch {
		for d, v := range c.values {
			columns[d] = append(columns[d], v)
		}
		counts = append(counts, c.count)
	}
	return columns, counts
}

// The tables are those of `quipu bench query`, from the same formulas.
var postgresTables = []string{
	"CREATE TABLE a AS SELECT 'a' || i AS a, 'b' || j AS b, (1 + (i*31 + j*17 + i*j) % 9)::int8 AS count FROM generate_series(0, 999) i, generate_series(0, 999) j",
	`CREATE TABLE b AS SELECT 'f' || i/4 AS f, (i/2%2)::text AS x, (i%2)::text AS y, 20 + i*i % 65537 * (i % 32749 + 17) % 41 AS count
FROM generate_series(0::int8, 399999) i`,
	"CREATE TABLE c AS SELECT (i/2)::text AS x, (i%2)::text AS y, (100 + 7*i*i)::int8 AS count FROM generate_series(0, 3) i",
	"VACUUM ANALYZE",
}

const fourfold = `n * (a*d - b*c)^2 / ((a+b) * (c+d) * (a+c) * (b+d))`

const fourfoldCells = `sum(count) FILTER (WHERE x = '0' AND y = '0')::float8 AS a, sum(count) FILTER (WHERE x = '0' AND y = '1')::float8 AS b,
sum(count) FILTER (WHERE x = '1' AND y = '0')::float8 AS c, sum(count) FILTER (WHERE x = '1' AND y = '1')::float8 AS d, sum(count)::float8 AS n`

var postgresQueries = map[string]string{
	largeTable: `WITH r AS (SELECT a, sum(count)::float8 AS n FROM a GROUP BY a), c AS (SELECT b, sum(count)::float8 AS n FROM a GROUP BY b),
t AS (SELECT sum(n) AS n FROM r)
SELECT t.n * (sum(a.count::float8 * a.count / (r.n * c.n)) - 1) FROM a JOIN r USING (a) JOIN c USING (b), t GROUP BY t.n`,
	manyTables: `SELECT ` + fourfold + ` AS x2 FROM (SELECT f, ` + fourfoldCells + ` FROM b GROUP BY f) g ORDER BY x2 DESC LIMIT 20`,
	smallTable: `SELECT ` + fourfold + ` FROM (SELECT ` + fourfoldCells + ` FROM c) g`,
}

// query asks for the statistics alone: PostgreSQL has no chi-square distribution. Each statement runs with and without just-in-time
// compilation, and the faster counts.
func (p *postgres) query(ctx context.Context, r *report, runs int) error {
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, sql := range postgresTables {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	for _, name := range queries {
		best := 0.0
		var value float64
		for _, jit := range []string{"on", "off"} {
			if _, err := c.Exec(ctx, "SET jit = "+jit); err != nil {
				return err
			}
			ms, err := median(runs, func() (err error) {
				rows, err := c.Query(ctx, postgresQueries[name])
				if err != nil {
					return err
				}
				values, err := pgx.CollectRows(rows, pgx.RowTo[float64])
				if err == nil {
					value = values[0]
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if best == 0 || ms < best {
				best = ms
			}
		}
		r.query(name, "PostgreSQL", best, value)
	}
	return nil
}
