package query

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestActivityShowsWhatRuns begins and ends statements in all orders.
func TestActivityShowsWhatRuns(t *testing.T) {
	now := time.Unix(100, 0)
	shown := func(a *activity) (out string) {
		for _, row := range a.queries(now) {
			out += fmt.Sprintf("%d %s %s; ", row[0].Int(), row[1].Text(), row[4].Text())
		}
		return out
	}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		a, runs := newActivity(), [3]running{}
		for i := range runs {
			a.begin(&runs[i], "p", fmt.Sprint("q", i), now)
		}
		var silent running
		a.begin(&silent, "p", "", now)
		gone := map[int]bool{}
		for _, i := range order {
			want := ""
			for k := range runs {
				if !gone[k] {
					want += fmt.Sprintf("%d p q%d; ", k+1, k)
				}
			}
			if got := shown(a); got != want {
				t.Fatalf("%v: %s, not %s", order, got, want)
			}
			a.end(&runs[i], now, 1, nil)
			gone[i] = true
		}
		a.end(&silent, now, 1, errors.New("no"))
		a.begin(&runs[1], "p", "again", now)
		if got := shown(a); got != "4 p again; " {
			t.Fatalf("%v: at last %s", order, got)
		}
		if n := len(a.statements()); n != 3 {
			t.Errorf("%v: %d texts ran", order, n)
		}
	}
}
