package plan

import (
	"bytes"
	"slices"
	"testing"
)

// sampleCells are cells of a test: every combination of two values of each category, which differ from one part to the next in their counts.
func sampleCells(x *Test, part int) *Cells {
	c := NewCells(len(x.Cats))
	cells := 1
	for d, cat := range x.Cats {
		values := []Value{TextValue("p"), TextValue("q")}
		switch cat.Kind {
		case Condition:
			values = []Value{BoolValue(false), BoolValue(true)}
		case Scored, Ordered:
			values = []Value{IntValue(-3), IntValue(5)}
		}
		c.Values[d] = values
		cells *= 2
	}
	for k := range cells {
		for d := range x.Cats {
			c.At[d] = append(c.At[d], uint32(k>>d&1))
		}
		c.Count = append(c.Count, int64(k*k+3+part))
	}
	if x.reshape != nil {
		return x.reshape(c)
	}
	return c
}

// TestSumsTravel holds of the sums of every test, in both rounds, that they read back, that a part of their bytes does not, and that they merge
// in any order.
func TestSumsTravel(t *testing.T) {
	checked := 0
	for _, x := range allTests {
		if x.sums == nil {
			continue
		}
		checked++
		a := &Aggregate{Kind: AggTest, Test: x, Options: x.defaults(), Cats: make([]*Expr, len(x.Cats))}
		first := merged(t, a, nil)
		if second := merged(t, a, first); (second != nil) != (x.sums.second != nil) {
			t.Errorf("%s has a second round: %v", x.Name, second != nil)
		}
	}
	if checked < 10 {
		t.Errorf("%d tests have sums", checked)
	}
}

// merged adds up two parts in both orders, through their bytes, and gives the whole.
func merged(t *testing.T, a *Aggregate, first Sums) Sums {
	t.Helper()
	whole, back := a.NewSums(first), a.NewSums(first)
	if whole == nil {
		return nil
	}
	parts := []Sums{a.NewSums(first), a.NewSums(first)}
	for i, p := range parts {
		if err := p.Add(sampleCells(a.Test, i)); err != nil {
			t.Fatalf("%s: %v", a.Test.Name, err)
		}
		parts[i] = travel(t, a, first, p)
	}
	for i := range parts {
		for _, err := range []error{whole.Merge(parts[i]), back.Merge(parts[1-i])} {
			if err != nil {
				t.Fatalf("%s: %v", a.Test.Name, err)
			}
		}
	}
	if !bytes.Equal(encoded(t, whole), encoded(t, back)) {
		t.Errorf("%s: the order of merging shows", a.Test.Name)
	}
	return whole
}

func encoded(t *testing.T, s Sums) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// travel reads s back from its bytes.
func travel(t *testing.T, a *Aggregate, first, s Sums) Sums {
	t.Helper()
	b := encoded(t, s)
	out := a.NewSums(first)
	if err := out.UnmarshalBinary(b); err != nil {
		t.Fatalf("%s: %v", a.Test.Name, err)
	}
	if !bytes.Equal(encoded(t, out), b) {
		t.Errorf("%s: its sums read back as others", a.Test.Name)
	}
	for n := range b {
		if err := a.NewSums(first).UnmarshalBinary(slices.Clone(b[:n])); err == nil {
			t.Errorf("%s: %d of %d bytes read", a.Test.Name, n, len(b))
		}
	}
	if err := a.NewSums(first).UnmarshalBinary(append(slices.Clone(b), 0)); err == nil {
		t.Errorf("%s: a byte too many was read", a.Test.Name)
	}
	return out
}
