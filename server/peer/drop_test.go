package peer

import (
	"testing"

	"google.golang.org/grpc/connectivity"

	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// A node is dropped with a part on its way to it and a snapshot held there. The part is counted and the snapshot lasts; then the connection ends. A later
// part is refused as one that may go elsewhere, and who asks for the node again gets another connection.
func TestDroppedNodeIsLetGoOfInPeace(t *testing.T) {
	w := newNetwork(t)
	_, h := w.node("a", Options{}, 2)
	c := w.client(nil)
	n := w.at(c, "a")
	fill(t, 3, h.shards[2])
	snap, err := n.Read(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	s := h.shards[2]
	s.wait = make(chan struct{})
	pending := n.Propose(2, partOf(1))
	c.Drop("a")
	c.Drop("nobody")
	if n.conn.Closed() {
		t.Fatal("the connection was closed under a part")
	}
	if _, err := n.Propose(2, partOf(2)).Wait(t.Context()); errcode.From(err).Code != errcode.Unavailable || !errcode.From(err).Retryable() {
		t.Errorf("a part that came later: %v", err)
	}
	if _, err := n.Propose(7, partOf(2)).Wait(t.Context()); errcode.From(err).Code != errcode.Unavailable {
		t.Errorf("a part for another shard: %v", err)
	}
	close(s.wait)
	if out, err := pending.Wait(t.Context()); err != nil || out.Index != 1 {
		t.Errorf("the part on its way: %+v, %v", out, err)
	}
	worker, err := snap.Open(chi(plan.ModeCells), exec.Options{Memory: exec.NewBudget(1 << 30)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.First(t.Context()); err != nil {
		t.Errorf("a fragment on the snapshot: %v", err)
	}
	worker.Close()
	if n.conn.Closed() {
		t.Error("the connection was closed under a snapshot")
	}
	snap.Release()
	for state := n.conn.GetState(); state != connectivity.Shutdown; state = n.conn.GetState() {
		if !n.conn.WaitForStateChange(t.Context(), state) {
			t.Fatal("the connection was not closed")
		}
	}
	if err := n.Interrupt(t.Context(), 1, nil); errcode.From(err).Code != errcode.Unavailable {
		t.Errorf("a call after the end: %v", err)
	}
	other := w.at(c, "a")
	if out, err := other.Propose(schema.ShardID(2), partOf(3)).Wait(t.Context()); err != nil || out.Index != 3 || other == n {
		t.Errorf("over another connection: %+v, %v", out, err)
	}
}
