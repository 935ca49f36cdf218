package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/integration/check"
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

var ledgerTable = schema.Name{Table: "ledger"}

// found makes the table, and finds a place on every shard.
func (s *simulation) found() {
	ctx, n := s.t.Context(), s.cluster.nodes["a"]
	if err := n.queries().Query(ctx, &rpc.Query{Principal: "local", Database: "quipu", SQL: "CREATE TABLE ledger (place text, writer text) WITH (partition_by = 'place')"}, &rows{}); err != nil {
		s.t.Fatal(err)
	}
	w := s.session(ctx, 0)
	s.where = make([]string, s.world.shards)
	for i := 0; len(s.shard) < s.world.shards; i++ {
		place := fmt.Sprint("place ", i)
		w.seq++
		b := s.batch(w, []string{place}, "probe", 1)
		r, err := n.Write(ctx, b)
		if err != nil || len(r.Receipts) == 0 {
			s.t.Fatalf("probe: %+v, %v", r, err)
		}
		if id := int(r.Receipts[0].Shard); s.where[id] == "" {
			s.where[id], s.shard[place] = place, id
		}
	}
	if err := n.CloseSession(ctx, "local", w.session); err != nil { // so that the oldest one is of a client, who notices when it is taken for dead
		s.t.Fatal(err)
	}
}

// writer is a session of the cluster and a writer of the history.
type writer struct {
	session, seq uint64
	patient      bool
	*check.Writer
}

// session opens one at whatever node; nil when ctx ends.
func (s *simulation) session(ctx context.Context, choice int) *writer {
	for ctx.Err() == nil {
		var id uint64
		err := s.call(ctx, choice, 3*time.Second, func(ctx context.Context, n *Node) error {
			o, err := n.OpenSession(ctx, "local", false)
			id = o.ID
			return err
		})
		if err == nil {
			return &writer{session: id}
		}
		choice++
		_ = pause(ctx, 50*time.Millisecond)
	}
	return nil
}

// batch counts delta in the cell of a name and in that of all, in every place.
func (s *simulation) batch(w *writer, places []string, name string, delta int64) *router.Batch {
	b := &router.Batch{Principal: "local", Session: w.session, Seq: w.seq, AckUpTo: w.seq - 1, Table: ledgerTable,
		Dims: []router.Column{{Name: "place", Dict: []schema.Value{schema.Null}}, {Name: "writer", Dict: []schema.Value{schema.Null, schema.V(name), schema.V("all")}}}}
	for i, place := range places {
		b.Dims[0].Dict = append(b.Dims[0].Dict, schema.V(place))
		for _, code := range []uint32{1, 2} {
			if name == "probe" && code == 2 {
				continue
			}
			b.Dims[0].Codes, b.Dims[1].Codes, b.Counts = append(b.Dims[0].Codes, uint32(i+1)), append(b.Dims[1].Codes, code), append(b.Counts, delta)
		}
	}
	return b
}

// passes says that an error is one that a client tries again after.
func passes(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, errNobody) || err.Error() == "the node has died" {
		return true
	}
	switch errcode.From(err).Code {
	case errcode.Unavailable, errcode.NotLeader, errcode.Timeout, errcode.Closing, errcode.Busy, errcode.Canceled, errcode.SnapshotTooOld:
		return true
	}
	return false
}

// client is one that writes and reads in turn, so that what it has read comes before what it writes next.
func (s *simulation) client(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(s.seed, uint64(1000+id)))
	var w *writer
	for ctx.Err() == nil {
		if r.IntN(100) < 45 {
			s.read(ctx, id, r)
		} else {
			if w == nil {
				if w = s.session(ctx, r.IntN(len(s.names))); w == nil {
					return
				}
				w.Writer, w.patient = s.rec.Writer(id), id < s.patient
			}
			if !s.write(ctx, w, r) {
				s.over(ctx, w, r)
				w = nil
			}
		}
		_ = pause(ctx, time.Duration(r.ExpFloat64()*float64(s.think())))
	}
}

func (s *simulation) think() time.Duration { return time.Duration(s.clients) * 4 * time.Millisecond }

// write sends one batch until it has its answer, or until the client loses patience: then its outcome is unknown, and the writer of no more
// use.
func (s *simulation) write(ctx context.Context, w *writer, r *rand.Rand) bool {
	at := []int{r.IntN(s.world.shards)}
	refuse := r.IntN(20) == 0
	if other := r.IntN(s.world.shards); !refuse && other != at[0] && r.IntN(4) == 0 {
		at = append(at, other)
	}
	return s.writeAt(ctx, w, r, at, refuse)
}

// seqStepMax makes the numbers that a shard sees of a session lie more than its window of 1,024 apart now and then.
const seqStepMax = 500

// writeAt counts on some shards, or is to be refused on one.
func (s *simulation) writeAt(ctx context.Context, w *writer, r *rand.Rand, at []int, refuse bool) bool {
	var places []string
	for _, shard := range at {
		places = append(places, s.where[shard])
	}
	delta := 1 + r.Int64N(1<<32)
	w.seq += 1 + uint64(r.IntN(seqStepMax)) // numbers that were never sent: a shard may see the next one far beyond its window
	b := s.batch(w, places, "w"+strconv.Itoa(w.ID()), delta)
	if refuse {
		b.Dims[1].Dict = append(b.Dims[1].Dict, schema.V("nobody"))
		b.Dims[0].Codes, b.Dims[1].Codes, b.Counts = append(b.Dims[0].Codes, 1), append(b.Dims[1].Codes, 3), append(b.Counts, -1)
	}
	p := w.Add(delta, at...)
	gives := time.Now().Add(time.Duration(r.IntN(60)) * time.Second) // up
	choice := r.IntN(len(s.names))
	for s.t.Context().Err() == nil {
		var refused error
		patience := time.Duration(200+r.IntN(4000)) * time.Millisecond
		if r.IntN(5) == 0 {
			patience = time.Duration(10+r.IntN(90)) * time.Millisecond // asks again while the first answer is held back
		}
		err := s.call(s.t.Context(), choice, patience, func(ctx context.Context, n *Node) error {
			res, err := n.Write(ctx, b)
			if err == nil && len(res.Refused) > 0 {
				refused = res.Refused[0].Err
			}
			return err
		})
		if err == nil {
			err = refused
		}
		switch {
		case err == nil && refuse:
			s.t.Errorf("a count below zero was acknowledged: session %d, sequence %d", w.session, w.seq)
			return false
		case err == nil:
			p.Acked()
			switch r.IntN(30) {
			case 0, 1, 2: // the client did not hear it
				_ = s.again(ctx, b, r.IntN(len(s.names)), false)
			case 4, 5, 6, 7: // a message on its way arrives when nodes have come back from what they had saved
				if w.patient {
					s.rest(ctx)
					s.againUntil(ctx, b, r)
				}
			case 3: // a message on its way is late, and finds the session gone
				s.over(ctx, w, r)
				_ = s.again(ctx, b, r.IntN(len(s.names)), true)
				_ = pause(ctx, time.Duration(r.IntN(1000))*time.Millisecond)
				_ = s.again(ctx, b, r.IntN(len(s.names)), true)
				return false
			}
			return true
		case refuse && errcode.From(err).Code == errcode.BelowZero:
			p.Refused()
			return true
		case !passes(err):
			s.t.Errorf("session %d, sequence %d: %v", w.session, w.seq, err)
			return false
		case ctx.Err() == nil && time.Now().After(gives):
			return false
		}
		choice = r.IntN(len(s.names))
		_ = pause(s.t.Context(), time.Duration(5+r.IntN(50))*time.Millisecond)
	}
	return false
}

// over ends a session. Whether that is heard does not matter.
func (s *simulation) over(ctx context.Context, w *writer, r *rand.Rand) {
	_ = s.call(ctx, r.IntN(len(s.names)), time.Second, func(ctx context.Context, n *Node) error { return n.CloseSession(ctx, "local", w.session) })
}

// again sends a batch that was counted once more. Its session may be over.
func (s *simulation) again(ctx context.Context, b *router.Batch, choice int, over bool) error {
	return s.call(ctx, choice, time.Second, func(ctx context.Context, n *Node) error {
		res, err := n.Write(ctx, b)
		if err == nil && len(res.Refused) > 0 && !passes(res.Refused[0].Err) && !(over && codeOf(res.Refused[0].Err) == errcode.SessionExpired) {
			s.t.Errorf("session %d, sequence %d was counted, and the same again is refused: %v", b.Session, b.Seq, res.Refused[0].Err)
		}
		return err
	})
}

// rest waits until some node has started again, for some seconds.
func (s *simulation) rest(ctx context.Context) {
	risen := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.risen
	}
	before := risen()
	for range restMax / (100 * time.Millisecond) {
		if risen() != before || pause(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

const restMax = 8 * time.Second

// againUntil sends a batch that was counted once more until it has an answer.
func (s *simulation) againUntil(ctx context.Context, b *router.Batch, r *rand.Rand) {
	for range 10 {
		if s.again(ctx, b, r.IntN(len(s.names)), false) == nil || pause(ctx, 300*time.Millisecond) != nil {
			return
		}
	}
}

// read asks for one shard, for some, or for all of them.
func (s *simulation) read(ctx context.Context, id int, r *rand.Rand) {
	at := r.Perm(s.world.shards)
	switch k := r.IntN(3); {
	case k == 0:
		at = at[:1]
	case k == 1:
		at = at[:1+r.IntN(s.world.shards)]
	}
	if s.world.strays {
		at = at[:1]
	}
	slices.Sort(at)
	p := s.rec.Read(id, check.Strict)
	views, err := s.views(ctx, r.IntN(len(s.names)), time.Duration(500+r.IntN(3000))*time.Millisecond, at)
	switch {
	case err == nil:
		p.Returned(views...)
	case !passes(err):
		s.t.Errorf("read of shards %v: %v", at, err)
	}
}

// views reads shards at one instant.
func (s *simulation) views(ctx context.Context, choice int, patience time.Duration, at []int) ([]check.View, error) {
	return s.viewsBy(ctx, choice, patience, at, (*Node).queries)
}

func (s *simulation) viewsBy(ctx context.Context, choice int, patience time.Duration, at []int, queries func(*Node) queries) ([]check.View, error) {
	var places []string
	for _, shard := range at {
		places = append(places, "'"+s.where[shard]+"'")
	}
	sql := "SELECT place, writer, sum(count) FROM ledger WHERE place IN (" + strings.Join(places, ", ") + ") GROUP BY place, writer"
	var got *ledgerRows
	err := s.call(ctx, choice, patience, func(ctx context.Context, n *Node) error {
		got = &ledgerRows{}
		return queries(n).Query(ctx, &rpc.Query{Principal: "local", Database: "quipu", SQL: sql}, got)
	})
	if err != nil {
		return nil, err
	}
	views := make([]check.View, len(at))
	for i, shard := range at {
		views[i] = check.View{Shard: shard, Cells: []int64{}}
	}
	for _, row := range got.rows {
		i := slices.Index(at, s.shard[row.place])
		if i < 0 {
			return nil, fmt.Errorf("a row of %q that was not asked for", row.place)
		}
		v := &views[i]
		if row.writer == "all" {
			v.Sum = row.count
		} else if id, err := strconv.Atoi(strings.TrimPrefix(row.writer, "w")); err == nil {
			v.Cells = append(v.Cells, make([]int64, max(0, id+1-len(v.Cells)))...)
			v.Cells[id] = row.count
		}
	}
	return views, nil
}

type ledgerRow struct {
	place, writer string
	count         int64
}

// ledgerRows are the rows of a read.
type ledgerRows struct{ rows []ledgerRow }

func (l *ledgerRows) Columns([]*apiv1.ResultColumn) error { return nil }
func (l *ledgerRows) End(*apiv1.QueryEnd) error           { return nil }

func (l *ledgerRows) Row(v []plan.Value) error {
	n, err := strconv.ParseInt(fmt.Sprint(v[2]), 10, 64)
	l.rows = append(l.rows, ledgerRow{fmt.Sprint(v[0]), fmt.Sprint(v[1]), n})
	return err
}
