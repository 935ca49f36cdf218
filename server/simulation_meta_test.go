package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// What the meta group answers has values that depend on the order of everything before: versions of contexts, fences of leases, ids of
// sessions. Clients do and note it; a search for a serial order (porcupine) judges what they noted, for each name by itself.

// metaCall is an operation on metadata. Err is what was answered; an unknown outcome has none, and its operation never returned.
type metaCall struct {
	kind   string // set, delete, get; acquire, renew, release, holder; open
	name   string
	client int

	ifVersion uint64
	value     string
	holder    string
	fence     uint64

	call, ret int64 // of the recorder's clock, nanoseconds; ret is math.MaxInt64 if the outcome is unknown
	answer    metaAnswer
}

type metaAnswer struct {
	known   bool
	code    errcode.Code // "" if it succeeded
	version uint64
	value   string
	holder  string
	id      uint64 // fence, or session
}

func (c metaCall) String() string {
	return fmt.Sprintf("%d..%d client %d: %s %s if %d value %q holder %q fence %d: %+v", c.call, c.ret, c.client, c.kind, c.name, c.ifVersion, c.value, c.holder, c.fence, c.answer)
}

// metaLog collects the calls of a run, and what a watch saw.
type metaLog struct {
	mu    sync.Mutex // guards the fields below
	last  int64
	calls []metaCall
	seen  []watched
}

// watched is one event of the watch: a version of a name, or a gap.
type watched struct {
	name     string
	version  uint64
	value    string
	revision uint64
	gap      bool
}

// metaClients work on metadata, metaThink apart, so that a search over the orders of what they do ends soon.
const (
	metaClients = 3
	metaThink   = 150 * time.Millisecond
	metaPeriod  = 8 * time.Second // after which other names are used
	leaseTTL    = 9 * time.Second
	lostMax     = 2 // changes of a name without an answer before a client only reads it
)

// changes says whether a call whose outcome is not known says anything: one that only reads does not.
func (c *metaCall) changes() bool { return c.kind != "get" && c.kind != "holder" && c.kind != "open" }

// clock is never the same twice.
func (m *metaLog) clock(began time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = max(m.last+1, int64(time.Since(began)))
	return m.last
}

// metaClient does one thing after the other at whatever node.
func (s *simulation) metaClient(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(s.seed, uint64(2000+id)))
	versions, fences, lost := map[string]uint64{}, map[string]uint64{}, map[string]int{}
	for k := 0; ctx.Err() == nil; k++ {
		c := s.metaChoice(r, id, k, versions, fences)
		if lost[c.name] >= lostMax { // each may take effect at any time, and the search tries them all
			c.kind = map[bool]string{true: "holder", false: "get"}[strings.HasPrefix(c.name, "lease")]
		}
		s.metaCall(ctx, r, &c)
		a := c.answer
		if !a.known && c.changes() {
			lost[c.name]++
		}
		if a.known && a.code == "" {
			versions[c.name] = max(versions[c.name], a.version)
			if c.kind == "acquire" || c.kind == "release" {
				fences[c.name] = a.id
			}
		}
		_ = pause(ctx, time.Duration(r.ExpFloat64()*float64(metaThink)))
	}
}

// metaChoice draws what to do next. Most changes name the version that the client knows, some another one, some any.
func (s *simulation) metaChoice(r *rand.Rand, id, k int, versions, fences map[string]uint64) metaCall {
	period := int(time.Since(s.began) / metaPeriod)
	c := metaCall{client: id, value: fmt.Sprintf("%d/%d", id, k), holder: fmt.Sprint("client ", id)}
	switch d := r.IntN(20); {
	case d < 12:
		c.name = fmt.Sprintf("context %d %d", period, r.IntN(2))
		c.kind = []string{"set", "set", "set", "get", "get", "delete"}[r.IntN(6)]
		switch c.ifVersion = versions[c.name]; r.IntN(5) {
		case 0:
			c.ifVersion = command.AnyVersion
		case 1:
			c.ifVersion++
		}
	case d < 18:
		c.name, c.kind = fmt.Sprintf("lease %d", period/2), []string{"acquire", "acquire", "renew", "holder", "release"}[r.IntN(5)]
		if c.fence = fences[c.name]; c.fence == 0 && c.kind != "holder" {
			c.kind = "acquire"
		}
	default:
		c.name, c.kind = "sessions", "open"
	}
	return c
}

// metaCall carries a call out and notes it.
func (s *simulation) metaCall(ctx context.Context, r *rand.Rand, c *metaCall) {
	c.call = s.meta.clock(s.began)
	var a metaAnswer
	err := s.call(ctx, r.IntN(len(s.names)), time.Duration(300+r.IntN(4000))*time.Millisecond, func(ctx context.Context, n *Node) (err error) {
		a, err = metaAsk(ctx, n, c)
		return err
	})
	switch code := codeOf(err); {
	case err == nil:
		c.answer, c.answer.known = a, true
	case code == errcode.Conflict, code == errcode.NotFound:
		c.answer = metaAnswer{known: true, code: code}
	case !passes(err):
		s.t.Errorf("%s of %q: %v", c.kind, c.name, err)
	}
	c.ret = math.MaxInt64
	if c.answer.known {
		c.ret = s.meta.clock(s.began)
	}
	s.meta.mu.Lock()
	defer s.meta.mu.Unlock()
	s.meta.calls = append(s.meta.calls, *c)
}

func metaAsk(ctx context.Context, n *Node, c *metaCall) (a metaAnswer, err error) {
	switch c.kind {
	case "set", "delete":
		change := rpc.ContextChange{Name: c.name, IfVersion: c.ifVersion, Delete: c.kind == "delete"}
		if !change.Delete {
			change.Values = map[string]string{"v": c.value}
		}
		rec, err := n.SetContext(ctx, change)
		return metaAnswer{version: rec.Version}, err
	case "get":
		rec, err := n.Context(ctx, c.name)
		return metaAnswer{version: rec.Version, value: rec.Values["v"]}, err
	case "acquire":
		l, err := n.AcquireLease(ctx, c.name, c.holder, leaseTTL)
		return metaAnswer{id: l.Fence, holder: l.Holder}, err
	case "renew":
		l, err := n.RenewLease(ctx, c.name, c.holder, c.fence, leaseTTL)
		return metaAnswer{id: l.Fence, holder: l.Holder}, err
	case "release":
		return metaAnswer{}, n.ReleaseLease(ctx, c.name, c.holder, c.fence)
	case "holder":
		l, err := n.Lease(ctx, c.name)
		return metaAnswer{id: l.Fence, holder: l.Holder}, err
	}
	o, err := n.OpenSession(ctx, "local", false)
	if err == nil {
		_ = n.CloseSession(ctx, "local", o.ID) // one that is not used hides it when the oldest live one is taken for dead
	}
	return metaAnswer{id: o.ID}, err
}

var errEnough = errors.New("enough for now")

// watch follows the contexts from node to node, and goes on where it stopped.
func (s *simulation) watch(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.seed, 3000))
	after := uint64(1) // there is no context yet: every one is a change
	for ctx.Err() == nil {
		err := s.call(ctx, r.IntN(len(s.names)), time.Duration(500+r.IntN(4000))*time.Millisecond, func(ctx context.Context, n *Node) error {
			return n.WatchContexts(ctx, "context ", after, func(e rpc.ContextEvent) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				s.meta.mu.Lock()
				defer s.meta.mu.Unlock()
				w := watched{revision: e.Revision, gap: e.Gap}
				if e.Record != nil {
					w.name, w.version, w.value = e.Record.Name, e.Record.Version, e.Record.Values["v"]
				}
				s.meta.seen = append(s.meta.seen, w)
				after = e.Revision
				if r.IntN(4) == 0 {
					return errEnough
				}
				return nil
			})
		})
		if errors.Is(err, errEnough) {
			continue // at once: the next change may be the next entry
		}
		if err != nil && !passes(err) {
			s.t.Errorf("watch: %v", err)
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

// judge searches for a serial order of the calls, and holds the watch to it. A search that does not end within limit is a failed run.
func (m *metaLog) judge(limit time.Duration) error {
	var errs []error
	byName := map[string][]metaCall{}
	for _, c := range m.calls {
		if c.answer.known || c.changes() {
			byName[c.name] = append(byName[c.name], c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		model := contextModel
		if strings.HasPrefix(name, "lease") {
			model = leaseModel.ToModel()
		} else if name == "sessions" {
			model = sessionModel
		}
		var ops []porcupine.Operation
		for i, c := range byName[name] { // each by itself: a client goes on when an outcome is unknown
			ops = append(ops, porcupine.Operation{ClientId: i, Input: c, Output: c.answer, Call: c.call, Return: c.ret})
		}
		if got := porcupine.CheckOperationsTimeout(model, ops, limit); got != porcupine.Ok {
			var lines []string
			for _, c := range byName[name] {
				lines = append(lines, c.String())
			}
			errs = append(errs, fmt.Errorf("linearizability: %d calls of %q are not what was promised: %s\n%s", len(ops), name, got, strings.Join(lines, "\n")))
		}
	}
	return errors.Join(append(errs, m.judgeWatch())...)
}

// contextState is a name and its history: the newest version, and whether it lives.
type contextState struct {
	last  uint64
	live  bool
	value string
}

func (c contextState) version() uint64 {
	if c.live {
		return c.last
	}
	return 0
}

var contextModel = porcupine.Model{
	Init: func() any { return contextState{} },
	Step: func(state, input, output any) (bool, any) {
		s, c, a := state.(contextState), input.(metaCall), output.(metaAnswer)
		if c.kind == "get" {
			switch {
			case !a.known:
				return true, s
			case a.code == errcode.NotFound:
				return !s.live, s
			}
			return a.code == "" && s.live && a.version == s.last && a.value == s.value, s
		}
		conflict := c.ifVersion != command.AnyVersion && c.ifVersion != s.version()
		missing := !conflict && c.kind == "delete" && !s.live
		next := contextState{s.last + 1, c.kind == "set", ""}
		if next.live {
			next.value = c.value
		}
		switch {
		case !a.known && (conflict || missing):
			return true, s
		case !a.known:
			return true, next
		case conflict:
			return a.code == errcode.Conflict, s
		case missing:
			return a.code == errcode.NotFound, s
		}
		return a.code == "" && a.version == next.last, next
	},
}

// leaseState is who holds a lease. It may have ended by itself from ends on: log time keeps no pace with the clocks, but is never further
// ahead of them than a leader may stamp.
type leaseState struct {
	holder string // "": nobody
	fence  uint64 // 0: not known, because the answer was lost
	last   uint64 // the highest fence that is known
	ends   int64
}

// leaseEarly is how much earlier than after its time a lease may end: by as much as a leader may stamp ahead of the voters' clocks, and by
// what these may be off from each other's.
const leaseEarly = 6 * time.Second

var leaseModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{leaseState{}} },
	Step: func(state, input, output any) (next []any) {
		s, c, a := state.(leaseState), input.(metaCall), output.(metaAnswer)
		ends := c.call + int64(leaseTTL-leaseEarly)
		for _, s := range []leaseState{s, {last: s.last}} {
			if s.holder == "" && state.(leaseState).holder != "" && c.ret < state.(leaseState).ends {
				continue // it cannot have ended
			}
			next = append(next, s.step(c, a, ends)...)
		}
		return next
	},
	Equal: func(a, b any) bool { return a == b },
}

// step gives the states after a call, none if its answer is not one that s allows.
func (s leaseState) step(c metaCall, a metaAnswer, ends int64) []any {
	mine := s.holder == c.holder && (s.fence == 0 || s.fence == c.fence)
	switch c.kind {
	case "holder":
		switch {
		case !a.known || a.code == errcode.NotFound && s.holder == "":
			return []any{s}
		case a.code != "" || a.holder != s.holder || s.holder == "":
			return nil
		case s.fence == 0 && a.id > s.last:
			s.fence, s.last = a.id, a.id
		case s.fence != a.id:
			return nil
		}
		return []any{s}
	case "acquire":
		free := s.holder == "" || s.holder == c.holder
		switch taken := (leaseState{c.holder, a.id, max(s.last, a.id), ends}); {
		case !a.known && free:
			return []any{taken}
		case !a.known:
			return []any{s}
		case a.code == "" && free && a.id > s.last:
			return []any{taken}
		case a.code == errcode.Conflict && !free:
			return []any{s}
		}
		return nil
	case "renew":
		switch {
		case !a.known && mine:
			return []any{s, leaseState{s.holder, s.fence, s.last, max(s.ends, ends)}}
		case !a.known:
			return []any{s}
		case a.code == "" && mine:
			return []any{leaseState{s.holder, c.fence, max(s.last, c.fence), max(s.ends, ends)}}
		case a.code == errcode.Conflict && (s.holder != c.holder || s.fence != c.fence):
			return []any{s}
		}
		return nil
	}
	switch { // release
	case !a.known && mine:
		return []any{s, leaseState{last: s.last}}
	case !a.known:
		return []any{s}
	case a.code == "" && mine:
		return []any{leaseState{last: max(s.last, c.fence)}}
	case a.code == errcode.NotFound && (s.holder != c.holder || s.fence != c.fence):
		return []any{s}
	}
	return nil
}

// sessionModel: ids grow in the order in which sessions were opened.
var sessionModel = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, _, output any) (bool, any) {
		a := output.(metaAnswer)
		if !a.known {
			return true, state
		}
		return a.code == "" && a.id > state.(uint64), max(state.(uint64), a.id)
	},
}

// judgeWatch holds the events to the changes that were acknowledged: in order of their revisions, each version of a name once, none left out.
// After a gap the present comes first: a name may have gone on by more than one version since.
func (m *metaLog) judgeWatch() error {
	last, versions := uint64(0), map[string]uint64{}
	seen := map[string]string{} // by name and version: the value
	gaps, since := 0, map[string]int{}
	present, before := false, uint64(0)
	for i, w := range m.seen {
		if w.gap {
			present, before = true, w.revision
			gaps++
			continue
		}
		if w.name == "" {
			continue
		}
		if !present && w.revision <= last {
			return fmt.Errorf("watch: event %d is of revision %d, after %d: not what was promised", i, w.revision, last)
		}
		jumps := since[w.name] < gaps && w.version >= versions[w.name]
		if w.version != versions[w.name]+1 && !jumps {
			return fmt.Errorf("watch: version %d of %q comes after version %d: not what was promised", w.version, w.name, versions[w.name])
		}
		present = present && w.revision <= before
		last, versions[w.name], since[w.name] = max(last, w.revision), w.version, gaps
		seen[fmt.Sprint(w.name, "/", w.version)] = w.value
	}
	for _, c := range m.calls {
		if a := c.answer; c.kind == "set" && a.known && a.code == "" {
			if v, ok := seen[fmt.Sprint(c.name, "/", a.version)]; ok && v != c.value {
				return fmt.Errorf("watch: version %d of %q is %q there and was set to %q: not what was promised", a.version, c.name, v, c.value)
			}
		}
	}
	return nil
}

// text is the whole log, for whoever looks into a failure.
func (m *metaLog) text() string {
	slices.SortFunc(m.calls, func(a, b metaCall) int { return cmp.Compare(a.call, b.call) })
	var b strings.Builder
	for _, c := range m.calls {
		fmt.Fprintln(&b, c)
	}
	for _, w := range m.seen {
		fmt.Fprintf(&b, "watch %+v\n", w)
	}
	return b.String()
}
