package replica

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the answers into testdata/gate.txt")

// gateScript plays one scenario of testdata/gate.txt against a gate whose group is two numbers.
type gateScript struct {
	gate    *Gate
	mu      sync.Mutex // guards the fields below
	commit  uint64
	term    uint64
	leads   bool
	started time.Time
	notes   []string // what background steps have said, in order
}

func newGateScript() *gateScript {
	s := &gateScript{commit: 10, term: 3, leads: true, started: time.Now()}
	s.gate = NewGate(func() uint64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.commit
	}, func() (uint64, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.leads {
			return 0, errors.New("not leader")
		}
		return s.term, nil
	})
	return s
}

func (s *gateScript) note(name, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, fmt.Sprintf("%s: %s at %v", name, what, time.Since(s.started).Round(time.Millisecond)))
}

// said is the number of answers so far.
func (s *gateScript) said() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.notes)
}

// sort orders the answers after the first from: what one step lets go leaves in no order.
func (s *gateScript) sort(from int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.notes[from:])
}

// step runs one line. Steps that may wait run in the background and say their answer when they have one.
func (s *gateScript) step(t *testing.T, line string) {
	f := strings.Fields(line)
	num := func(i int) uint64 {
		v, err := strconv.ParseUint(f[i], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return v
	}
	round := func(i int) Round {
		var r Round
		if _, err := fmt.Sscanf(f[i], "%d/%d", &r.MetaTerm, &r.Number); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return r
	}
	switch f[0] {
	case "commit-index":
		s.mu.Lock()
		s.commit = num(1)
		s.mu.Unlock()
	case "term":
		s.mu.Lock()
		s.term = num(1)
		s.mu.Unlock()
	case "lose":
		s.mu.Lock()
		s.leads = false
		s.mu.Unlock()
		s.gate.Reset()
	case "pass":
		go func() {
			if err := s.gate.Pass(context.Background(), num(1)); err != nil {
				s.note(line, err.Error())
				return
			}
			s.note(line, "left")
		}()
	case "prepare":
		go func() {
			p, err := s.gate.Prepare(context.Background(), round(1))
			if err != nil {
				s.note(line, err.Error())
				return
			}
			s.note(line, fmt.Sprintf("index %d term %d", p.Index, p.Term))
		}()
	case "commit":
		if err := s.gate.Commit(round(1), num(2)); err != nil {
			s.note(line, err.Error())
		} else {
			s.note(line, "yes")
		}
	case "abort":
		s.gate.Abort(round(1))
	case "sleep":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
	default:
		t.Fatalf("unknown step %q", line)
	}
}

// TestGate plays the scenarios of testdata/gate.txt: a heading, steps, "----", what was said.
func TestGate(t *testing.T) {
	const file = "testdata/gate.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), "\n# ")
	var out bytes.Buffer
	out.WriteString(head)
	for scenario := range strings.SplitSeq(rest, "\n# ") {
		title, body, _ := strings.Cut(scenario, "\n")
		steps, want, _ := strings.Cut(body, "----\n")
		var got string
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newGateScript()
				for line := range strings.Lines(steps) {
					from := s.said()
					s.step(t, strings.TrimSpace(line))
					synctest.Wait()
					s.sort(from)
				}
				from := s.said()
				time.Sleep(2 * HoldMax) // whatever waits has its answer by then
				synctest.Wait()
				s.sort(from)
				got = strings.Join(s.notes, "\n") + "\n"
			})
			if !*rewrite && strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
		fmt.Fprintf(&out, "\n# %s\n%s----\n%s", title, steps, got)
	}
	if *rewrite {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPassEndsWithItsContext(t *testing.T) {
	s := newGateScript()
	if _, err := s.gate.Prepare(t.Context(), Round{1, 1}); err != nil {
		t.Fatal(err)
	}
	s.commit = 11
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.gate.Pass(ctx, 11); !errors.Is(err, context.Canceled) {
		t.Fatalf("Pass = %v", err)
	}
}

// TestGateHolds runs writers and rounds against each other: between the answer to PREPARE and the release nothing above its
// index may leave.
func TestGateHolds(t *testing.T) {
	var mu sync.Mutex
	var commit, left uint64 // the newest index that left
	g := NewGate(func() uint64 { mu.Lock(); defer mu.Unlock(); return commit }, func() (uint64, error) { return 1, nil })
	commit = 1
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				commit++
				mine := commit
				mu.Unlock()
				if err := g.Pass(context.Background(), mine); err != nil {
					t.Error(err)
				}
				mu.Lock()
				left = max(left, mine)
				mu.Unlock()
			}
		})
	}
	for n := range uint64(2000) {
		p, err := g.Prepare(t.Context(), Round{1, n + 1})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			mu.Lock()
			seen := left
			mu.Unlock()
			if seen > p.Index {
				t.Errorf("round %d holds at %d, %d left", n+1, p.Index, seen)
			}
		}
		if err := g.Commit(Round{1, n + 1}, p.Term); err != nil && !errors.Is(err, ErrNoHold) {
			t.Fatal(err)
		}
	}
	close(stop)
	writers.Wait()
}

func BenchmarkPassOpenGate(b *testing.B) {
	g := NewGate(func() uint64 { return 10 }, func() (uint64, error) { return 1, nil })
	for b.Loop() {
		if err := g.Pass(context.Background(), 9); err != nil {
			b.Fatal(err)
		}
	}
}
