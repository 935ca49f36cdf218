package counter

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/fsmtest"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// model is exactly-once with maps and without a thought for memory: what the machine must be equal to.
type model struct {
	low      map[windowKey]uint64
	answered map[windowKey]map[uint64]PartResult
	dead     func(windowKey) bool
	counts   map[string]int64
}

func newModel() *model {
	return &model{low: map[windowKey]uint64{}, answered: map[windowKey]map[uint64]PartResult{}, counts: map[string]int64{},
		dead: func(windowKey) bool { return false }}
}

func (m *model) clone() *model {
	c := &model{low: maps.Clone(m.low), answered: map[windowKey]map[uint64]PartResult{}, dead: m.dead, counts: maps.Clone(m.counts)}
	for k, v := range m.answered {
		c.answered[k] = maps.Clone(v)
	}
	return c
}

// stamp tests and marks one part.
func (m *model) stamp(p command.Part) PartResult {
	k := keyOf(&p)
	if m.dead(k) {
		return PartResult{Code: fsm.SessionExpired}
	}
	m.low[k] = max(m.low[k], p.AckUpTo)
	low := m.low[k]
	if p.Seq <= low {
		return PartResult{Code: fsm.Stale, Value: int64(low)}
	}
	if r, ok := m.answered[k][p.Seq]; ok {
		r.Duplicate = true
		return r
	}
	if p.Seq > low+WindowSize {
		return PartResult{Code: fsm.WindowFull, Value: int64(low)}
	}
	if m.answered[k] == nil {
		m.answered[k] = map[uint64]PartResult{}
	}
	m.answered[k][p.Seq] = PartResult{}
	return PartResult{}
}

// apply gives what an entry of these parts must answer, and changes the model accordingly.
func (m *model) apply(parts []command.Part, rows []cell) (results []PartResult, applied bool) {
	next := m.clone()
	refused := false
	for _, p := range parts {
		r := next.stamp(p)
		results = append(results, r)
		refused = refused || r != PartResult{}
	}
	sums := map[string]int64{}
	for _, row := range rows {
		sums[fmt.Sprint(row.values)] += row.delta
	}
	below := false
	for k, delta := range sums {
		next.counts[k] += delta
		below = below || next.counts[k] < 0
	}
	switch {
	case refused, below && len(parts) > 1:
		for i := range results {
			if results[i] == (PartResult{}) {
				results[i].Code = fsm.EntryRefused
			}
		}
		return results, false
	case below:
		next.counts = m.counts
		next.answered[keyOf(&parts[0])][parts[0].Seq] = PartResult{Code: fsm.BelowZero}
		*m = *next
		return []PartResult{{Code: fsm.BelowZero}}, false
	}
	*m = *next
	return results, true
}

// writer is a session that stamps, retries and acknowledges in no order at all.
type writer struct {
	kind    command.PartKind
	id      uint64
	home    schema.ShardID
	seq     uint64
	ackUpTo uint64
}

func (w *writer) part(rng *rand.Rand) command.Part {
	if rng.IntN(3) > 0 {
		w.seq++
		if rng.IntN(40) == 0 {
			w.seq += rng.Uint64N(2 * WindowSize)
		}
	}
	if rng.IntN(4) == 0 {
		w.ackUpTo += rng.Uint64N(max(1, w.seq-w.ackUpTo+1))
	}
	p := command.Part{Kind: w.kind, Session: w.id, Home: w.home, Seq: w.seq, AckUpTo: w.ackUpTo, MapVersion: 1}
	if rng.IntN(3) == 0 { // an old one again, or out of order
		p.Seq -= rng.Uint64N(min(p.Seq, 30))
		p.Seq = max(p.Seq, 1)
		p.AckUpTo = rng.Uint64N(p.AckUpTo + 1)
	}
	if w.kind == command.Key {
		p.KeyShard, p.Expires = 3, t0+1e9
	}
	return p
}

func TestSessionsAgainstModel(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		r, want := ready(t), newModel()
		var ended deadSet
		want.dead = func(k windowKey) bool { return k.space == sessionSpace && ended.has(k.id) }
		var writers []*writer
		for i := range uint64(6) {
			kind := []command.PartKind{command.Ordinary, command.Durable, command.Key}[i%3]
			writers = append(writers, &writer{kind: kind, id: 10 + 2*i, home: schema.ShardID(i % 2), seq: 1})
		}
		for step := range 1500 {
			parts := make([]command.Part, 1+rng.IntN(3)*rng.IntN(2))
			for i := range parts {
				parts[i] = writers[rng.IntN(len(writers))].part(rng)
			}
			rows := make([]cell, 1+rng.IntN(4))
			for i := range rows {
				rows[i] = ab(fmt.Sprint(rng.IntN(6)), fmt.Sprint(rng.IntN(3)), 1+rng.Int64N(6)-3*rng.Int64N(2))
				if rows[i].delta == 0 {
					rows[i].delta = 1
				}
			}
			results, applied := want.apply(parts, rows)
			got := r.add(t0, parts, plain(rows...))
			if got.Applied != applied {
				t.Fatalf("step %d: %+v %v: applied=%v, want %v: %+v", step, parts, rows, got.Applied, applied, got.Parts)
			}
			for i := range results {
				if got.Parts[i].Code == fsm.BelowZero {
					got.Parts[i].Value = 0 // the model does not say how far
				}
				if got.Parts[i] != results[i] {
					t.Fatalf("step %d part %d: %+v: got %+v, want %+v", step, i, parts[i], got.Parts[i], results[i])
				}
			}
			switch rng.IntN(120) {
			case 0:
				w := writers[rng.IntN(len(writers))]
				x := command.DeadIDs{Ranges: []command.Range{{From: w.id, To: w.id}}}
				ended.join(x)
				r.must(&command.ExpireSessions{Ordinary: x, Durable: x})
				w.id, w.seq, w.ackUpTo = 100+uint64(step), 1, 0
			case 1:
				r.Checkpoint()
				r.Crash()
			}
		}
		for k, n := range want.counts {
			var a, b string
			fmt.Sscanf(k, "[%s %s", &a, &b)
			if got := r.count(7, 0, a, b[:len(b)-1]); got != n {
				t.Errorf("cell %s: %d, want %d", k, got, n)
			}
		}
	}
}

// randomLog is a log of all commands that a shard takes, good and bad, built against the dictionaries of rig r, which applies it.
func randomLog(r *rig, rng *rand.Rand, n int) [][]byte {
	var frames [][]byte
	put := func(data []byte) any {
		frames = append(frames, data)
		return r.Batch(data)[0]
	}
	encode := func(c command.Command, stamp int64) []byte {
		c.SetStamp(stamp)
		data, err := command.Encode(c)
		if err != nil {
			r.t.Fatal(err)
		}
		return data
	}
	now := int64(t0)
	put(encode(&command.TermStart{}, now))
	put(encode(command.SlotsOf(schema.EvenSlotMap(1), 0), now))
	put(encode(&command.SetTable{Table: plainTable(7)}, now))
	put(encode(&command.SetTable{Table: windowedTable(8)}, now))
	version, dims := uint64(1), 2
	keyID, keyExpires := uint64(0), int64(0)
	for range n {
		now += rng.Int64N(60_000)
		part := ordinary(1+rng.Uint64N(6), 1+rng.Uint64N(80))
		part.AckUpTo = rng.Uint64N(1 + part.Seq/8)
		values := func(n int) []string {
			v := make([]string, n)
			for d := range v {
				if v[d] = fmt.Sprint(rng.IntN(20)); rng.IntN(10) == 0 {
					v[d] = null
				}
			}
			return v
		}
		switch rng.IntN(24) {
		case 0:
			put(encode(&command.ExpireSessions{Ordinary: command.DeadIDs{Watermark: rng.Uint64N(3), Ranges: []command.Range{{From: 5, To: 5 + rng.Uint64N(3)}}}}, now))
		case 1:
			if dims < 5 {
				version, dims = version+1, dims+1
				t := plainTable(7)
				t.Version = version
				for d := 2; d < dims; d++ {
					dim := text(string(rune('a' + d)))
					if d%2 == 0 {
						dim.Default = schema.V("default")
					}
					t.Dims = append(t.Dims, dim)
				}
				put(encode(&command.SetTable{Table: t}, now))
			}
		case 2:
			put(encode(&command.DropWindows{ID: 8, Before: now/1000 - rng.Int64N(50)*3600}, now))
		case 3:
			key := fmt.Sprint("k", rng.IntN(5))
			begun := put(encode(&command.KeyBegin{Principal: "ann", Key: key, BodyHash: [32]byte{byte(rng.IntN(2))}, TTL: rng.Int64N(600_000)}, now)).(*KeyResult)
			if begun.Refusal == nil {
				keyID, keyExpires = begun.ID, begun.Expires
				put(encode(&command.KeyFinish{Principal: "ann", Key: key, ID: keyID, Response: []byte{1, 2}}, now))
			}
		case 4:
			if keyID != 0 {
				p := command.Part{Kind: command.Key, Session: keyID, Seq: 1 + rng.Uint64N(3), MapVersion: 1, Expires: keyExpires}
				put(r.encode(now, one(p), cells{7, version, []cell{{0, values(dims), 1}}}))
			}
		case 5:
			now += rng.Int64N(12 * 3_600_000)
			put(encode(&command.Tick{}, now))
		case 6, 7, 8:
			window := now / 3_600_000 * 3600
			put(r.encode(now, one(part), cells{8, 1, []cell{{window - rng.Int64N(60)*3600, values(2), 1 + rng.Int64N(5)}}}))
		default:
			rows := make([]cell, 1+rng.IntN(30))
			for i := range rows {
				rows[i] = cell{0, values(dims), 1 + rng.Int64N(9)}
				if rng.IntN(80) == 0 {
					rows[i].delta = -3 // more than most cells hold
				}
			}
			parts := one(part)
			if rng.IntN(3) == 0 {
				parts = append(parts, ordinary(20, 1+rng.Uint64N(500)))
			}
			put(r.encode(now, parts, cells{7, version, rows}))
		}
	}
	return frames
}

// TestReplay: one log gives one state, on replicas that batch it otherwise, crash on the way, or start from a streamed state.
func TestReplay(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 0))
		first := newRig(t)
		frames := randomLog(first, rng, 400)
		first.Checkpoint()
		middle := len(frames) / 2

		again, crashing, follower := newRig(t), newRig(t), newRig(t)
		again.Batch(frames...)
		for crashing.Index < uint64(len(frames)) {
			rest := frames[crashing.Index:]
			crashing.Batch(rest[:min(1+rng.IntN(60), len(rest))]...)
			if rng.IntN(3) == 0 {
				crashing.Checkpoint()
			}
			if rng.IntN(3) == 0 {
				crashing.Crash()
			}
		}
		leader := newRig(t)
		leader.Batch(frames[:middle]...)
		stream(t, leader, follower)
		follower.Batch(frames[middle:]...)

		want := first.Hash()
		for name, r := range map[string]*rig{"one batch": again, "crashes": crashing, "through a stream": follower} {
			if r.Halted != nil {
				t.Fatalf("%s: halted: %v", name, r.Halted)
			}
			if r.Hash() != want {
				t.Errorf("%s: another state\n%s", name, firstDifference(fsmtest.Dump(t, first.Store), fsmtest.Dump(t, r.Store)))
			}
		}
		if s := first.m.Status(); s.Parts < 50 || s.Refused == 0 || s.Duplicates == 0 || s.Windows == 0 {
			t.Errorf("the log does not exercise the machine: %+v", s)
		}
	}
}

// stream sends the state of one replica to another.
func stream(t *testing.T, from, to *rig) {
	t.Helper()
	out, err := from.Store.Export(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	in, err := to.Store.Import(context.Background(), out)
	if err == nil {
		err = to.Store.Install(in)
	}
	if err == nil {
		to.Reload()
		to.Index = to.Store.Applied().Index
	}
	if err != nil {
		t.Fatal(err)
	}
}

func firstDifference(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%q\n%q", a[max(0, i-80):min(len(a), i+80)], b[max(0, i-80):min(len(b), i+80)])
		}
	}
	return fmt.Sprintf("%d and %d bytes", len(a), len(b))
}
