package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/quipudb/quipu/client"
)

// registers are what clients do with contexts while faults strike: reads and compare-and-sets, which must be linearizable, and a watch, which
// must see every version once and in order.
type registers struct {
	w *work

	mu      sync.Mutex // guards the fields below
	history []porcupine.Operation
	began   time.Time
	watched map[string]uint64 // by name: the last version that the watch has shown
	events  int
}

// registerInput is one operation: a read, or a change if the version is still the one expected.
type registerInput struct {
	name   string
	change bool
	expect uint64
	id     string // that the change writes; no two are the same
}

// registerState is what a name has, and what an operation answers: to a change that was refused the zero value.
type registerState struct {
	version uint64
	id      string
}

var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		of := map[string][]porcupine.Operation{}
		var names []string
		for _, o := range history {
			name := o.Input.(registerInput).name
			if of[name] == nil {
				names = append(names, name)
			}
			of[name] = append(of[name], o)
		}
		var parts [][]porcupine.Operation
		for _, name := range names {
			parts = append(parts, of[name])
		}
		return parts
	},
	Init: func() any { return registerState{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(registerState), input.(registerInput), output.(registerState)
		switch {
		case !in.change:
			return out == s, s
		case in.expect != s.version:
			return out == registerState{}, s
		}
		next := registerState{s.version + 1, in.id}
		return out == next, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

const (
	registersMax  = 3
	registerUsers = 3
)

// startRegisters has clients use contexts until ctx ends.
func (w *work) startRegisters(ctx context.Context) *registers {
	g := &registers{w: w, began: time.Now(), watched: map[string]uint64{}}
	for i := range registerUsers {
		r := rand.New(rand.NewPCG(w.l.seed, uint64(5000+i)))
		c := w.workers[i%len(w.workers)].c
		w.done.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				w.gate.RLock()
				g.use(c, i, fmt.Sprintf("u%d-%d", i, n), fmt.Sprintf("faults/%d/%d", w.pass, r.IntN(registersMax)), r)
				w.gate.RUnlock()
				wait(ctx, time.Duration(r.ExpFloat64()*float64(30*time.Millisecond)))
			}
		})
	}
	w.done.Go(func() { g.watch(ctx, w.workers[0].c) })
	return g
}

// use reads a context and changes it. A change without an answer is made again until it has one: the version makes it count once.
func (g *registers) use(c *client.Client, user int, id, name string, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(g.w.l.t.Context(), patienceMax)
	defer cancel()
	call := time.Since(g.began)
	seen, ok := g.get(ctx, c, name, r)
	if !ok {
		return
	}
	g.note(user, registerInput{name: name}, seen, call)
	if r.IntN(3) == 0 {
		return
	}
	in := registerInput{name: name, change: true, expect: seen.version, id: id}
	call = time.Since(g.began)
	for sure := true; ; sure = false {
		tried, cancel := context.WithTimeout(ctx, time.Duration(300+r.IntN(4000))*time.Millisecond)
		now, err := c.Context(name).CompareAndSet(tried, in.expect, map[string]string{"id": id})
		cancel()
		switch {
		case err == nil:
			g.note(user, in, registerState{now.Version, id}, call)
			return
		case errors.Is(err, &client.Error{Code: "CONFLICT"}) && sure:
			g.note(user, in, registerState{}, call)
			return
		case errors.Is(err, &client.Error{Code: "CONFLICT"}): // by whom?
			g.settle(ctx, c, user, in, call)
			return
		case !passes(err) || ctx.Err() != nil:
			g.w.l.fail("context %s of version %d cannot be changed: %v", name, in.expect, err)
			return
		}
		wait(ctx, 20*time.Millisecond)
	}
}

// get reads until there is an answer.
func (g *registers) get(ctx context.Context, c *client.Client, name string, r *rand.Rand) (registerState, bool) {
	for {
		tried, cancel := context.WithTimeout(ctx, time.Duration(300+r.IntN(4000))*time.Millisecond)
		now, err := c.Context(name).Get(tried)
		cancel()
		switch {
		case err == nil:
			return registerState{now.Version, now.Values["id"]}, true
		case errors.Is(err, &client.Error{Code: "NOT_FOUND"}):
			return registerState{}, true
		case !passes(err) || ctx.Err() != nil:
			g.w.l.fail("context %s cannot be read: %v", name, err)
			return registerState{}, false
		}
		wait(ctx, 20*time.Millisecond)
	}
}

// settle finds out whether a change that conflicts now is the one that it conflicts with.
func (g *registers) settle(ctx context.Context, c *client.Client, user int, in registerInput, call time.Duration) {
	for {
		all, err := c.Context(in.name).History(ctx)
		if err == nil {
			i := slices.IndexFunc(all, func(r client.Record) bool { return r.Version == in.expect+1 })
			switch {
			case i < 0:
				g.w.l.note("version %d of %s is not kept any more", in.expect+1, in.name)
			case all[i].Values["id"] == in.id:
				g.note(user, in, registerState{in.expect + 1, in.id}, call)
			default:
				g.note(user, in, registerState{}, call)
			}
			return
		}
		if !passes(err) || ctx.Err() != nil {
			g.w.l.fail("the history of context %s cannot be read: %v", in.name, err)
			return
		}
		wait(ctx, 20*time.Millisecond)
	}
}

func (g *registers) note(user int, in registerInput, out registerState, call time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.history = append(g.history, porcupine.Operation{ClientId: user, Input: in, Output: out, Call: int64(call), Return: int64(time.Since(g.began))})
}

// watch follows all contexts of the lab.
func (g *registers) watch(ctx context.Context, c *client.Client) {
	for e, err := range c.WatchContexts(ctx, "faults/", 0) {
		if err != nil {
			if ctx.Err() == nil {
				g.w.l.fail("the watch ended: %v", err)
			}
			return
		}
		g.mu.Lock()
		switch last := g.watched[e.Record.Name]; {
		case e.Gap:
			g.w.l.note("the watch has a gap at revision %d", e.Revision)
			clear(g.watched)
		case last > 0 && e.Record.Version != last+1:
			g.w.l.fail("the watch shows version %d of %s after version %d", e.Record.Version, e.Record.Name, last)
		}
		if e.Record.Name != "" {
			g.watched[e.Record.Name] = e.Record.Version
		}
		g.events++
		g.mu.Unlock()
	}
}

// judge holds what was done since the last time to the model, and the watch to what there is. Nothing is on its way.
func (g *registers) judge() (operations int) {
	ctx, cancel := context.WithTimeout(g.w.l.t.Context(), 30*time.Second)
	defer cancel()
	now, err := g.w.l.asked.Contexts(ctx, fmt.Sprintf("faults/%d/", g.w.pass))
	if err != nil {
		g.w.l.fail("the contexts cannot be listed: %v", err)
	}
	for _, r := range now {
		for {
			g.mu.Lock()
			seen := g.watched[r.Name]
			g.mu.Unlock()
			if seen >= r.Version {
				break
			}
			if ctx.Err() != nil {
				g.w.l.fail("the watch has seen version %d of %s, which has %d", seen, r.Name, r.Version)
				break
			}
			wait(ctx, 20*time.Millisecond)
		}
	}
	g.mu.Lock()
	history := g.history
	g.history = nil
	g.mu.Unlock()
	if result := porcupine.CheckOperationsTimeout(registerModel, history, time.Minute); result != porcupine.Ok {
		g.w.l.fail("%d operations of contexts are not linearizable: %v", len(history), result)
	}
	return len(history)
}
