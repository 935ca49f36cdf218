package integration

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestPgx works as a program of pgx does: rows by CopyFrom, several statements in one batch, statements that are kept, and every type of the
// wire, which pgx asks for in binary.
func TestPgx(t *testing.T) {
	dsn := postgresNode(t)
	ctx := t.Context()
	c, err := pgx.Connect(ctx, "postgres://me@"+postgresAddress(dsn)+"/quipu?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := c.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE TABLE seen (country text, age int8, member bool)")

	t.Run("CopyFrom", func(t *testing.T) {
		const rows = 10_000 // several messages: their borders fall inside of rows
		n, err := c.CopyFrom(ctx, pgx.Identifier{"seen"}, []string{"country", "age", "member", "count"}, pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
			if i%100 == 99 {
				return []any{nil, i % 50, nil, 2}, nil
			}
			return []any{fmt.Sprintf("country %d", i%20), i % 50, i%2 == 0, 1}, nil
		}))
		if err != nil || n != rows {
			t.Fatalf("%d rows, %v", n, err)
		}
		var counted, unknown int64
		if err := c.QueryRow(ctx, "SELECT sum(count), sum(count) FILTER (WHERE country IS NULL) FROM seen").Scan(&counted, &unknown); err != nil || counted != rows+rows/100 || unknown != rows/50 {
			t.Errorf("counted %d, %d without a country, %v", counted, unknown, err)
		}
		_, err = c.CopyFrom(ctx, pgx.Identifier{"seen"}, []string{"country", "nope"}, pgx.CopyFromRows([][]any{{"x", 1}}))
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "42703" {
			t.Errorf("a column that is not there: %v", err)
		}
	})

	t.Run("batch", func(t *testing.T) {
		exec("CREATE TABLE batched (a text, b int8)")
		b := &pgx.Batch{}
		for i := range 100 {
			b.Queue("INSERT INTO batched (a, b) VALUES ($1, $2)", fmt.Sprint(i%3), i)
		}
		b.Queue("SELECT sum(count) FROM batched")
		results := c.SendBatch(ctx, b)
		for range 100 {
			if tag, err := results.Exec(); err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("%v, %v", tag, err)
			}
		}
		var n int64
		if err := results.QueryRow().Scan(&n); err != nil || n != 100 {
			t.Errorf("%d, %v", n, err)
		}
		if err := results.Close(); err != nil {
			t.Error(err)
		}
		b = &pgx.Batch{}
		b.Queue("SELECT 1")
		b.Queue("SELECT nope FROM batched")
		b.Queue("SELECT 2")
		if err := c.SendBatch(ctx, b).Close(); err == nil {
			t.Error("a batch with a mistake succeeds")
		}
		exec("SELECT 1")
	})

	t.Run("kept statements", func(t *testing.T) {
		for i := range 5 { // described once, then run by name
			var n int64
			if err := c.QueryRow(ctx, "SELECT count(*) FROM seen WHERE age >= $1 AND country = ANY ($2) LIMIT $3", i, []string{"country 1", "country 2"}, 1).Scan(&n); err != nil || n == 0 {
				t.Errorf("%d, %v", n, err)
			}
		}
		exec("ALTER TABLE batched ADD COLUMN c text DEFAULT 'new'")
		for range 3 { // one that was kept, of a table that changes: pgx prepares anew
			exec("SELECT * FROM batched LIMIT 1")
		}
	})

	t.Run("types", func(t *testing.T) {
		at := time.Date(2024, 5, 1, 12, 30, 15, 123456000, time.UTC)
		for name, tc := range map[string]struct {
			sql  string
			args []any
			want []any
		}{
			"bool":        {"SELECT $1::bool, NOT $1::bool, NULL::bool", []any{true}, []any{true, false, nil}},
			"int8":        {"SELECT $1::int8, -$1::int8", []any{int64(math.MaxInt64)}, []any{int64(math.MaxInt64), int64(-math.MaxInt64)}},
			"float8":      {"SELECT $1::float8, 'NaN'::float8 <> 1, 'Infinity'::float8, $2::float8", []any{0.1, 5e-324}, []any{0.1, true, math.Inf(1), 5e-324}},
			"text":        {"SELECT $1::text, '', NULL::text", []any{"é\t'\\"}, []any{"é\t'\\", "", nil}},
			"timestamptz": {"SELECT $1::timestamptz, $1::timestamptz + interval '1 hour'", []any{at}, []any{at, at.Add(time.Hour)}},
			"text[]":      {"SELECT $1::text[], ARRAY['a', NULL]", []any{[]string{"x", "y,z", `"`}}, []any{[]any{"x", "y,z", `"`}, []any{"a", nil}}},
			"json":        {"SELECT to_json('a'::text)", nil, []any{"a"}},
		} {
			t.Run(name, func(t *testing.T) {
				rows, err := c.Query(ctx, tc.sql, tc.args...)
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				if !rows.Next() {
					t.Fatal(rows.Err())
				}
				for _, f := range rows.FieldDescriptions() {
					if f.Format != pgtype.BinaryFormatCode && f.DataTypeOID != pgtype.JSONOID && f.DataTypeOID != pgtype.TextOID { // whose bytes are the same
						t.Errorf("column %s of type %d is not in binary", f.Name, f.DataTypeOID)
					}
				}
				got, err := rows.Values()
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range got {
					if at, ok := v.(time.Time); ok {
						got[i] = at.UTC()
					}
				}
				if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", tc.want) {
					t.Errorf("%#v, want %#v", got, tc.want)
				}
			})
		}
	})

	t.Run("block and cursor", func(t *testing.T) {
		err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "DECLARE ages CURSOR FOR SELECT age FROM seen WHERE age < $1 GROUP BY age ORDER BY age", 5); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, "FETCH 3 FROM ages")
			if err != nil {
				return err
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err == nil && fmt.Sprint(got) != "[0 1 2]" {
				t.Errorf("fetched %v", got)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
