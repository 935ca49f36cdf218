package storage

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

// Records other than blocks. Each begins with a version and ends with a checksum of its key and itself.

const recordVersion = 1

// Names of meta records.
var (
	metaFormat  = keys.Key{Kind: keys.Meta, Name: []byte("format")}.Bytes()
	metaApplied = keys.Key{Kind: keys.Meta, Name: []byte("applied")}.Bytes()
	metaConfig  = keys.Key{Kind: keys.Meta, Name: []byte("config")}.Bytes()
)

// Format is the version of the layout of a store's directory and database. A newer one is refused.
const Format = 1

// record appends version, what write adds, and the checksum.
func record(dst, key []byte, write func([]byte) []byte) []byte {
	start := len(dst)
	return seal(write(append(dst, recordVersion)), key, start)
}

func openRecord(key, value []byte) (reader, error) {
	b, err := unseal(key, value)
	if err != nil {
		return reader{}, err
	}
	if len(b) == 0 || b[0] != recordVersion {
		return reader{}, fmt.Errorf("%w: record of another version than %d", errDamaged, recordVersion)
	}
	return reader{b: b[1:]}, nil
}

func (r *reader) end(what string) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w: %s does not decode", errDamaged, what)
	}
	return nil
}

// position is the store's own state beside the tree.
type position struct {
	applied schema.Applied
	lastGen uint64
}

func (p position) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, p.applied.Index)
	dst = binary.AppendUvarint(dst, p.applied.Term)
	return binary.AppendUvarint(dst, p.lastGen)
}

func readPosition(key, value []byte) (p position, err error) {
	r, err := openRecord(key, value)
	if err != nil {
		return p, err
	}
	p.applied.Index, p.applied.Term, p.lastGen = r.uvarint(), r.uvarint(), r.uvarint()
	return p, r.end("applied index")
}

// tableRecord is a definition as it is stored.
type tableRecord struct {
	Def     *schema.Table
	Swapped []int `json:",omitempty"` // dimensions whose inner codes 0 and 1 are exchanged
}

func (t *table) appendRecord(dst []byte) []byte {
	rec := tableRecord{Def: t.def}
	for d, s := range t.swapped {
		if s {
			rec.Swapped = append(rec.Swapped, d)
		}
	}
	b, err := json.Marshal(rec)
	if err != nil {
		panic(fmt.Sprintf("storage: definition of table %d: %v", t.def.ID, err)) // plain values always marshal
	}
	return append(dst, b...)
}

func readTable(key, value []byte) (*table, error) {
	r, err := openRecord(key, value)
	if err != nil {
		return nil, err
	}
	var rec tableRecord
	if err := json.Unmarshal(r.b, &rec); err != nil || rec.Def == nil || rec.Def.Validate() != nil {
		return nil, fmt.Errorf("%w: table definition does not decode", errDamaged)
	}
	t := &table{def: rec.Def, swapped: make([]bool, len(rec.Def.Dims)), lens: make([]uint32, len(rec.Def.Dims))}
	for _, d := range rec.Swapped {
		if d < 0 || d >= len(t.swapped) {
			return nil, fmt.Errorf("%w: table definition names dimension %d", errDamaged, d)
		}
		t.swapped[d] = true
	}
	for range rec.Def.Dims {
		t.dicts = append(t.dicts, newDict())
	}
	return t, nil
}

// appendRun writes the values with codes from first to last.
func (d *dict) appendRun(dst []byte, first, last uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(last-first+1))
	for c := first; c <= last; c++ {
		v := d.value(c)
		dst = binary.AppendUvarint(dst, uint64(len(v)))
		dst = append(dst, v...)
	}
	return dst
}

// readRun adds the values of a run, which must begin at code first.
func (d *dict) readRun(first uint32, key, value []byte) error {
	r, err := openRecord(key, value)
	if err != nil {
		return err
	}
	if first != d.n+1 {
		return fmt.Errorf("%w: dictionary goes on at code %d after %d values", errDamaged, first, d.n)
	}
	for range r.uvarint() {
		v := r.bytes(int(min(r.uvarint(), 1<<20)))
		if r.bad || len(v) > schema.ValueBytesMax {
			break
		}
		if _, added := d.intern(string(v)); !added {
			return fmt.Errorf("%w: dictionary holds %q twice", errDamaged, v)
		}
	}
	return r.end("dictionary")
}

const (
	layoutDense  = 1
	layoutSparse = 2
)

func (w *window) appendRecord(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, w.gen)
	dst = binary.AppendUvarint(dst, w.live)
	if l := w.dense; l != nil {
		dst = append(dst, layoutDense)
		dst = binary.AppendUvarint(dst, w.room)
		dst = append(dst, byte(len(l.cap)), byte(l.outer))
		for d := range l.cap {
			dst = binary.AppendUvarint(dst, uint64(l.lo[d]))
			dst = binary.AppendUvarint(dst, uint64(l.cap[d]))
			dst = binary.AppendUvarint(dst, l.stride[d])
		}
		return dst
	}
	dst = append(dst, layoutSparse, w.depth)
	dst = binary.AppendUvarint(dst, w.next)
	dst = append(dst, byte(len(w.lo)))
	for d := range w.lo {
		dst = binary.AppendUvarint(dst, uint64(w.lo[d]))
		dst = binary.AppendUvarint(dst, uint64(w.hi[d]))
	}
	return appendWidths(dst, w.pack)
}

func readWindow(start int64, key, value []byte) (*window, error) {
	r, err := openRecord(key, value)
	if err != nil {
		return nil, err
	}
	w := &window{start: start, gen: r.uvarint(), live: r.uvarint()}
	switch r.byte() {
	case layoutDense:
		w.room = r.uvarint()
		w.dense = r.denseLayout()
		if w.dense != nil {
			w.lo, w.hi = make([]uint32, len(w.dense.cap)), make([]uint32, len(w.dense.cap))
			w.pack = packingFor(make([]uint8, len(w.dense.cap)))
		}
	case layoutSparse:
		w.depth = uint8(r.byte())
		w.next = r.uvarint()
		n := r.byte()
		for range n {
			w.lo, w.hi = append(w.lo, uint32(r.uvarint())), append(w.hi, uint32(r.uvarint()))
		}
		widths := r.bytes(r.byte())
		r.bad = r.bad || w.depth > depthMax || n > schema.DimensionsMax || len(widths) > schema.DimensionsMax
		if !r.bad {
			w.pack = packingFor(widths)
		}
	default:
		r.bad = true
	}
	return w, r.end("window")
}

func (r *reader) denseLayout() *denseLayout {
	n, outer := r.byte(), r.byte()
	if r.bad || n == 0 || n > schema.DimensionsMax || outer >= n {
		r.bad = true
		return nil
	}
	l := &denseLayout{outer: outer, lo: make([]uint32, n), cap: make([]uint32, n), stride: make([]uint64, n)}
	for d := range n {
		l.lo[d], l.cap[d], l.stride[d] = uint32(r.uvarint()), uint32(r.uvarint()), r.uvarint()
		r.bad = r.bad || l.cap[d] == 0 || l.cap[d] > denseMax || l.stride[d] == 0 || l.stride[d] > denseMax
		l.off += uint64(l.lo[d]) * l.stride[d]
	}
	l.volume = l.stride[outer] * uint64(l.cap[outer])
	r.bad = r.bad || l.volume > denseMax
	return l
}
