package plan

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/quipudb/quipu/server/errcode"
)

// An Encoder builds what nodes say to each other about a query, in the form of docs/format/queries.md. A text that comes again is named by
// its place among those before it. The zero Encoder is ready.
type Encoder struct {
	b     []byte
	texts map[string]uint64
}

// Bytes is what has been built.
func (e *Encoder) Bytes() []byte { return e.b }

// Byte appends a byte.
func (e *Encoder) Byte(b byte) { e.b = append(e.b, b) }

// Uvarint appends a number.
func (e *Encoder) Uvarint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }

// Varint appends a number that may be negative.
func (e *Encoder) Varint(n int64) { e.b = binary.AppendVarint(e.b, n) }

// Raw appends bytes as they are.
func (e *Encoder) Raw(b []byte) { e.b = append(e.b, b...) }

// Blob appends bytes behind their number.
func (e *Encoder) Blob(b []byte) {
	e.Uvarint(uint64(len(b)))
	e.Raw(b)
}

// textsMax bounds the texts that a message can name again.
const textsMax = 1 << 20

// Text appends a text, or its place if it was there before.
func (e *Encoder) Text(s string) {
	if k, ok := e.texts[s]; ok {
		e.Uvarint(k)
		return
	}
	e.Uvarint(0)
	e.Uvarint(uint64(len(s)))
	e.b = append(e.b, s...)
	if e.texts == nil {
		e.texts = map[string]uint64{}
	}
	if len(e.texts) < textsMax {
		e.texts[s] = uint64(len(e.texts) + 1)
	}
}

// Value appends a value.
func (e *Encoder) Value(v Value) {
	e.Byte(byte(v.Type))
	switch v.Type {
	case Bool, Int8, Timestamptz:
		e.Varint(v.num)
	case Float8:
		e.b = binary.LittleEndian.AppendUint64(e.b, uint64(v.num))
	case Text, JSON:
		e.Text(v.str)
	case Interval:
		e.Varint(int64(v.months))
		e.Varint(int64(v.days))
		e.Varint(v.num)
	}
}

// Values appends values, not their number.
func (e *Encoder) Values(values []Value) {
	for _, v := range values {
		e.Value(v)
	}
}

// A Decoder takes apart what an Encoder built. After the first fault it gives zeros, and Close tells.
type Decoder struct {
	b     []byte
	texts []string
	fault string
}

// NewDecoder reads b, which must not change.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Fail notes what is wrong, if nothing was before.
func (d *Decoder) Fail(format string, args ...any) {
	if d.fault == "" {
		d.fault = fmt.Sprintf(format, args...)
	}
	d.b = nil
}

// Failed says whether anything was wrong so far.
func (d *Decoder) Failed() bool { return d.fault != "" }

// Close says what was wrong. Bytes that are left are.
func (d *Decoder) Close() error {
	if d.fault == "" && len(d.b) > 0 {
		d.Fail("%d bytes after its end", len(d.b))
	}
	if d.fault == "" {
		return nil
	}
	return errcode.New(errcode.Corrupt, "a message of another node cannot be read: %s", d.fault).
		WithHint("nodes of a cluster are of one release or of its neighbour; see that they are")
}

// Byte reads a byte.
func (d *Decoder) Byte() byte {
	if len(d.b) == 0 {
		d.Fail("it ends too early")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// Uvarint reads a number.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.Fail("a number has no end")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Varint reads a number that may be negative.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.Fail("a number has no end")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Number reads a number that is at most limit.
func (d *Decoder) Number(limit uint64) int {
	v := d.Uvarint()
	if v > limit {
		d.Fail("%d is above %d", v, limit)
		return 0
	}
	return int(v)
}

// Count reads the number of items that follow, each of a byte at least: no count is believed that the bytes cannot hold.
func (d *Decoder) Count() int { return d.Number(uint64(len(d.b))) }

// Raw reads n bytes.
func (d *Decoder) Raw(n int) []byte {
	if n > len(d.b) {
		d.Fail("it ends too early")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// Blob reads bytes behind their number.
func (d *Decoder) Blob() []byte { return d.Raw(d.Count()) }

// Text reads a text.
func (d *Decoder) Text() string {
	if k := d.Number(uint64(len(d.texts))); k > 0 {
		return d.texts[k-1]
	}
	s := string(d.Blob())
	if len(d.texts) < textsMax {
		d.texts = append(d.texts, s)
	}
	return s
}

// Value reads a value.
func (d *Decoder) Value() Value {
	v := Value{Type: d.typ()}
	switch v.Type {
	case Unknown:
	case Bool, Int8, Timestamptz:
		v.num = d.Varint()
	case Float8:
		if b := d.Raw(8); b != nil {
			v.num = int64(binary.LittleEndian.Uint64(b))
		}
	case Text, JSON:
		v.str = d.Text()
	case Interval:
		v.months, v.days = d.int32(), d.int32()
		v.num = d.Varint()
	default:
		d.Fail("a value of type %v", v.Type)
	}
	return v
}

func (d *Decoder) int32() int32 {
	n := d.Varint()
	if n < math.MinInt32 || n > math.MaxInt32 {
		d.Fail("%d has more than 32 bits", n)
	}
	return int32(n)
}

func (d *Decoder) typ() Type {
	t := Type(d.Byte())
	if t > Record {
		d.Fail("unknown type %d", t)
		return Unknown
	}
	return t
}

// Values reads n values.
func (d *Decoder) Values(n int) []Value {
	if n > len(d.b) {
		d.Fail("%d values in %d bytes", n, len(d.b))
		return nil
	}
	out := make([]Value, n)
	for i := range out {
		out[i] = d.Value()
	}
	return out
}
