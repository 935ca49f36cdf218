package server

import (
	"context"
	"testing"

	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// oldMeta shows the metadata of before an ALTER until it is asked to refresh, as a request that began before it sees them.
type oldMeta struct {
	*Node
	old router.View
}

func (m *oldMeta) View() router.View {
	if m.old != nil {
		return m.old
	}
	return m.Node.View()
}

func (m *oldMeta) Refresh(ctx context.Context) error {
	m.old = nil
	return m.Node.Refresh(ctx)
}

// A batch that names columns is counted though the table was altered while it was on its way.
func TestBatchSurvivesAlter(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	table := createTable(t, n)
	s, err := n.OpenSession(t.Context(), "local", false)
	if err != nil {
		t.Fatal(err)
	}
	m := &oldMeta{Node: n}
	r := router.New(router.Options{Meta: m, Shards: n, Own: n.own, Keys: keyRecord})
	m.old = n.View()
	_, err = n.AlterTable(t.Context(), "local", table.Name, rpc.TableChange{
		AddDims: []schema.Dimension{{Name: "year", Type: schema.Text, Default: schema.V("1973")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.old = oldView(t, m.old, s.ID)
	res, err := r.Write(t.Context(), batch(s.ID, 1, 1, 2, 3, 4, 5, 6))
	if err != nil || len(res.Refused) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := total(t, n, table.ID); got != 21 {
		t.Fatalf("total %d, want 21", got)
	}
}

func oldView(t *testing.T, v router.View, session uint64) router.View {
	t.Helper()
	if _, ok := v.Session(session); !ok {
		t.Fatal("the old view does not know the session")
	}
	return v
}
