package query

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/storage/schema"
)

// Both thresholds of the confidence gate, just below and just above: 800 ms and 5.99 for three voters, 1.2 s and 9.49 for five.
func TestConfidenceGate(t *testing.T) {
	for name, c := range map[string]struct {
		age     time.Duration
		entries []uint64
		shut    string
	}{
		"three, fresh":        {800 * time.Millisecond, []uint64{100, 100, 100}, ""},
		"three, too old":      {801 * time.Millisecond, []uint64{100, 100, 100}, "801ms"},
		"three, nearly even":  {0, []uint64{117, 100, 83}, ""}, // X² = 5.78
		"three, uneven":       {0, []uint64{118, 100, 82}, "X² = 6.48 above 5.99"},
		"five, fresh":         {1200 * time.Millisecond, []uint64{9, 9, 9, 9, 9}, ""},
		"five, too old":       {1201 * time.Millisecond, []uint64{9, 9, 9, 9, 9}, "1.201s"},
		"five, nearly even":   {0, []uint64{121, 100, 100, 100, 79}, ""}, // X² = 8.82
		"five, uneven":        {0, []uint64{122, 100, 100, 100, 78}, "X² = 9.68 above 9.49"},
		"three, idle":         {0, []uint64{0, 0, 0}, ""},
		"three, one is away":  {0, []uint64{10, 10, 0}, "X² = 10.00"},
		"one voter":           {400 * time.Millisecond, []uint64{77}, ""},
		"nothing heard of it": {400 * time.Millisecond, nil, ""},
	} {
		s := ShardFreshness{Age: c.age, Entries: c.entries}
		if got := s.Shut(); (got == "") != (c.shut == "") || !strings.Contains(got, c.shut) {
			t.Errorf("%s: shut %q", name, got)
		}
	}
	if critical(3) != 5.99 || critical(5) != 9.49 {
		t.Errorf("critical values %v and %v", critical(3), critical(5))
	}
}

func TestMissingMax(t *testing.T) {
	f := Freshness{Shards: []ShardFreshness{{Age: 2 * time.Second, Rate: 10.2}, {Age: time.Second}, {Age: 500 * time.Millisecond, Rate: 1}}}
	if got := f.MissingMax(); got != 22 {
		t.Errorf("%v observations", got)
	}
	if f.Missing = []schema.ShardID{2}; !math.IsInf(f.MissingMax(), 1) {
		t.Error("a missing shard may hold any number")
	}
}
