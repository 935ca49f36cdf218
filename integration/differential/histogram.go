package differential

import (
	"fmt"
	"slices"
	"strings"
)

// Histogram counts what was asked and how it was answered.
type Histogram struct {
	Equal    int // queries with equal results
	Rows     int // of them, those with rows
	Deep     int // of them, those with a join or a subquery
	Others   int // statements about the session with equal results
	Writes   int // writes after which the tables were equal
	Refused  int // statements that both refused
	SameCode int // of them, those with the same SQLSTATE
	Slow     int // statements that took one of them too long, or too much memory
	uses     map[string]int
}

// NewHistogram is an empty one.
func NewHistogram() *Histogram { return &Histogram{uses: map[string]int{}} }

// deep are the productions that make a query one with a join or a subquery.
var deep = []string{"INNER JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "NATURAL JOIN", "USING", "FROM a, b", "LATERAL", "LATERAL (query)",
	"scalar subquery", "EXISTS", "IN (query)", "ANY, ALL (query)", "ARRAY(query)", "derived table", "WITH"}

// Count counts one use of a production.
func (h *Histogram) Count(production string) { h.uses[production]++ }

// Add counts a statement whose answers were equal.
func (h *Histogram) Add(s *Statement, quipu, postgres *Result) {
	if (quipu.Code == "") != (postgres.Code == "") {
		return // answered on one side alone, on purpose
	}
	if quipu.Code != "" {
		h.Refused++
		if quipu.Code == postgres.Code {
			h.SameCode++
		}
		if !s.Productions()["error"] { // a query that failed by chance shows nothing of its productions
			return
		}
	}
	used := s.Productions()
	for p := range used {
		h.uses[p]++
	}
	switch {
	case quipu.Code != "" || s.Silent:
	case s.Check != "":
		h.Writes++
	case s.Query:
		h.Equal++
		if quipu.Rows() > 0 {
			h.Rows++
		}
		if slices.ContainsFunc(deep, func(p string) bool { return used[p] }) {
			h.Deep++
		}
	default:
		h.Others++
	}
}

// String is the histogram as docs/bench shows it.
func (h *Histogram) String() string {
	var b strings.Builder
	share := func(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }
	fmt.Fprintf(&b, "%6d queries equal, %.1f %% of them with rows, %.1f %% with a join or a subquery\n", h.Equal, share(h.Rows, h.Equal), share(h.Deep, h.Equal))
	fmt.Fprintf(&b, "%6d statements about the session equal\n%6d writes equal\n%6d statements refused by both, %.1f %% with the same SQLSTATE, all with one of its class\n%6d too slow or too large for one of them\n\n",
		h.Others, h.Writes, h.Refused, share(h.SameCode, h.Refused), h.Slow)
	for _, p := range productions() {
		fmt.Fprintf(&b, "%6d %s\n", h.uses[p], p)
	}
	return b.String()
}

// Check says what h falls short of: least uses of every production of the grammar, seven results of ten that are not empty, and three queries
// of ten with a join or a subquery.
func (h *Histogram) Check(least int) error {
	var rare, strange []string
	for _, p := range productions() {
		if n := h.uses[p]; n < least {
			rare = append(rare, fmt.Sprintf("%s (%d)", p, n))
		}
	}
	for p := range h.uses {
		if !slices.Contains(productions(), p) {
			strange = append(strange, p)
		}
	}
	slices.Sort(strange)
	switch {
	case len(strange) > 0:
		return fmt.Errorf("no rule of the grammar has the productions %s", strings.Join(strange, ", "))
	case len(rare) > 0:
		return fmt.Errorf("fewer than %d uses of %s", least, strings.Join(rare, ", "))
	case h.Rows*10 < h.Equal*7:
		return fmt.Errorf("%d of %d results have rows, fewer than 70 %%", h.Rows, h.Equal)
	case h.Deep*10 < h.Equal*3:
		return fmt.Errorf("%d of %d queries have a join or a subquery, fewer than 30 %%", h.Deep, h.Equal)
	case least > 0 && h.Slow*100 > h.Equal: // the machine alone may slow a handful
		return fmt.Errorf("%d statements were too slow or too large beside %d queries, more than 1 %%", h.Slow, h.Equal)
	}
	return nil
}
