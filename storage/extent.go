package storage

import "math"

const (
	stepBytesMin = 64 << 20
	blockBytes   = 80 << 10 // a full block of one-word keys with its index; a dense one has less than half
)

// StepCells is how many cells one step should touch at most. Its blocks are dirty together, because nothing cuts through a step, and where
// the budget is used up each cell may need a block of its own: 64 Ki cells would be 5 GiB. So they get a share beside the budget, 64 MiB or
// a 32nd of it for each store. While there is room, and for tables that fit into the share, there is no bound.
func (s *Store) StepCells() int {
	share := max(stepBytesMin, s.memory.budget/32)
	if !s.memory.tight() || s.extent.Load() <= share {
		return math.MaxInt
	}
	return int(share / blockBytes)
}

// extent is about how many bytes all blocks would take in memory.
func (r *root) extent() (bytes int64) {
	for _, t := range r.tables {
		for _, w := range t.windows {
			if w.dense != nil {
				bytes += int64(w.room) * 8
			} else {
				bytes += int64(w.live) * int64(8+8*w.pack.words+4)
			}
		}
	}
	return bytes
}
