package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// tablesKept are as many tables beside the ledger as there are at a time.
const tablesKept = 4

// tablesClient makes a table, counts once on every shard and goes on to the next. What was acknowledged of it must be there to the end, or
// until the client drops it.
func (s *simulation) tablesClient(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.seed, 5000))
	for k := 0; ctx.Err() == nil; k++ {
		if old := fmt.Sprint("t", k-tablesKept); k >= tablesKept {
			delete(s.acked, old)
			s.define(ctx, r, "DROP TABLE IF EXISTS "+old)
		}
		name := fmt.Sprint("t", k)
		if !s.define(ctx, r, "CREATE TABLE IF NOT EXISTS "+name+" (place text, writer text) WITH (partition_by = 'place')") {
			return
		}
		if w := s.session(ctx, r.IntN(len(s.names))); w != nil {
			s.acked[name] = s.countIn(ctx, r, w, name)
			s.over(ctx, w, r)
		}
		_ = pause(ctx, time.Duration(r.IntN(600))*time.Millisecond)
	}
}

// define has a statement carried out, under whatever name its outcome has got meanwhile.
func (s *simulation) define(ctx context.Context, r *rand.Rand, sql string) bool {
	for ctx.Err() == nil {
		err := s.call(ctx, r.IntN(len(s.names)), 3*time.Second, func(ctx context.Context, n *Node) error {
			return n.queries().Query(ctx, &rpc.Query{Principal: "local", Database: "quipu", SQL: sql}, &rows{})
		})
		if err == nil {
			return true
		}
		if !passes(err) && codeOf(err) != errcode.UnknownTable { // dropped by the try before
			s.t.Errorf("%s: %v", sql, err)
			return false
		}
		_ = pause(ctx, 100*time.Millisecond)
	}
	return false
}

// countIn counts once in two cells on each shard, and gives the number of shards that have acknowledged it.
func (s *simulation) countIn(ctx context.Context, r *rand.Rand, w *writer, table string) (acked int64) {
	for _, place := range s.where {
		w.seq++
		b := s.batch(w, []string{place}, "t", 1)
		b.Table = schema.Name{Table: table}
		for ctx.Err() == nil {
			var res *router.Result
			err := s.call(ctx, r.IntN(len(s.names)), 2*time.Second, func(ctx context.Context, n *Node) (err error) {
				res, err = n.Write(ctx, b)
				return err
			})
			if err == nil && len(res.Refused) > 0 {
				err = res.Refused[0].Err
			}
			if err == nil {
				acked++
				break
			}
			if !passes(err) && codeOf(err) != errcode.SchemaChanged {
				s.t.Errorf("count in %s: %v", table, err)
				return acked
			}
			_ = pause(ctx, 50*time.Millisecond)
		}
	}
	return acked
}

// readTables reads what is left of the tables.
func (s *simulation) readTables() {
	for name, acked := range s.acked { // any order: each is by itself
		var got *ledgerRows
		var err error
		for try := range 10 {
			got = &ledgerRows{}
			err = s.call(s.t.Context(), try, 10*time.Second, func(ctx context.Context, n *Node) error {
				return n.queries().Query(ctx, &rpc.Query{Principal: "local", Database: "quipu", SQL: "SELECT place, writer, sum(count) FROM " + name + " GROUP BY place, writer"}, got)
			})
			if err == nil || !passes(err) {
				break
			}
			_ = pause(s.t.Context(), time.Second)
		}
		sum := int64(0)
		for _, row := range got.rows {
			sum += row.count
		}
		if err != nil || sum < 2*acked || sum > 2*int64(s.world.shards) {
			s.t.Errorf("table %s holds %d, and %d shards have acknowledged 2 each: not what was promised; %v", name, sum, acked, err)
		}
	}
}
