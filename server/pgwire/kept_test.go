package pgwire

import (
	"context"
	"testing"
	"time"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// elsewhere is a source whose shards are opened where they are, as those of a node are.
type elsewhere struct{ opened int }

func (e *elsewhere) Snapshot(context.Context, query.Read) (*query.Snapshot, error) {
	return &query.Snapshot{Shards: []exec.Shard{{ID: 0, Snapshot: e}, {ID: 1, Snapshot: e}}, Release: func() {}}, nil
}

func (e *elsewhere) Open(*plan.Fragment, exec.Options) (exec.Worker, error) {
	e.opened++
	return nil, nil
}

func TestKeptSnapshotOpensShardsWhereTheyAre(t *testing.T) {
	from := &elsewhere{}
	k := &kept{c: &conn{s: &Server{o: Options{Source: from, BlockTimeout: time.Minute}}}}
	defer k.end()
	snap, err := k.take(t.Context(), query.Read{Shards: []schema.ShardID{1}})
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	if len(snap.Shards) != 1 || snap.Shards[0].ID != 1 || snap.Shards[0].Snapshot == nil {
		t.Fatalf("shards %+v", snap.Shards)
	}
	if _, err := snap.Shards[0].Snapshot.Open(nil, exec.Options{}); err != nil || from.opened != 1 {
		t.Errorf("opened %d times, %v", from.opened, err)
	}
}
