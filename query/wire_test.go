package query_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage"
)

// seen are encodings that went over the wire of a world.
type seen struct {
	fragments, partials, totals, shares, rows map[string]*plan.Fragment
}

// wired makes the shards of w answer by the encodings only, as if they were on other nodes. What travels is kept if keep is not nil.
func (w *world) wired(keep *seen) {
	w.remote = func(snap *storage.Snapshot, f *plan.Fragment, o exec.Options) (exec.Worker, error) {
		b := f.Encode()
		copied, err := plan.DecodeFragment(b)
		if err != nil {
			return nil, err
		}
		if again := copied.Encode(); !bytes.Equal(again, b) {
			w.tb.Errorf("a fragment has two encodings:\n%x\n%x", b, again)
		}
		run, err := exec.OpenRun(snap, copied, o)
		if err != nil {
			return nil, err
		}
		wire := &wire{Run: run, w: w, f: f, keep: keep}
		wire.note(func(s *seen) map[string]*plan.Fragment { return s.fragments }, b)
		return wire, nil
	}
}

// wire is a Run whose answers were bytes on their way.
type wire struct {
	*exec.Run
	w    *world
	f    *plan.Fragment
	keep *seen
}

func (x *wire) note(kind func(*seen) map[string]*plan.Fragment, b []byte) {
	if x.keep != nil {
		kind(x.keep)[string(b)] = x.f
	}
}

// same fails the test if what was decoded has other bytes.
func (x *wire) same(before, after []byte, err error) error {
	if err == nil && !bytes.Equal(before, after) {
		x.w.tb.Errorf("two encodings:\n%x\n%x", before, after)
	}
	return err
}

func (x *wire) First(ctx context.Context) (*exec.Partial, error) {
	p, err := x.Run.First(ctx)
	if err != nil {
		return nil, err
	}
	b, err := p.Encode(x.f)
	if err != nil {
		return nil, err
	}
	x.note(func(s *seen) map[string]*plan.Fragment { return s.partials }, b)
	out, err := exec.DecodePartial(b, x.f, nil)
	if err != nil {
		return nil, err
	}
	again, err := out.Encode(x.f)
	return out, x.same(b, again, err)
}

func (x *wire) Second(ctx context.Context, totals []exec.Totals) ([]exec.Term, error) {
	down := exec.EncodeTotals(totals)
	x.note(func(s *seen) map[string]*plan.Fragment { return s.totals }, down)
	copied, err := exec.DecodeTotals(down, nil)
	if err := x.same(down, exec.EncodeTotals(copied), err); err != nil {
		return nil, err
	}
	shares, err := x.Run.Second(ctx, copied)
	if err != nil {
		return nil, err
	}
	up, err := exec.EncodeTerms(shares)
	if err != nil {
		return nil, err
	}
	x.note(func(s *seen) map[string]*plan.Fragment { return s.shares }, up)
	return exec.DecodeTerms(up, x.f, copied, nil)
}

func (x *wire) Cells(ctx context.Context, emit func([]plan.Value) error) error {
	rows := exec.NewRows(x.f)
	flush := func() error {
		b := rows.Take()
		x.note(func(s *seen) map[string]*plan.Fragment { return s.rows }, b)
		return exec.EachRow(b, x.f, emit)
	}
	err := x.Run.Cells(ctx, func(row []plan.Value) error {
		if rows.Add(row); rows.Len() < 3 {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// TestScriptsOverTheWire runs every script on shards that answer in bytes.
func TestScriptsOverTheWire(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, 4)
			w.wired(nil)
			runScript(t, w, string(text))
		})
	}
}

// TestBitsOverTheWire holds that answers in bytes have the bits of answers in memory, in every mode.
func TestBitsOverTheWire(t *testing.T) {
	rows := scatter(crossedTables(t))
	same := sameBits{}
	for _, shards := range []int{1, 3} {
		w := newWorld(t, shards)
		w.fill(rows)
		for _, wired := range []bool{false, true} {
			if w.remote = nil; wired {
				w.wired(nil)
			}
			for _, l := range layouts {
				for _, mode := range l.modes {
					for _, row := range w.must("SELECT k, "+bothTests+" FROM "+l.table+" GROUP BY k", "quipu.force_mode", mode).rows {
						same.check(t, row[0].Text(), row[1:])
					}
				}
			}
		}
	}
}

// corpus is what the scripts' queries send.
func corpus(f *testing.F) *seen {
	s := &seen{map[string]*plan.Fragment{}, map[string]*plan.Fragment{}, map[string]*plan.Fragment{}, map[string]*plan.Fragment{}, map[string]*plan.Fragment{}}
	for _, file := range []string{"select.txt", "tests.txt", "join.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		w := newWorld(f, 3)
		w.wired(s)
		runScript(f, w, string(text))
	}
	return s
}

func sortedKeys(m map[string]*plan.Fragment) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// FuzzFragment holds that no bytes make the decoder fail, and that what it accepts has one encoding.
func FuzzFragment(f *testing.F) {
	for _, b := range sortedKeys(corpus(f).fragments) {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := plan.DecodeFragment(b)
		if err != nil {
			return
		}
		once := x.Encode()
		y, err := plan.DecodeFragment(once)
		if err != nil {
			t.Fatal(err)
		}
		if again := y.Encode(); !bytes.Equal(once, again) {
			t.Fatalf("%x\n%x", once, again)
		}
	})
}

// FuzzAnswers is FuzzFragment for what the rounds exchange: kind says what b claims to be, and which of the corpus's fragments it is of.
func FuzzAnswers(f *testing.F) {
	s := corpus(f)
	fragments := sortedKeys(s.fragments)
	place := map[string]int{}
	for i, b := range fragments {
		place[b] = i
	}
	for kind, m := range []map[string]*plan.Fragment{s.partials, s.totals, s.shares, s.rows} {
		for _, b := range sortedKeys(m) {
			f.Add(byte(kind), uint16(place[string(m[b].Encode())]), []byte(b))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, at uint16, b []byte) {
		x, err := plan.DecodeFragment([]byte(fragments[int(at)%len(fragments)]))
		if err != nil {
			t.Fatal(err)
		}
		once, err := recode(kind%4, x, b)
		if err != nil {
			return
		}
		again, err := recode(kind%4, x, once)
		if err != nil || !bytes.Equal(once, again) {
			t.Fatalf("%v\n%x\n%x", err, once, again)
		}
	})
}

// recode decodes b and encodes it.
func recode(kind byte, x *plan.Fragment, b []byte) ([]byte, error) {
	mem := exec.NewBudget(1 << 24)
	switch kind {
	case 0:
		p, err := exec.DecodePartial(b, x, mem)
		if err != nil {
			return nil, err
		}
		return p.Encode(x)
	case 1:
		totals, err := exec.DecodeTotals(b, mem)
		return exec.EncodeTotals(totals), err
	case 2:
		totals := make([]exec.Totals, len(x.Aggs)) // as if each were asked for once
		for i, a := range x.Aggs {
			if totals[i].Agg = i; a.Kind == plan.AggTest && a.Mode == plan.ModeSums {
				totals[i].Sums, _ = a.NewSums(nil).AppendBinary(nil)
			}
		}
		terms, err := exec.DecodeTerms(b, x, totals, mem)
		if err != nil {
			return nil, err
		}
		return exec.EncodeTerms(terms)
	}
	rows := exec.NewRows(x)
	err := exec.EachRow(b, x, func(row []plan.Value) error {
		rows.Add(row)
		return nil
	})
	return rows.Take(), err
}
