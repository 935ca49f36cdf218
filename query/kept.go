package query

import (
	"context"
	"sync"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
)

// Bounds of what is kept of statements so that they need not be parsed or bound again.
const (
	keptTextMax  = 4 << 10   // bytes of a text that is kept, or whose plan is
	textsMax     = 256       // texts of a generation
	textBytesMax = 256 << 10 // of all of them; their trees and plans take some ten times as much
)

// keptPlan is the plan of one statement. A statement without parameters has it after its first run. One with parameters has it after the
// second: many are run once, and binding without values is work beyond that with them.
type keptPlan struct {
	database, mode string         // that it was bound for
	template       *plan.Template // nil before the second run
	never          bool           // it cannot be kept
}

// planned gives the plan of a query: the kept one of its statement where that still holds, or a new one.
func (s *session) planned(ctx context.Context, q *sql.Query) (*plan.Query, error) {
	st := s.of
	if st == nil || st.Tree != sql.Statement(q) || len(st.Text) > keptTextMax {
		return s.bind(ctx, q)
	}
	old, mode := st.plan.Load(), s.figures.mode
	if old != nil && (old.database != s.r.Database || old.mode != mode) {
		old = nil
	}
	if old != nil && old.template != nil {
		bound, fits, err := s.fill(ctx, old.template)
		if err != nil || fits {
			return s.orBind(ctx, q, bound, err)
		}
	}
	kept := &keptPlan{database: s.r.Database, mode: mode}
	switch {
	case old == nil && len(st.params) > 0:
		st.plan.Store(kept)
		return s.bind(ctx, q)
	case old != nil && old.never:
		return s.bind(ctx, q)
	}
	if len(st.params) > 0 {
		return s.keepOpen(ctx, q, kept)
	}
	var bound *plan.Query
	err := s.bound(ctx, func(b *plan.Binder) (err error) {
		if bound, err = b.Query(q); err == nil {
			kept.template = b.Template(bound)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	kept.never = kept.template == nil
	st.plan.Store(kept)
	return bound, nil
}

// keepOpen binds a query without the values of its parameters, and puts these in.
func (s *session) keepOpen(ctx context.Context, q *sql.Query, kept *keptPlan) (*plan.Query, error) {
	err := s.bound(ctx, func(b *plan.Binder) error {
		b.Describe(s.of.params)
		bound, err := b.Query(q)
		if err == nil {
			kept.template = b.Template(bound)
		}
		return err
	})
	if err != nil { // binding with the values says why, or does without
		return s.bind(ctx, q)
	}
	kept.never = kept.template == nil
	s.of.plan.Store(kept)
	if kept.never {
		return s.bind(ctx, q)
	}
	bound, _, err := s.fill(ctx, kept.template)
	return s.orBind(ctx, q, bound, err)
}

// fill gives the plan of a template, nil where its values make an error. fits is false if the template does not hold any more, or not for
// this principal.
func (s *session) fill(ctx context.Context, t *plan.Template) (bound *plan.Query, fits bool, err error) {
	view, err := s.e.o.Catalog.View(ctx, false)
	if err != nil {
		return nil, false, err
	}
	if !t.Fits(view, s.r.Rights) {
		return nil, false, nil
	}
	return t.Fill(s.r.Args, s.of.params), true, nil
}

func (s *session) orBind(ctx context.Context, q *sql.Query, bound *plan.Query, err error) (*plan.Query, error) {
	if bound != nil || err != nil {
		return bound, err
	}
	return s.bind(ctx, q)
}

// texts are the statements of queries that were asked lately, by text. When the young ones are as many as may be, they become the old ones,
// and the old ones are forgotten; an old one that is asked again is young again.
type texts struct {
	mu         sync.Mutex // guards the fields below
	young, old map[string][]*Statement
	bytes      int // of the texts of young
}

// find gives the statements of a text, or nil.
func (t *texts) find(text string) []*Statement {
	t.mu.Lock()
	defer t.mu.Unlock()
	if list, ok := t.young[text]; ok {
		return list
	}
	list := t.old[text]
	if list != nil {
		t.put(text, list)
	}
	return list
}

// keep takes in the statements of a text, if they are a single query of a length that is worth it.
func (t *texts) keep(text string, list []*Statement) {
	if len(text) > keptTextMax || len(list) != 1 {
		return
	}
	if _, ok := list[0].Tree.(*sql.Query); !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(text, list)
}

// put makes a text young. mu is held.
func (t *texts) put(text string, list []*Statement) {
	if t.young == nil || len(t.young) >= textsMax || t.bytes+len(text) > textBytesMax {
		t.old, t.young, t.bytes = t.young, make(map[string][]*Statement), 0
	}
	if _, ok := t.young[text]; !ok {
		t.bytes += len(text)
	}
	t.young[text] = list
}

// Parse is the function Parse, with a memory: the statement of a query that was asked lately is the same one, with its plan.
func (e *Engine) Parse(text string) ([]*Statement, error) {
	if list := e.texts.find(text); list != nil {
		return list, nil
	}
	list, err := Parse(text)
	if err == nil {
		e.texts.keep(text, list)
	}
	return list, err
}
