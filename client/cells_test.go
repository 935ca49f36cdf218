package client

import (
	"fmt"
	"strings"
	"testing"
)

func TestCellTableTellsEveryCellApart(t *testing.T) {
	c := newCellTable()
	seen := map[string]uint32{}
	for n := range 40 { // every length class of the hash
		for i := range 50 {
			pairs := []string{"a", strings.Repeat("x", n) + fmt.Sprint(i), fmt.Sprint("d", i%7), "y"}
			id, hash, ok := c.find(pairs)
			key := strings.Join(pairs, "\x00")
			want, known := seen[key]
			if ok != known || ok && id != want {
				t.Fatalf("find(%q) = %d, %v; want %d, %v", pairs, id, ok, want, known)
			}
			if !ok {
				seen[key] = c.insert(pairs, hash)
			}
		}
	}
	for key, want := range seen {
		if id, _, ok := c.find(strings.Split(key, "\x00")); !ok || id != want {
			t.Fatalf("find(%q) = %d, %v; want %d", key, id, ok, want)
		}
	}
}

func TestHashSpreadsShortStrings(t *testing.T) {
	c := newCellTable()
	buckets := make([]int, 1024)
	for i := range 32 * len(buckets) {
		buckets[c.hashPairs([]string{"d0", fmt.Sprint("v", i%200), "d1", fmt.Sprint("v", i/200)})%1024]++
	}
	for i, n := range buckets {
		if n > 96 {
			t.Fatalf("bucket %d has %d of 32 expected", i, n)
		}
	}
}
