package storage

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Memory is a budget that the stores of a node share. It covers the cells of blocks, dictionaries, rows of the state machine, and
// what only snapshots still hold.
type Memory struct {
	budget  int64
	used    atomic.Int64
	dirty   atomic.Int64 // bytes of blocks that no checkpoint has written yet; never evicted
	readers atomic.Int64 // bytes that only snapshots hold

	mu     sync.Mutex // guards the fields below
	stores []*Store
	less   chan struct{} // closed when dirty has fallen
}

// NewMemory is a budget of the given number of bytes.
func NewMemory(bytes int64) *Memory { return &Memory{budget: bytes, less: make(chan struct{})} }

// Budget is the number of bytes that m was made with.
func (m *Memory) Budget() int64 { return m.budget }

// Used is the number of bytes that all stores hold now.
func (m *Memory) Used() int64 { return m.used.Load() }

func (m *Memory) over() bool        { return m.used.Load() > m.budget }
func (m *Memory) busy() bool        { return m.dirty.Load() > m.budget/4 }
func (m *Memory) crowded() bool     { return m.dirty.Load() > m.budget/2 }
func (m *Memory) readersOver() bool { return m.readers.Load() > m.budget/4 }

// tight reports that less than a sixteenth of the budget is free.
func (m *Memory) tight() bool { return m.used.Load() > m.budget-m.budget/16 }

// add changes the accounts; a store that takes the sum over the budget wakes all of them to evict.
func (m *Memory) add(bytes int64) {
	if used := m.used.Add(bytes); bytes > 0 && used > m.budget && used-bytes <= m.budget {
		m.wake()
	}
}

func (m *Memory) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.stores {
		s.kickCheckpointer()
	}
}

// saved tells who waits for room that dirty has fallen.
func (m *Memory) saved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.less)
	m.less = make(chan struct{})
}

// nextSaved is closed at the next call of saved.
func (m *Memory) nextSaved() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.less
}

func (m *Memory) join(s *Store) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores = append(m.stores, s)
}

func (m *Memory) leave(s *Store) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores = slices.DeleteFunc(m.stores, func(o *Store) bool { return o == s })
}

// clock is the ring of blocks with cells in memory, over which a hand goes round: a block that was used since the hand's last visit
// stays for another round. Its methods keep the accounts of blocks.
type clock struct {
	memory *Memory

	mu    sync.Mutex // guards what follows, and ring and bytes of every block
	ring  []*block
	hand  int
	bytes int64
	floor uint64 // blocks of this epoch and older belong to a state that was replaced
}

// adopt takes h, which has cells now, into the ring.
func (k *clock) adopt(h *block) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.enter(h, h.data.Load())
}

func (k *clock) enter(h *block, c *cells) {
	h.ring = int32(len(k.ring))
	h.bytes = c.memory()
	k.ring = append(k.ring, h)
	k.bytes += h.bytes
	k.memory.add(h.bytes)
}

// install gives an evicted block the cells that were read back, unless somebody else did or the block has left the tree. It returns
// the cells to use.
func (k *clock) install(h *block, c *cells) *cells {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := h.data.Load(); d != nil {
		return d
	}
	if h.ring == ringGone || h.epoch <= k.floor {
		return c
	}
	h.used.Store(true)
	h.data.Store(c)
	k.enter(h, c)
	return c
}

// Places of a block outside the ring.
const (
	ringOut  = -1 // not in memory
	ringGone = -2 // no longer part of the newest tree
)

// resized brings h's account up to date, unless h was evicted meanwhile, and returns the change.
func (k *clock) resized(h *block) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := h.data.Load()
	if c == nil {
		return 0
	}
	diff := c.memory() - h.bytes
	h.bytes += diff
	k.bytes += diff
	k.memory.add(diff)
	return diff
}

// part takes h out of the ring for good and returns the bytes that its cells hold, which the caller accounts for from now on.
func (k *clock) part(h *block) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.ring >= 0 {
		k.remove(h)
	}
	h.ring = ringGone
	bytes := h.bytes
	h.bytes = 0
	k.bytes -= bytes
	return bytes
}

func (k *clock) remove(h *block) {
	last := k.ring[len(k.ring)-1]
	k.ring[h.ring] = last
	last.ring = h.ring
	k.ring[len(k.ring)-1] = nil
	k.ring = k.ring[:len(k.ring)-1]
	h.ring = ringOut
}

// evict drops the cells of blocks that may go, until the sum over all stores is at most target or the hand has looked at steps blocks.
func (k *clock) evict(target int64, steps int, may func(*block) bool) (dropped int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ; steps > 0 && len(k.ring) > 0 && k.memory.used.Load() > target; steps-- {
		if k.hand >= len(k.ring) {
			k.hand = 0
		}
		h := k.ring[k.hand]
		if h.used.Load() {
			h.used.Store(false)
			k.hand++
			continue
		}
		if !may(h) {
			k.hand++
			continue
		}
		h.data.Store(nil)
		k.remove(h)
		k.bytes -= h.bytes
		k.memory.add(-h.bytes)
		h.bytes = 0
		dropped++
	}
	return dropped
}

// size is the number of resident blocks and their bytes.
func (k *clock) size() (blocks int, bytes int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ring), k.bytes
}

// clear takes all blocks, whose epochs are at most floor, out of the accounts.
func (k *clock) clear(floor uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.memory.add(-k.bytes)
	k.ring, k.hand, k.bytes, k.floor = nil, 0, 0, floor
}
