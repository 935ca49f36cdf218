package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage/schema"
)

// fakeView is a catalog of one table.
type fakeView struct {
	table *schema.Table
	slots *schema.SlotMap
}

func (v *fakeView) Table(n schema.Name) *schema.Table {
	if v.table.Name == n {
		return v.table
	}
	return nil
}
func (v *fakeView) Tables() []*schema.Table  { return []*schema.Table{v.table} }
func (v *fakeView) SlotMap() *schema.SlotMap { return v.slots }
func (v *fakeView) Session(id uint64) (Session, bool) {
	return Session{Principal: "ann", Durable: id == 8}, id == 7 || id == 8
}

// counted is one part as a shard saw it.
type counted struct {
	stamp command.Part
	sum   int64
}

// fakeNode is catalog, shards and own stamps at once. Its shards are real proposers over a log that only remembers.
type fakeNode struct {
	t         *testing.T
	view      *fakeView
	fresh     *schema.Table // what a refresh brings
	refreshes int
	proposers []*replica.Proposer

	mu       sync.Mutex // guards the fields below
	parts    map[schema.ShardID][]counted
	behind   map[schema.ShardID]bool
	stubborn bool // CatchUp changes nothing
	refuse   map[schema.ShardID]*errcode.Error
	keys     map[string]*fakeKey
	begun    []uint64
	ended    []uint64
}

type fakeKey struct {
	rec  KeyRecord
	hash [32]byte
}

type done struct{ n int }

func (done) Error() error    { return nil }
func (done) Index() uint64   { return 9 }
func (d done) Response() any { return d.n }

type noDict struct{}

func (noDict) Lookup(int, string) (uint32, bool) { return 0, false }
func (noDict) Len(int) uint32                    { return 0 }

func newFakeNode(t *testing.T, shards int) (*fakeNode, *Router) {
	table := &schema.Table{ID: 4, Version: 2, Name: schema.Name{Database: "quipu", Schema: "public", Table: "admissions"}, PartitionBy: []int{0}, Measures: 1,
		Dims: []schema.Dimension{{Name: "dept", Type: schema.Text, Default: schema.V("none")}, {Name: "gender", Type: schema.Text, NotNull: true, Default: schema.Null}}}
	n := &fakeNode{t: t, view: &fakeView{table: table, slots: schema.EvenSlotMap(shards)}, parts: map[schema.ShardID][]counted{},
		behind: map[schema.ShardID]bool{}, refuse: map[schema.ShardID]*errcode.Error{}, keys: map[string]*fakeKey{}}
	for i := range shards {
		p := n.proposer(schema.ShardID(i))
		t.Cleanup(p.Close)
		n.proposers = append(n.proposers, p)
	}
	return n, New(Options{Meta: n, Shards: n, Own: n, Keys: n.record})
}

func (n *fakeNode) proposer(id schema.ShardID) *replica.Proposer {
	return replica.NewProposer(replica.ProposerOptions{
		Shard: id,
		Apply: func(data []byte) replica.Future { return done{n.apply(id, data)} },
		Stamp: func() int64 { return 1 },
		Admit: func() error { return nil },
		Room:  func(context.Context) error { return nil },
		Cells: func() int { return math.MaxInt },
		Pass:  func(context.Context, uint64) error { return nil },
		Dict: func(schema.TableID, uint64) (replica.Dict, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.behind[id] {
				return nil, replica.ErrBehind
			}
			return noDict{}, nil
		},
		Read: func(r any) ([]replica.Verdict, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			return slices.Repeat([]replica.Verdict{{Err: n.refuse[id]}}, r.(int)), nil
		},
		Seen: func(command.Part) (replica.Verdict, uint64, bool) { return replica.Verdict{}, 0, false },
	})
}

func (n *fakeNode) apply(id schema.ShardID, data []byte) int {
	c, err := command.Decode(data)
	if err != nil {
		n.t.Error(err)
		return 0
	}
	add := c.(*command.Add)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range add.Parts {
		var cells command.Cells
		if err := add.Groups[0].Scan(&cells); err != nil {
			n.t.Error(err)
		}
		n.parts[id] = append(n.parts[id], counted{stamp: p, sum: int64(cells.Positive) - int64(cells.Negative)})
	}
	return len(add.Parts)
}

func (n *fakeNode) View() View { return n.view }

func (n *fakeNode) Refresh(context.Context) error {
	n.refreshes++
	if n.fresh != nil {
		n.view = &fakeView{table: n.fresh, slots: n.view.slots}
	}
	return nil
}

func (n *fakeNode) Propose(id schema.ShardID, p *replica.Part) Pending {
	return n.proposers[id].Propose(p)
}

func (n *fakeNode) CatchUp(_ context.Context, id schema.ShardID, _ *schema.Table) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.behind[id] = n.stubborn
	return nil
}

// Command keeps the records of keys as a shard does.
func (n *fakeNode) Command(_ context.Context, id schema.ShardID, c command.Command) (any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch c := c.(type) {
	case *command.KeyBegin:
		name := fmt.Sprint(id, c.Principal, c.Key)
		k := n.keys[name]
		if k == nil {
			k = &fakeKey{rec: KeyRecord{ID: uint64(len(n.keys) + 1), Expires: 77}, hash: c.BodyHash}
			n.keys[name] = k
		}
		if k.hash != c.BodyHash {
			return nil, errcode.New(errcode.KeyReused, "another body")
		}
		return k.rec, nil
	case *command.KeyFinish:
		k := n.keys[fmt.Sprint(id, c.Principal, c.Key)]
		k.rec.Done, k.rec.Response = true, c.Response
		return k.rec, nil
	}
	return nil, fmt.Errorf("unexpected %v", c.Kind())
}

func (n *fakeNode) record(answer any) (KeyRecord, error) { return answer.(KeyRecord), nil }

func (n *fakeNode) Begin(context.Context) (uint64, uint64, uint64, error) {
	n.begun = append(n.begun, uint64(len(n.begun)+1))
	return 99, uint64(len(n.begun)), 0, nil
}

func (n *fakeNode) End(_, seq uint64) { n.ended = append(n.ended, seq) }

// sum is what all shards counted.
func (n *fakeNode) sum() (sum int64) {
	for _, parts := range n.parts {
		for _, p := range parts {
			sum += p.sum
		}
	}
	return sum
}

func values(texts ...string) []schema.Value {
	out := []schema.Value{schema.Null}
	for _, s := range texts {
		out = append(out, schema.V(s))
	}
	return out
}

// manyDepts has one row for each of n departments.
func manyDepts(n int) *Batch {
	b := &Batch{Principal: "ann", Session: 7, Seq: 1, Table: schema.Name{Table: "admissions"},
		Dims: []Column{{Name: "gender", Dict: values("f")}, {Name: "dept", Dict: values()}}}
	for i := range n {
		b.Dims[0].Codes = append(b.Dims[0].Codes, 1)
		b.Dims[1].Dict = append(b.Dims[1].Dict, schema.V(fmt.Sprint("dept ", i)))
		b.Dims[1].Codes = append(b.Dims[1].Codes, uint32(i+1))
	}
	return b
}

func TestBatchIsSplitByOwner(t *testing.T) {
	n, r := newFakeNode(t, 4)
	b := manyDepts(100)
	res, err := r.Write(t.Context(), b)
	if err != nil || len(res.Receipts) != 4 || len(res.Refused) != 0 || res.MapVersion != n.view.slots.Version {
		t.Fatalf("%+v, %v", res, err)
	}
	if n.sum() != 100 {
		t.Errorf("%d counted of 100", n.sum())
	}
	for id, parts := range n.parts {
		if len(parts) != 1 || parts[0].stamp.Home != id || parts[0].stamp.Session != 7 || parts[0].stamp.Kind != command.Ordinary {
			t.Errorf("shard %d: %+v", id, parts)
		}
	}
	b.Session = 8
	if _, err := r.Write(t.Context(), b); err != nil || n.parts[0][1].stamp.Kind != command.Durable {
		t.Errorf("a durable session: %v", err)
	}
}

// The column of the partition key is left out: every row has the default, and goes to one shard, once.
func TestColumnLeftOutHasItsDefault(t *testing.T) {
	n, r := newFakeNode(t, 4)
	b := manyDepts(10)
	b.Dims = b.Dims[:1]
	res, err := r.Write(t.Context(), b)
	if err != nil || len(res.Receipts) != 1 || n.sum() != 10 {
		t.Errorf("%+v, %v, %d counted of 10", res, err, n.sum())
	}
}

func TestRefusalNamesTheRowsOfItsShard(t *testing.T) {
	n, r := newFakeNode(t, 4)
	n.refuse[2] = errcode.New(errcode.BelowZero, "below zero")
	res, err := r.Write(t.Context(), manyDepts(100))
	if err != nil || len(res.Receipts) != 3 || len(res.Refused) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	f := res.Refused[0]
	if f.Shard != 2 || int64(len(f.Rows)) != n.parts[2][0].sum || !slices.IsSorted(f.Rows) || errcode.From(f.Err).Code != errcode.BelowZero {
		t.Errorf("%+v", f)
	}
}

func TestShardThatIsBehindCatchesUp(t *testing.T) {
	n, r := newFakeNode(t, 4)
	n.behind[1] = true
	if res, err := r.Write(t.Context(), manyDepts(100)); err != nil || len(res.Receipts) != 4 {
		t.Fatalf("%+v, %v", res, err)
	}
	n.behind[1], n.stubborn = true, true
	res, err := r.Write(t.Context(), manyDepts(100))
	if err != nil || len(res.Refused) != 1 || errcode.From(res.Refused[0].Err).Code != errcode.SchemaChanged {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestBatchWithoutStampGoesUnderAnOwnOne(t *testing.T) {
	n, r := newFakeNode(t, 2)
	b := manyDepts(3)
	b.Session, b.Seq = 0, 0
	for range 2 {
		if _, err := r.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if n.sum() != 6 || len(n.begun) != 2 || !slices.Equal(n.begun, n.ended) {
		t.Errorf("%d counted; stamps %v begun, %v ended", n.sum(), n.begun, n.ended)
	}
}

func TestKeyIsWrittenOnceAndReplayed(t *testing.T) {
	n, r := newFakeNode(t, 4)
	n.refuse[2] = errcode.New(errcode.BelowZero, "below zero")
	b := manyDepts(50)
	b.Session, b.Seq, b.Key = 0, 0, "order 17"
	first, err := r.Write(t.Context(), b)
	if err != nil || first.Replayed {
		t.Fatalf("%+v, %v", first, err)
	}
	if s := n.parts[0][0].stamp; s.Kind != command.Key || s.Session != 1 || s.Expires != 77 {
		t.Errorf("stamp %+v", s)
	}
	before := n.sum()
	same := manyDepts(50) // the same rows under another dictionary
	same.Session, same.Seq, same.Key = 0, 0, b.Key
	slices.Reverse(same.Dims[1].Dict)
	for i := range same.Dims[1].Codes {
		same.Dims[1].Codes[i] = uint32(len(same.Dims[1].Dict)-1) - same.Dims[1].Codes[i]
	}
	again, err := r.Write(t.Context(), same)
	if err != nil || !again.Replayed || n.sum() != before {
		t.Fatalf("%+v, %v", again, err)
	}
	again.Replayed = false
	x, _ := json.Marshal(remember(first))
	y, _ := json.Marshal(remember(again))
	if string(x) != string(y) {
		t.Errorf("replayed %s, first %s", y, x)
	}
	other := manyDepts(51)
	other.Session, other.Seq, other.Key = 0, 0, b.Key
	if _, err := r.Write(t.Context(), other); errcode.From(err).Code != errcode.KeyReused {
		t.Errorf("another body: %v", err)
	}
}

func TestKeyStaysOpenWhileAPartMaySucceedLater(t *testing.T) {
	n, r := newFakeNode(t, 4)
	n.refuse[2] = errcode.New(errcode.Busy, "busy")
	b := manyDepts(50)
	b.Session, b.Seq, b.Key = 0, 0, "k"
	if res, err := r.Write(t.Context(), b); err != nil || len(res.Refused) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	n.refuse[2] = nil
	if res, err := r.Write(t.Context(), b); err != nil || res.Replayed || len(res.Receipts) != 4 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestErrorsThatRestOnTheCatalogLookAgain(t *testing.T) {
	n, r := newFakeNode(t, 2)
	b := manyDepts(1)
	b.Table.Table = "admisions"
	_, err := r.Write(t.Context(), b)
	if e := errcode.From(err); err == nil || e.Code != errcode.UnknownTable || !strings.Contains(e.Hint, `"admissions"`) || n.refreshes != 1 {
		t.Errorf("%v (%d refreshes)", err, n.refreshes)
	}
	b = manyDepts(1)
	b.TableID, b.TableVersion = 4, 3
	if _, err := r.Write(t.Context(), b); errcode.From(err).Code != errcode.SchemaChanged {
		t.Errorf("%v", err)
	}
	n.fresh = n.view.table.Clone()
	n.fresh.Version = 3
	if _, err := r.Write(t.Context(), b); err != nil {
		t.Errorf("the newest catalog has it: %v", err)
	}
}

func TestBadBatchesChangeNothing(t *testing.T) {
	n, r := newFakeNode(t, 2)
	for name, tc := range map[string]struct {
		change func(*Batch)
		code   errcode.Code
		says   string
	}{
		"unknown column":  {func(b *Batch) { b.Dims[0].Name = "gendre" }, errcode.UnknownColumn, ""},
		"column twice":    {func(b *Batch) { b.Dims[0] = b.Dims[1] }, errcode.DuplicateColumn, "dept"},
		"NOT NULL":        {func(b *Batch) { b.Dims[0].Codes[3] = 0 }, errcode.NotNull, "row 3"},
		"left out":        {func(b *Batch) { b.Dims = b.Dims[1:] }, errcode.NotNull, "gender"},
		"code":            {func(b *Batch) { b.Dims[1].Codes[4] = 900 }, errcode.Invalid, "row 4"},
		"two codes":       {func(b *Batch) { b.Dims[1].Codes[4], b.Dims[1].Codes[5] = 900, 901 }, errcode.Invalid, "2 of 9"},
		"lengths":         {func(b *Batch) { b.Dims[1].Codes = b.Dims[1].Codes[:8] }, errcode.Invalid, "8 codes"},
		"counts":          {func(b *Batch) { b.Counts = []int64{1} }, errcode.Invalid, "1 counts"},
		"foreign session": {func(b *Batch) { b.Principal = "bob" }, errcode.SessionForeign, ""},
		"no session":      {func(b *Batch) { b.Session = 1000 }, errcode.SessionExpired, ""},
		"no seq":          {func(b *Batch) { b.Seq = 0 }, errcode.Invalid, ""},
		"ack":             {func(b *Batch) { b.AckUpTo = 1 }, errcode.Invalid, ""},
		"key":             {func(b *Batch) { b.Session, b.Seq, b.Key = 0, 0, strings.Repeat("k", 256) }, errcode.Invalid, "255"},
	} {
		b := manyDepts(9)
		tc.change(b)
		_, err := r.Write(t.Context(), b)
		if e := errcode.From(err); err == nil || e.Code != tc.code || !strings.Contains(e.Message, tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n.sum() != 0 {
		t.Errorf("%d counted", n.sum())
	}
}

func TestInterruptedWriteIsNoRefusal(t *testing.T) {
	_, r := newFakeNode(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Write(ctx, manyDepts(50)); err != nil && !errors.Is(err, context.Canceled) && errcode.From(err).Code != errcode.Canceled {
		t.Errorf("%v", err)
	}
}
