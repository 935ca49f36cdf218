package server

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/integration/check"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// What a round promises rests on the leaders of shards alone: on no clock of who runs it, on no number, on nobody's leading the meta group. So
// rounds may be run by a stray: somebody who was paused for a second between two steps and does not know that he was deposed, whose PREPARE a
// network brings twice. He keeps to the order of the steps, and knows no bounds of time. The sequencer gives a round up after as long as a hold lives,
// and asks one node to the end; that hides whether the leaders would have said no.

// strays counts the rounds of a stray that everybody said yes to, and the others.
type strays struct {
	number  atomic.Uint64
	yes, no atomic.Int64
}

// strayRound is one round of a stray, as a source of snapshots. It holds some shards early and the others late; in between something happens to
// the early ones.
type strayRound struct {
	s     *simulation
	n     *Node
	r     *rand.Rand
	round replica.Round

	holds     []rounds.Hold // that were promised, in the order of snapshots
	snapshots []rounds.Snapshot
}

// stray reads several shards, again and again.
func (s *simulation) stray(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.seed, 6000))
	all := make([]int, s.world.shards)
	for i := range all {
		all[i] = i
	}
	for ctx.Err() == nil {
		p := s.rec.Read(200, check.Strict)
		views, err := s.viewsBy(ctx, r.IntN(len(s.names)), strayPatience, all, func(n *Node) queries {
			d := engineDoors{n}
			return queries{query.New(query.Options{Catalog: d, Source: &strayRound{s: s, n: n, r: r}, Writer: d, DDL: d, Now: n.cfg.Now}), n.access}
		})
		if err == nil {
			p.Returned(views...)
			s.strayed.yes.Add(1)
		} else {
			s.note("round of a stray: %v", err)
			s.strayed.no.Add(1)
		}
		_ = pause(ctx, time.Duration(r.IntN(100))*time.Millisecond)
	}
}

// strayPatience is longer than a hold, the pause that it leaves behind, and a transfer of leadership.
const strayPatience = 5 * time.Second

// Snapshot runs the round.
func (o *strayRound) Snapshot(ctx context.Context, read query.Read) (_ *query.Snapshot, err error) {
	// Of a term before the first one: rounds of the meta leader are later, so that there must be none until the end. The next number is for a round
	// that comes between.
	o.round = replica.Round{Number: o.s.strayed.number.Add(2)}
	o.holds, o.snapshots = nil, nil
	defer func() {
		if err != nil {
			o.release()
		}
	}()
	ids := slices.Clone(read.Shards)
	o.r.Shuffle(len(ids), func(i, k int) { ids[i], ids[k] = ids[k], ids[i] })
	early := 1 + o.r.IntN(len(ids)-1)
	if err := o.take(ctx, ids[:early], 0); err != nil {
		return nil, err
	}
	o.mishap(ctx, ids[:early])
	if o.r.IntN(2) == 0 { // the message once more, to whoever leads now; its answer reaches nobody
		_, _ = o.prepare(ctx, ids[:early])
	}
	o.rest(ctx, 60*time.Millisecond)
	if err := o.take(ctx, ids[early:], 80*time.Millisecond); err != nil {
		return nil, err
	}
	if err := o.commit(ctx); err != nil {
		return nil, err
	}
	out := &query.Snapshot{Taken: time.Now(), ID: o.n.snapshotID(), Release: o.release}
	for _, id := range read.Shards {
		for i, h := range o.holds {
			if h.Shard == id {
				out.Shards = append(out.Shards, o.n.shardOf(id, o.snapshots[i]))
			}
		}
	}
	return out, nil
}

// rest passes some time, most at the most.
func (o *strayRound) rest(ctx context.Context, most time.Duration) {
	_ = pause(ctx, time.Duration(o.r.Int64N(int64(most)+1)))
}

// prepare closes gates, one after the other.
func (o *strayRound) prepare(ctx context.Context, ids []schema.ShardID) (holds []rounds.Hold, err error) {
	for _, id := range ids {
		p, err := o.n.participant(id)
		if err != nil {
			return nil, err
		}
		answer := p.Prepare(ctx, o.round, []schema.ShardID{id})[0]
		if answer.Err != nil {
			return nil, answer.Err
		}
		holds = append(holds, rounds.Hold{Shard: id, Promise: answer.Promise})
	}
	return holds, nil
}

// take closes gates and opens snapshots some time after. Whether the gates of other shards are closed yet does not matter to them.
func (o *strayRound) take(ctx context.Context, ids []schema.ShardID, between time.Duration) error {
	holds, err := o.prepare(ctx, ids)
	if err != nil {
		return err
	}
	o.rest(ctx, between)
	for _, h := range holds {
		p, err := o.n.participant(h.Shard)
		if err != nil {
			return err
		}
		opened := p.Open(ctx, o.round, []rounds.Hold{h})[0]
		if opened.Err != nil {
			return opened.Err
		}
		o.holds, o.snapshots = append(o.holds, h), append(o.snapshots, opened.Snapshot)
	}
	return nil
}

// mishap breaks holds, or does nothing. Afterwards whatever waited for them is acknowledged.
func (o *strayRound) mishap(ctx context.Context, ids []schema.ShardID) {
	switch o.r.IntN(4) {
	case 0: // they end
		_ = pause(ctx, replica.HoldMax)
	case 1: // a later round takes them
		later := &strayRound{s: o.s, n: o.n, r: o.r, round: replica.Round{Number: o.round.Number + 1}}
		holds, err := later.prepare(ctx, ids)
		if err == nil && o.r.IntN(2) == 0 { // or it is under way still
			later.holds = holds
			_ = later.commit(ctx)
		}
	case 2: // another one leads
		for _, id := range ids {
			g := transport.Shard(id)
			_ = o.s.to(g, o.s.names[o.r.IntN(len(o.s.names))])
		}
	default:
		return
	}
	o.rest(ctx, 100*time.Millisecond)
}

// commit lets every hold go, side by side, when all snapshots are open.
func (o *strayRound) commit(ctx context.Context) error {
	errs := make([]error, len(o.holds))
	var wg sync.WaitGroup
	for i, h := range o.holds {
		wg.Go(func() {
			p, err := o.n.participant(h.Shard)
			if err == nil {
				err = p.Commit(ctx, o.round, []rounds.Hold{h})[0]
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *strayRound) release() {
	for _, snap := range o.snapshots {
		snap.Release()
	}
}
