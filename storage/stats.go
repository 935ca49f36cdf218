package storage

import (
	"fmt"
	"sync/atomic"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

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

// TableSize is what one table takes.
type TableSize struct {
	Cells     uint64 // that are not zero
	DiskBytes uint64 // of its keys in Pebble, about; what changed since the last checkpoint is not in it
}

// TableSizes measures every table. It takes a snapshot, and reads the index of files that hold a table's ends.
func (s *Store) TableSizes() (map[schema.TableID]TableSize, error) {
	n, err := s.Snapshot()
	if err != nil {
		return nil, err
	}
	defer n.Release()
	if err := s.views.scan(n.view); err != nil { // the database stays open as long
		return nil, err
	}
	defer s.views.scanned(n.view)
	out := make(map[schema.TableID]TableSize, len(n.root.tables))
	for _, t := range n.root.tables {
		size := TableSize{Cells: TableView{n, t}.Cells()}
		for _, kind := range []keys.Kind{keys.Dict, keys.Live, keys.Block} {
			r := keys.TableRange(kind, uint64(t.def.ID))
			bytes, err := n.view.pin.db.EstimateDiskUsage(r.Start, r.End)
			if err != nil {
				return nil, fmt.Errorf("storage: size of table %d: %w", t.def.ID, err)
			}
			size.DiskBytes += bytes
		}
		out[t.def.ID] = size
	}
	return out, nil
}
