package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/rpc"
)

// sums are the first column of a result of numbers.
type sums struct{ got []int64 }

func (r *sums) Columns([]*apiv1.ResultColumn) error { return nil }
func (r *sums) End(*apiv1.QueryEnd) error           { return nil }

func (r *sums) Row(values []plan.Value) error {
	var n int64
	_, err := fmt.Sscan(fmt.Sprint(values[0]), &n)
	r.got = append(r.got, n)
	return err
}

// sum is a strict read of all counts.
func sum(ctx context.Context, n *Node) (int64, error) {
	var r sums
	if err := n.queries().Query(ctx, &rpc.Query{Principal: "local", Database: "quipu", SQL: "SELECT coalesce(sum(count), 0) FROM admissions"}, &r); err != nil {
		return 0, err
	}
	return r.got[0], nil
}

// A faulty cluster is one whose nodes die, come back and lose their links, while writers and readers keep the books.
type faulty struct {
	*cluster
	r *rand.Rand // of the nemesis

	mu    sync.Mutex // guards the fields below
	up    map[string]*life
	acked int64 // sum of the counts of acknowledged batches
	sent  int64 // and of all that were ever sent
}

// life is one start of a node. Calls end before the node does.
type life struct {
	n     *Node
	ctx   context.Context
	end   context.CancelFunc
	calls sync.WaitGroup
}

func (f *faulty) born(name string) {
	ctx, end := context.WithCancel(f.t.Context())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up[name] = &life{n: f.nodes[name], ctx: ctx, end: end}
}

// dies takes a node out of the callers' hands.
func (f *faulty) dies(name string) {
	f.mu.Lock()
	l := f.up[name]
	delete(f.up, name)
	f.mu.Unlock()
	l.end()
	l.calls.Wait()
}

// call runs a request at a node that is up, chosen by the number, for five seconds at most. It is false if none is.
func (f *faulty) call(ctx context.Context, choice int, request func(context.Context, *Node) error) (error, bool) {
	f.mu.Lock()
	var l *life
	for i := range 3 {
		name := string(rune('a' + (choice+i)%3))
		if l = f.up[name]; l != nil {
			break
		}
	}
	if l == nil {
		f.mu.Unlock()
		return nil, false
	}
	l.calls.Add(1)
	f.mu.Unlock()
	defer l.calls.Done()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	return request(ctx, l.n), true
}

// write sends batches of a session of its own, each until it is acknowledged, at whatever node is up.
func (f *faulty) write(ctx context.Context, r *rand.Rand) {
	session := uint64(0)
	for session == 0 && ctx.Err() == nil {
		f.call(ctx, r.IntN(3), func(ctx context.Context, n *Node) error {
			s, err := n.OpenSession(ctx, "local", false)
			if err == nil {
				session = s.ID
			}
			return err
		})
		if session == 0 {
			pause(ctx, 100*time.Millisecond)
		}
	}
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		b := batch(session, seq, 1+r.Int64N(9), 2, 3, 4, 5, 6, 7, 8)
		b.AckUpTo = seq - 1
		sum := int64(0)
		for _, k := range b.Counts {
			sum += k
		}
		f.mu.Lock()
		f.sent += sum
		f.mu.Unlock()
		for f.t.Context().Err() == nil { // beyond the end of ctx: every batch gets its answer
			err, ok := f.call(f.t.Context(), r.IntN(3), func(ctx context.Context, n *Node) error {
				res, err := n.Write(ctx, b)
				if err == nil && len(res.Refused) > 0 {
					err = res.Refused[0].Err
				}
				return err
			})
			if ok && err == nil {
				f.mu.Lock()
				f.acked += sum
				f.mu.Unlock()
				break
			}
			pause(f.t.Context(), 50*time.Millisecond)
		}
		pause(ctx, time.Duration(r.IntN(100))*time.Millisecond)
	}
}

// read holds strict sums between what was acknowledged before and what was sent at all.
func (f *faulty) read(ctx context.Context, r *rand.Rand) (reads int) {
	for ctx.Err() == nil {
		f.mu.Lock()
		least := f.acked
		f.mu.Unlock()
		var got int64
		err, ok := f.call(ctx, r.IntN(3), func(ctx context.Context, n *Node) (err error) {
			got, err = sum(ctx, n)
			return err
		})
		f.mu.Lock()
		most := f.sent
		f.mu.Unlock()
		if ok && err == nil {
			reads++
			if got < least || got > most {
				f.t.Errorf("a strict read gives %d; %d were acknowledged before, %d sent until after", got, least, most)
			}
		}
		pause(ctx, time.Duration(r.IntN(200))*time.Millisecond)
	}
	return reads
}

// trouble kills or isolates one node at a time, and now and then a second one.
func (f *faulty) trouble(ctx context.Context) (faults int) {
	for ctx.Err() == nil {
		pause(ctx, time.Duration(1000+f.r.IntN(4000))*time.Millisecond)
		names := []string{"a", "b", "c"}
		f.r.Shuffle(3, func(i, j int) { names[i], names[j] = names[j], names[i] })
		victims := names[:1]
		if f.r.IntN(5) == 0 {
			victims = names[:2]
		}
		kill := f.r.IntN(2) == 0
		for _, name := range victims {
			faults++
			if !kill {
				f.net.Isolate(name)
				continue
			}
			f.dies(name)
			f.kill(name)
		}
		pause(ctx, time.Duration(500+f.r.IntN(6000))*time.Millisecond)
		for _, name := range victims {
			if !kill {
				f.net.Heal(name)
				continue
			}
			f.start(name)
			f.born(name)
		}
	}
	return faults
}

// Three nodes die, come back and lose their links while three writers and two readers go on: no acknowledged count is lost or doubled, no
// strict read is stale or ahead, and all replicas end equal.
func TestClusterKeepsItsPromisesUnderFaults(t *testing.T) {
	seeds, span := []uint64{1}, 20*time.Second
	if os.Getenv("QUIPU_SOAK") != "" {
		seeds, span = nil, 2*time.Minute
		first, _ := strconv.ParseUint(os.Getenv("QUIPU_SEED"), 10, 64)
		for i := range uint64(20) {
			seeds = append(seeds, 1000+20*first+i)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { underFaults(t, seed, span) })
		})
	}
}

func underFaults(t *testing.T, seed uint64, span time.Duration) {
	f := &faulty{cluster: newCluster(t, "a", "b", "c"), r: rand.New(rand.NewPCG(seed, 0)), up: map[string]*life{}}
	defer f.stopAll()
	f.waitVoters("a", "b", "c")
	createTable(t, f.nodes["b"])
	for _, name := range []string{"a", "b", "c"} {
		f.born(name)
	}
	ctx, end := context.WithTimeout(t.Context(), span)
	defer end()
	var work sync.WaitGroup
	for i := range uint64(3) {
		work.Go(func() { f.write(ctx, rand.New(rand.NewPCG(seed, 10+i))) })
	}
	reads := make([]int, 2)
	for i := range reads {
		work.Go(func() { reads[i] = f.read(ctx, rand.New(rand.NewPCG(seed, uint64(20+i)))) })
	}
	faults := f.trouble(ctx)
	work.Wait()
	f.waitVoters("a", "b", "c")
	f.waitEqual()
	got, err := sum(t.Context(), f.nodes["c"])
	if err != nil || got != f.acked || got != f.sent {
		t.Errorf("at the end the sum is %d (%v); %d were acknowledged, %d sent", got, err, f.acked, f.sent)
	}
	if reads[0]+reads[1] == 0 || f.acked == 0 {
		t.Errorf("nothing was held: %v reads, %d acknowledged", reads, f.acked)
	}
	t.Logf("%d faults, %v strict reads, %d observations acknowledged of %d sent", faults, reads, f.acked, f.sent)
}
