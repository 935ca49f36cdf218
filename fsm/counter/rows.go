package counter

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/row"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// First bytes of the keys of this machine's rows. docs/format/machines.md describes keys and values.
const (
	rowClock  = 1
	rowSlots  = 2
	rowDead   = 3
	rowWindow = 4
	rowKey    = 5
	rowCutoff = 6
)

var errUnknownRow = errors.New("a row of an unknown kind: the state was written by a newer release")

// Load reads the machine's rows.
func (m *Machine) Load(tx *storage.Tx) error {
	windows := map[windowKey]*window{}
	m.clock, m.slots, m.ordinary, m.durable = fsm.Clock{}, slots{}, deadSet{}, deadSet{}
	m.cutoffs, m.keys, m.deadlines = map[schema.TableID]int64{}, map[string]*keyRecord{}, nil
	m.moved, m.dirty, m.add = false, nil, entry{}
	for k, v := range tx.Rows(nil) {
		if err := m.loadRow(k, v, windows); err != nil {
			return fmt.Errorf("row %x: %w", k, err)
		}
	}
	m.windowsMu.Lock()
	m.windows, m.applied = windows, tx.Applied().Index
	m.windowsMu.Unlock()
	m.publish()
	return nil
}

func (m *Machine) loadRow(k string, v []byte, windows map[windowKey]*window) error {
	r := row.Read(v)
	switch k[0] {
	case rowClock:
		m.clock.Now = r.Int()
	case rowSlots:
		version, shard := r.Uint(), schema.ShardID(r.Uint())
		m.slots.set(version, shard, readRanges(r, schema.Slots-1))
	case rowDead:
		m.ordinary.DeadIDs, m.durable.DeadIDs = readDead(r), readDead(r)
	case rowWindow:
		w, err := readWindow(k, r)
		if err != nil {
			return err
		}
		windows[w.key] = w
		if w.key.space == keySpace {
			m.deadlines.push(deadline{at: w.expires, window: w.key})
		}
	case rowKey:
		rec := readKey(r)
		m.keys[k] = rec
		m.deadlines.push(deadline{at: rec.expires, record: k})
	case rowCutoff:
		if len(k) != 9 {
			return row.ErrDamaged
		}
		m.cutoffs[schema.TableID(binary.BigEndian.Uint64([]byte(k[1:])))] = r.Int()
	default:
		return errUnknownRow
	}
	return r.End()
}

func putClock(tx *storage.Tx, c fsm.Clock) {
	w := row.Write()
	w.Int(c.Now)
	tx.PutRow([]byte{rowClock}, w)
}

func putSlots(tx *storage.Tx, s *slots) {
	w := row.Write()
	w.Uint(s.version)
	w.Uint(uint64(s.shard))
	writeRanges(&w, s.ranges)
	tx.PutRow([]byte{rowSlots}, w)
}

func putDead(tx *storage.Tx, ordinary, durable *deadSet) {
	w := row.Write()
	for _, s := range []*deadSet{ordinary, durable} {
		w.Uint(s.Watermark)
		writeRanges(&w, s.Ranges)
	}
	tx.PutRow([]byte{rowDead}, w)
}

func readDead(r *row.Reader) (x command.DeadIDs) {
	x.Watermark = r.Uint()
	x.Ranges = readRanges(r, 1<<64-1)
	return x
}

func writeRanges(w *row.Writer, ranges []command.Range) {
	w.Uint(uint64(len(ranges)))
	for _, x := range ranges {
		w.Uint(x.From)
		w.Uint(x.To)
	}
}

func readRanges(r *row.Reader, highest uint64) []command.Range {
	var ranges []command.Range
	for range r.Count(2) {
		x := command.Range{From: r.Uint(), To: r.Uint()}
		if x.To < x.From || x.To > highest {
			r.Fail()
			return nil
		}
		ranges = append(ranges, x)
	}
	return ranges
}

func cutoffRow(id schema.TableID) []byte {
	return binary.BigEndian.AppendUint64([]byte{rowCutoff}, uint64(id))
}

func putCutoff(tx *storage.Tx, id schema.TableID, before int64) {
	w := row.Write()
	w.Int(before)
	tx.PutRow(cutoffRow(id), w)
}

// keyRow is the row of an idempotency key, and its name in Machine.keys.
func keyRow(principal, key string) []byte {
	k := append([]byte{rowKey, byte(len(principal))}, principal...)
	return append(k, key...)
}

func (rec *keyRecord) put(tx *storage.Tx, key []byte) {
	w := row.Write()
	w.Uint(rec.id)
	w.Raw(rec.bodyHash[:])
	w.Uint(rec.mapVersion)
	w.Int(rec.expires)
	w.Int(rec.ttl)
	w.Bool(rec.done)
	w.Bytes(rec.response)
	tx.PutRow(key, w)
}

func readKey(r *row.Reader) *keyRecord {
	rec := &keyRecord{id: r.Uint()}
	r.Raw(rec.bodyHash[:])
	rec.mapVersion, rec.expires, rec.ttl, rec.done = r.Uint(), r.Int(), r.Int(), r.Bool()
	rec.response = append([]byte(nil), r.Bytes()...)
	return rec
}

// row is the key of a window's row: kind of row, namespace, shard of the key, id, home.
func (k windowKey) row() []byte {
	b := make([]byte, 0, 18)
	b = append(b, rowWindow, byte(k.space))
	b = binary.BigEndian.AppendUint32(b, uint32(k.keyShard))
	b = binary.BigEndian.AppendUint64(b, k.id)
	return binary.BigEndian.AppendUint32(b, uint32(k.home))
}

// put writes the window: the words of the bitmap that are not zero, and the refusals.
func (w *window) put(tx *storage.Tx) {
	var room [256]byte
	v := row.Writer(append(room[:0], row.Write()...))
	v.Uint(uint64(w.kind))
	v.Int(w.expires)
	v.Uint(w.low)
	present := uint64(0)
	for i, word := range w.bits {
		if word != 0 {
			present |= 1 << i
		}
	}
	v.Uint(present)
	for _, word := range w.bits {
		if word != 0 {
			v = binary.LittleEndian.AppendUint64(v, word)
		}
	}
	v.Uint(uint64(len(w.refusals)))
	for _, f := range w.refusals {
		v.Uint(f.seq - w.low)
		v.Uint(uint64(f.code))
		v.Uint(uint64(f.dim))
		v.Int(f.value)
	}
	tx.PutRow(w.key.row(), v)
}

func readWindow(k string, r *row.Reader) (*window, error) {
	if len(k) != 18 || k[1] > byte(keySpace) {
		return nil, row.ErrDamaged
	}
	b := []byte(k)
	w := &window{key: windowKey{space: space(b[1]), keyShard: schema.ShardID(binary.BigEndian.Uint32(b[2:])),
		id: binary.BigEndian.Uint64(b[6:]), home: schema.ShardID(binary.BigEndian.Uint32(b[14:]))}}
	w.kind, w.expires, w.low = command.PartKind(r.Uint()), r.Int(), r.Uint()
	present := r.Uint()
	if present >= 1<<len(w.bits) {
		r.Fail()
	}
	for i := range w.bits {
		if present>>i&1 != 0 {
			w.bits[i] = r.Uint64()
		}
	}
	for range r.Count(4) {
		w.refusals = append(w.refusals, refusal{seq: w.low + r.Uint(), code: fsm.Code(r.Uint()), dim: uint8(r.Uint()), value: r.Int()})
	}
	return w, nil
}
