package exec

import (
	"sync/atomic"

	"github.com/quipudb/quipu/server/errcode"
)

// Budget bounds the memory of one query over all its goroutines. The nil Budget has no bound.
type Budget struct {
	limit int64
	used  atomic.Int64
	peak  atomic.Int64
}

// NewBudget is a budget of limit bytes.
func NewBudget(limit int64) *Budget { return new(Budget).Bound(limit) }

// Bound begins a budget that nobody uses anew, with this limit.
func (b *Budget) Bound(limit int64) *Budget {
	b.limit = limit
	b.used.Store(0)
	b.peak.Store(0)
	return b
}

// Limit is the bound in bytes; 0 means none.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// Grow takes n bytes, or says that there are none left. Whoever grows shrinks by as much, or ends with the query.
func (b *Budget) Grow(n int64) error {
	if b == nil {
		return nil
	}
	used := b.used.Add(n)
	if used > b.limit {
		b.used.Add(-n)
		return errcode.New(errcode.MemoryLimit, "the query needs more than %d MiB of memory", b.limit>>20).
			WithHint("narrow it with WHERE, group by fewer or coarser columns, or raise quipu.memory_limit")
	}
	for {
		peak := b.peak.Load()
		if used <= peak || b.peak.CompareAndSwap(peak, used) {
			return nil
		}
	}
}

// Shrink gives n bytes back.
func (b *Budget) Shrink(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

// Peak is the most that was in use at once.
func (b *Budget) Peak() int64 {
	if b == nil {
		return 0
	}
	return b.peak.Load()
}
