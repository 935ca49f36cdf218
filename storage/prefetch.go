package storage

import (
	"context"

	"github.com/quipudb/quipu/storage/schema"
)

// Prefetch reads blocks back that adding to the cells cols[0][i], cols[1][i], … of a window will need, so that the writer does not have
// to. Columns have codes, as AddColumns takes them; cells that do not exist yet are passed over. It may be called from anywhere, and
// it is no harm if it comes too late.
func (s *Store) Prefetch(ctx context.Context, id schema.TableID, window int64, cols [][]uint32) error {
	m := s.missing(id, window, cols)
	if m == nil {
		return nil
	}
	defer func() {
		s.views.mu.Lock()
		s.views.unpin(m.pin)
		s.views.mu.Unlock()
	}()
	for h, epoch := range m.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := s.readBlock(m.pin, m.t, m.w, h)
		if err != nil {
			return err
		}
		if c.pack != nil {
			c.index()
		}
		s.mu.Lock()
		if h.epoch == epoch && h.data.Load() == nil { // nobody has read and changed it meanwhile
			s.clock.install(h, c)
		}
		s.mu.Unlock()
	}
	return nil
}

// missing are blocks of one window without their cells, with their epochs, and a referenced pin to read them from.
type missing struct {
	pin    *pin
	t      *table
	w      *window
	blocks map[*block]uint64
}

func (s *Store) missing(id schema.TableID, window int64, cols [][]uint32) *missing {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.root.find(id)
	if !ok || s.closed {
		return nil
	}
	t := s.root.tables[i]
	j, ok := t.find(window)
	if !ok || len(cols) != len(t.lens) {
		return nil
	}
	m := &missing{t: t, w: t.windows[j], blocks: make(map[*block]uint64)}
	codes := make([]uint32, len(cols))
	for row := range cols[0] {
		for d := range cols {
			codes[d] = cols[d][row]
		}
		inner(codes, t.swapped)
		if h := m.w.holder(codes); h != nil && h.data.Load() == nil {
			m.blocks[h] = h.epoch
		}
	}
	if len(m.blocks) == 0 {
		return nil
	}
	m.pin = s.pin
	s.views.mu.Lock()
	m.pin.refs++
	s.views.mu.Unlock()
	return m
}

// holder is the block that holds or would hold a cell, or nil.
func (w *window) holder(codes []uint32) *block {
	if w.dense == nil {
		return w.at(hashCodes(codes) >> 1 >> (63 - w.depth))
	}
	n, ok := w.dense.index(codes)
	if !ok {
		return nil
	}
	return w.at(n >> blockBits)
}
