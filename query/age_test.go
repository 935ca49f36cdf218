package query_test

import (
	"context"
	"testing"
	"time"

	"github.com/quipudb/quipu/query"
)

// slow is a source whose snapshots take a while, in which their instant lies at a place.
type slow struct {
	w     *world
	taken time.Duration // after the statement began; negative: before
	fresh *query.Freshness
}

func (s slow) Snapshot(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	snap, err := s.w.Snapshot(ctx, r)
	snap.Taken, snap.Fresh = s.w.now.Add(s.taken), s.fresh
	s.w.now = s.w.now.Add(10 * time.Millisecond)
	return snap, err
}

// TestAgeIsBeforeTheStatement holds that a read at an instant within its statement is not old, however long it takes.
func TestAgeIsBeforeTheStatement(t *testing.T) {
	w := newWorld(t, 1)
	w.must("CREATE TABLE t (a text)")
	for _, c := range []struct {
		source slow
		want   time.Duration
	}{
		{slow{w: w, taken: 3 * time.Millisecond}, 0},
		{slow{w: w, taken: -2 * time.Second}, 2 * time.Second}, // a transaction that keeps its snapshot
		{slow{w: w, taken: 3 * time.Millisecond, fresh: &query.Freshness{Shards: []query.ShardFreshness{{Age: time.Second}}}}, time.Second},
	} {
		got := &answer{}
		if err := w.engine.Run(t.Context(), query.Request{SQL: "SELECT count(*) FROM t", Source: c.source}, got); err != nil {
			t.Fatal(err)
		}
		if age := got.ends[0].Age; age != c.want {
			t.Errorf("taken %v after its beginning it is %v old, not %v", c.source.taken, age, c.want)
		}
	}
}
