package storage

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

// Tx is what an Update may do. It is valid inside that Update only.
type Tx struct {
	s       *Store
	applied schema.Applied
}

// Applied is the last log position set.
func (tx *Tx) Applied() schema.Applied { return tx.applied }

// SetApplied says up to which log position the state goes after this Update. It never goes back.
func (tx *Tx) SetApplied(a schema.Applied) {
	if a.Index < tx.applied.Index {
		panic(fmt.Sprintf("storage: applied index would go back from %d to %d", tx.applied.Index, a.Index))
	}
	tx.applied = a
}

// Config is the group's last Raft configuration, as SetConfig got it.
func (tx *Tx) Config() []byte { return tx.s.config }

// SetConfig keeps the group's Raft configuration.
func (tx *Tx) SetConfig(config []byte) { tx.s.config = slices.Clone(config) }

// Table is the table with the id, or nil.
func (tx *Tx) Table(id schema.TableID) *TableState { return tx.s.states[id] }

// Tables are all tables by rising id.
func (tx *Tx) Tables() []*TableState {
	all := make([]*TableState, len(tx.s.root.tables))
	for i, t := range tx.s.root.tables {
		all[i] = tx.s.states[t.def.ID]
	}
	return all
}

// ErrDimensions is a table whose new definition does not begin with the dimensions that it has.
var ErrDimensions = errors.New("storage: dimensions of a table can be renamed and added at the end, not removed or moved")

// SetTable makes a table, or gives it a new definition. New dimensions at the end give all cells so far the default of the dimension.
// The only error is ErrDimensions; then nothing has changed.
func (tx *Tx) SetTable(def *schema.Table) error {
	s := tx.s
	def = def.Clone()
	ts := s.states[def.ID]
	if ts == nil {
		t := &table{epoch: s.epoch, def: def, defEpoch: s.epoch}
		ts = &TableState{s: s, id: def.ID, t: t}
		for range def.Dims {
			ts.addDimension()
		}
		r := s.ownRoot()
		i, _ := r.find(def.ID)
		r.tables = slices.Insert(r.tables, i, t)
		s.states[def.ID] = ts
		s.publishDicts(t)
		return nil
	}
	old := ts.t.def
	if len(def.Dims) < len(old.Dims) {
		return ErrDimensions
	}
	t := ts.own()
	ts.w = nil
	t.def, t.defEpoch = def, s.epoch
	t.dicts, t.swapped = slices.Clone(t.dicts), slices.Clone(t.swapped)
	for d := len(old.Dims); d < len(def.Dims); d++ {
		ts.addDimension()
		if v := def.Dims[d].Default; !v.Null {
			ts.Intern(d, v.Text) // is code 1, which stands for 0 in all older cells
			t.swapped[d], ts.swap = true, true
		}
	}
	s.publishDicts(t)
	return nil
}

// addDimension appends an empty dictionary.
func (ts *TableState) addDimension() {
	d := newDict()
	ts.s.charge(d.memory())
	ts.t.dicts = append(ts.t.dicts, d)
	ts.t.lens = append(ts.t.lens, 0)
	ts.t.swapped = append(ts.t.swapped, false)
}

// DropTable removes a table and all that belongs to it. It reports whether there was one.
func (tx *Tx) DropTable(id schema.TableID) bool {
	s := tx.s
	ts := s.states[id]
	if ts == nil {
		return false
	}
	r := s.ownRoot()
	i, _ := r.find(id)
	r.tables = slices.Delete(r.tables, i, i+1)
	for _, w := range ts.t.windows {
		s.retireAll(w)
	}
	for _, d := range ts.t.dicts {
		s.charge(-d.memory())
	}
	delete(s.states, id)
	s.dicts.Delete(id)
	for _, kind := range []keys.Kind{keys.Table, keys.Tally, keys.Dict, keys.Window, keys.Live, keys.Block} {
		s.erase(keys.TableRange(kind, uint64(id)))
	}
	return true
}

// Row is the state machine's row with the key. The value must not be changed.
func (tx *Tx) Row(key []byte) ([]byte, bool) {
	v, ok := tx.s.rows[string(key)]
	return v, ok
}

// PutRow sets a row. The store keeps copies of key and value.
func (tx *Tx) PutRow(key, value []byte) {
	s := tx.s
	k, v := string(key), append(make([]byte, 0, len(value)), value...)
	if old, ok := s.rows[k]; ok {
		s.charge(int64(len(v) - len(old)))
	} else {
		s.charge(rowBytes(k, v))
	}
	s.rows[k], s.changed[k] = v, v
}

// DeleteRow removes a row, if there is one.
func (tx *Tx) DeleteRow(key []byte) {
	s, k := tx.s, string(key)
	if v, ok := s.rows[k]; ok {
		s.charge(-rowBytes(k, v))
		delete(s.rows, k)
		s.changed[k] = nil
	}
}

// rowBytes is what a row costs, with its places in the map.
func rowBytes(k string, v []byte) int64 { return int64(len(k)+len(v)) + 96 }

// Rows are the rows whose key begins with prefix, by rising key, as they are when the iteration starts. It takes time in proportion to
// all rows.
func (tx *Tx) Rows(prefix []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		rows, p := tx.s.rows, string(prefix)
		var found []string
		for k := range maps.Keys(rows) {
			if strings.HasPrefix(k, p) {
				found = append(found, k)
			}
		}
		slices.Sort(found)
		for _, k := range found {
			if v, ok := rows[k]; ok && !yield(k, v) {
				return
			}
		}
	}
}
