package storage

import "sync/atomic"

// counters are totals since Open.
type counters struct {
	checkpoints, checkpointBytes, checkpointNanos, evicted, readBack atomic.Uint64
}

// Stats are figures of one store.
type Stats struct {
	Tables          int
	Windows         int
	Cells           uint64 // that are not zero
	Blocks          int    // with cells in memory
	BlockBytes      int64  // that these take
	DirtyBytes      int64  // of blocks changed since the last checkpoint began
	Checkpoints     uint64 // since Open, as all that follows
	CheckpointBytes uint64 // given to Pebble
	CheckpointNanos uint64 // time spent
	Evicted         uint64 // blocks
	ReadBack        uint64 // blocks
}

// Stats takes a look. It waits for a step in progress.
func (s *Store) Stats() Stats {
	st := Stats{
		Checkpoints: s.stats.checkpoints.Load(), CheckpointBytes: s.stats.checkpointBytes.Load(),
		CheckpointNanos: s.stats.checkpointNanos.Load(), Evicted: s.stats.evicted.Load(), ReadBack: s.stats.readBack.Load(),
	}
	st.Blocks, st.BlockBytes = s.clock.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.DirtyBytes = s.dirtyNow
	st.Tables = len(s.root.tables)
	for _, t := range s.root.tables {
		st.Windows += len(t.windows)
		for _, w := range t.windows {
			st.Cells += w.live
		}
	}
	return st
}
