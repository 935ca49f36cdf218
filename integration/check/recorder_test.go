package check_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/integration/check"
)

// A store that forgets an acknowledged add, recorded and found out.
func Example() {
	rec := check.NewRecorder(1, map[string]string{"seed": "1"})
	w := rec.Writer(0)
	for _, delta := range []int64{500, 70} {
		p := w.Add(delta, 0)
		p.Acked() // the store says so
	}
	r := rec.Read(0, check.Strict)
	r.Returned(check.View{Shard: 0, Cells: []int64{70}, Sum: 70})
	fmt.Println(check.Violated(check.Verify(rec.History())))
	// Output: true
}

// TestRecorderKeepsIntervals records a correct store under concurrent clients, in virtual time: every interval spans its operation.
func TestRecorderKeepsIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := check.NewRecorder(1, nil)
		var mu sync.Mutex // guards cells
		cells := make([]int64, 8)
		var wg sync.WaitGroup
		for client := range 4 {
			w := rec.Writer(client)
			wg.Go(func() {
				for i := range 50 {
					p := w.Add(int64(1+i), 0)
					time.Sleep(time.Duration(client+1) * time.Millisecond)
					mu.Lock()
					cells[w.ID()] += int64(1 + i)
					mu.Unlock()
					time.Sleep(time.Millisecond)
					p.Acked()
					r := rec.Read(client, check.Strict)
					mu.Lock()
					v := check.View{Cells: append([]int64(nil), cells[:4]...), Sum: cells[0] + cells[1] + cells[2] + cells[3]}
					mu.Unlock()
					time.Sleep(time.Millisecond)
					r.Returned(v)
				}
			})
		}
		wg.Wait()
		h := rec.History()
		if s := h.Summary(); s.Acked != 200 || s.Reads != 200 || s.Failed != 0 || s.Void(100, 0.95) != nil {
			t.Errorf("%v", s)
		}
		if err := check.Verify(h); err != nil {
			t.Error(err)
		}
	})
}

// TestRecorderKnowsWhatHasNoAnswer: an operation that never came back is in the history as what it is.
func TestRecorderKnowsWhatHasNoAnswer(t *testing.T) {
	rec := check.NewRecorder(2, nil)
	a, b := rec.Writer(0), rec.Writer(1)
	a.Add(5, 0, 1)
	b.Add(7, 0, 1).Answered([]int{1})
	rec.Read(0, check.Strict)
	h := rec.History()
	if s := h.Summary(); s.Unknown != 2 || s.Acked != 1 || s.Refused != 1 || s.Failed != 1 || s.Reads != 0 {
		t.Errorf("%v", s)
	}
	if !a.Retired() || b.Retired() {
		t.Error("a writer is retired if and only if its last add has no answer")
	}
	if s := h.Summary(); s.Void(0, 0.95) == nil {
		t.Error("a run without an answered read proves nothing")
	}
	defer func() {
		if recover() == nil {
			t.Error("a retired writer took another add")
		}
	}()
	a.Add(1, 0)
}
