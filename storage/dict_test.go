package storage

import (
	"fmt"
	"sync"
	"testing"
)

func TestDictGivesCodesInOrderOfUse(t *testing.T) {
	d := newDict()
	const n = 20_000
	for i := range n {
		if c, added := d.intern(fmt.Sprint("value ", i)); c != uint32(i+1) || !added {
			t.Fatalf("value %d got code %d, added %v", i, c, added)
		}
	}
	if c, added := d.intern("value 77"); c != 78 || added {
		t.Fatalf("a known value got code %d, added %v", c, added)
	}
	for i := range n {
		v := fmt.Sprint("value ", i)
		if c, ok := d.lookup(v, d.n); !ok || c != uint32(i+1) || d.value(c) != v {
			t.Fatalf("lookup(%q) = %d, %v", v, c, ok)
		}
	}
	if _, ok := d.lookup("value 100", 50); ok {
		t.Error("a reader that knows 50 values found the 101st")
	}
	if per := float64(d.memory()) / n; per > 28 {
		t.Errorf("%.1f bytes for a value of 10 to 11 bytes, want at most 28", per)
	}
}

func TestDictHoldsEmptyAndLongValues(t *testing.T) {
	d := newDict()
	long := string(make([]byte, 1024))
	for range 200 {
		d.intern(fmt.Sprint(d.n) + long[:1000])
	}
	e, _ := d.intern("")
	l, _ := d.intern(long)
	if d.value(e) != "" || d.value(l) != long || d.value(1) != "0"+long[:1000] {
		t.Error("values came back changed")
	}
}

// Readers look values up while the writer adds them: each sees all that was published before it asked.
func TestDictConcurrentLookups(t *testing.T) {
	d := newDict()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := uint32(0); n < 5000; {
				n = d.published.Load()
				if n == 0 {
					continue
				}
				v := fmt.Sprint("v", n)
				if c, ok := d.lookup(v, n); !ok || c != n || d.value(c) != v {
					t.Errorf("lookup(%q) = %d, %v", v, c, ok)
					return
				}
			}
		})
	}
	for i := 1; i <= 5000; i++ {
		d.intern(fmt.Sprint("v", i))
		if i%7 == 0 || i == 5000 {
			d.published.Store(d.n)
		}
	}
	wg.Wait()
}
