package query

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quipudb/quipu/query/plan"
)

// Bounds of what is kept about statements.
const (
	statementsMax    = 500  // texts, the oldest of which is forgotten first
	activityBytesMax = 1000 // of one text
)

// activity is the statements that run and what came of those that ran, by text.
type activity struct {
	mu     sync.Mutex // guards the fields below
	last   uint64
	oldest *running // that runs
	newest *running
	ran    map[string]*ran
	order  []string // of ran, oldest first
}

// running is a statement that runs. Its owner has it from begin to end.
type running struct {
	id              uint64 // 0: it is not shown
	principal, text string
	began           time.Time
	older, newer    *running // guarded by activity.mu
}

type ran struct {
	calls, errors, rows int64
	all, longest        time.Duration
	last                time.Time
}

func newActivity() *activity { return &activity{ran: map[string]*ran{}} }

// shownText is what of a text everybody may see.
func shownText(text string) string {
	if len(text) > activityBytesMax {
		text = strings.ToValidUTF8(text[:activityBytesMax], "")
	}
	if strings.Contains(strings.ToLower(text), "password") {
		text = "(a statement about a password)"
	}
	return text
}

// begin notes in r a statement that starts, by its shown text, which is empty for the settings of a connection.
func (a *activity) begin(r *running, principal, text string, now time.Time) {
	*r = running{principal: principal, text: text, began: now}
	if text == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	r.id = a.last
	if r.older = a.newest; r.older == nil {
		a.oldest = r
	} else {
		r.older.newer = r
	}
	a.newest = r
}

// end notes that the statement of r has ended.
func (a *activity) end(r *running, now time.Time, rows int64, err error) {
	if r.id == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.older == nil {
		a.oldest = r.newer
	} else {
		r.older.newer = r.newer
	}
	if r.newer == nil {
		a.newest = r.older
	} else {
		r.newer.older = r.older
	}
	a.count(r.text, rows, now.Sub(r.began), now, err)
}

func (a *activity) count(text string, rows int64, took time.Duration, now time.Time, err error) {
	r := a.ran[text]
	if r == nil {
		if len(a.order) == statementsMax {
			delete(a.ran, a.order[0])
			a.order = slices.Delete(a.order, 0, 1)
		}
		r = &ran{}
		a.ran[text] = r
		a.order = append(a.order, text)
	}
	r.calls++
	r.rows += rows
	r.all += took
	r.longest = max(r.longest, took)
	r.last = now
	if err != nil {
		r.errors++
	}
}

// queries are the rows of quipu.queries.
func (a *activity) queries(now time.Time) [][]plan.Value {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out [][]plan.Value
	for r := a.oldest; r != nil; r = r.newer {
		out = append(out, []plan.Value{plan.IntValue(int64(r.id)), plan.TextValue(r.principal), plan.TimeValue(r.began),
			plan.FloatValue(now.Sub(r.began).Seconds()), plan.TextValue(r.text)})
	}
	return out
}

// statements are the rows of quipu.statements.
func (a *activity) statements() [][]plan.Value {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out [][]plan.Value
	for _, text := range a.order {
		r := a.ran[text]
		out = append(out, []plan.Value{plan.TextValue(text), plan.IntValue(r.calls), plan.IntValue(r.errors), plan.IntValue(r.rows),
			plan.FloatValue(r.all.Seconds()), plan.FloatValue(r.longest.Seconds()), plan.TimeValue(r.last)})
	}
	return out
}
