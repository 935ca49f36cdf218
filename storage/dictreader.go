package storage

import (
	"sync/atomic"

	"github.com/quipudb/quipu/storage/schema"
)

// DictReader looks values of one table up while the writer goes on. It sees values of ended Updates only. A reader outlives ALTER but
// not the table, nor the installation of a streamed state: ask Store.Dict again for each batch.
type DictReader struct {
	dicts atomic.Pointer[[]*dict]
}

// Dict is the reader for a table, or nil if there is none with the id.
func (s *Store) Dict(id schema.TableID) *DictReader {
	r, ok := s.dicts.Load(id)
	if !ok {
		return nil
	}
	return r.(*DictReader)
}

// Lookup is the applied code of a value of dimension dim. NULL is code 0 and not a value.
func (r *DictReader) Lookup(dim int, value string) (uint32, bool) {
	dicts := *r.dicts.Load()
	if dim >= len(dicts) {
		return 0, false
	}
	d := dicts[dim]
	return d.lookup(value, d.published.Load())
}

// Len is the number of applied values of dimension dim.
func (r *DictReader) Len(dim int) uint32 {
	dicts := *r.dicts.Load()
	if dim >= len(dicts) {
		return 0
	}
	return dicts[dim].published.Load()
}

// Value is the text of an applied code of dimension dim, "" for NULL.
func (r *DictReader) Value(dim int, code uint32) string {
	if code == 0 {
		return ""
	}
	return (*r.dicts.Load())[dim].value(code)
}

func (s *Store) publishDicts(t *table) {
	dicts := t.dicts
	fresh := new(DictReader)
	fresh.dicts.Store(&dicts)
	if r, found := s.dicts.LoadOrStore(t.def.ID, fresh); found {
		r.(*DictReader).dicts.Store(&dicts)
	}
}
