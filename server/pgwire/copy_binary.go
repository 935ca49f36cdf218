package pgwire

import (
	"encoding/binary"
	"strconv"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// binaryReader reads the binary format: a header, rows of fields with their lengths, and −1, which some clients leave out.
type binaryReader struct {
	started bool
	scratch []byte
}

func (r *binaryReader) one(data []byte, last bool, b *rowBatch) (int, error) {
	if !r.started {
		n, err := binaryHeader(data, last, b)
		r.started = n > 0
		return n, err
	}
	row, n := binaryRow(data)
	switch {
	case n == 0 && !last:
		return 0, nil
	case n == 0:
		b.line++
		return 0, b.fail("the data ends in the middle of a row")
	}
	b.line++
	if n < 0 {
		return 0, b.fail("a field has a negative length")
	}
	return n, r.row(row, b)
}

// binaryHeader gives the length of the header, 0 if there is more to come.
func binaryHeader(data []byte, last bool, b *rowBatch) (int, error) {
	const fixed = len(copySignature) + 8
	if len(data) < fixed {
		if last && len(data) > 0 {
			return 0, b.fail("the COPY file signature is not recognized")
		}
		return 0, nil
	}
	if string(data[:len(copySignature)]) != copySignature {
		return 0, b.fail("the COPY file signature is not recognized")
	}
	if flags := binary.BigEndian.Uint32(data[len(copySignature):]); flags>>16 != 0 {
		return 0, b.fail("critical flags in the COPY file header that are not known: %#x", flags)
	}
	n := binary.BigEndian.Uint32(data[len(copySignature)+4:])
	if n > recordBytesMax {
		return 0, b.fail("the COPY file header has an extension of %d bytes", n)
	}
	if len(data) < fixed+int(n) {
		return 0, nil
	}
	return fixed + int(n), nil
}

// binaryRow cuts off the first row: its field count and fields, and its length; 0 if it is not complete, −1 if it cannot be one.
func binaryRow(data []byte) (row []byte, n int) {
	if len(data) < 2 {
		return nil, 0
	}
	fields := int(int16(binary.BigEndian.Uint16(data)))
	at := 2
	for range max(fields, 0) {
		if len(data) < at+4 {
			return nil, 0
		}
		size := int(int32(binary.BigEndian.Uint32(data[at:])))
		at += 4
		if size < -1 {
			return nil, -1
		}
		if at += max(size, 0); at > len(data) {
			return nil, 0
		}
	}
	return data[:at], at
}

func (r *binaryReader) row(row []byte, b *rowBatch) error {
	n := int(int16(binary.BigEndian.Uint16(row)))
	switch {
	case n == -1:
		b.ended = true
		return nil
	case n < 0:
		return b.fail("a row has %d fields", n)
	}
	if err := b.begin(n); err != nil {
		return err
	}
	at := 2
	for i := range n {
		size := int(int32(binary.BigEndian.Uint32(row[at:])))
		at += 4
		var err error
		if size < 0 {
			err = b.nullField(i)
		} else {
			err = r.field(i, row[at:at+size], b)
			at += size
		}
		if err != nil {
			return err
		}
	}
	b.end()
	return nil
}

// field brings a value from its binary form to the text that dimensions have.
func (r *binaryReader) field(i int, data []byte, b *rowBatch) error {
	f := &b.fields[i]
	whole := f.target == plan.TargetCount || f.target >= 0 && f.dim.Type == schema.Int8
	switch {
	case whole:
		n, ok := anyInt(data)
		if !ok {
			return b.failAt(f, errcode.BadCopyFormat, "incorrect binary data format: %d bytes for an int8", len(data))
		}
		if f.target == plan.TargetCount {
			return b.count(n)
		}
		r.scratch = strconv.AppendInt(r.scratch[:0], n, 10)
		return b.field(i, r.scratch)
	case f.target == plan.TargetTime:
		v, ok := binaryTime(data, oidTimestamptz)
		if !ok {
			return b.failAt(f, errcode.BadCopyFormat, "incorrect binary data format: %d bytes for a timestamptz", len(data))
		}
		b.event(v.Int())
		return nil
	case f.dim.Type == schema.Bool:
		if len(data) != 1 {
			return b.failAt(f, errcode.BadCopyFormat, "incorrect binary data format: %d bytes for a bool", len(data))
		}
		return b.field(i, strconv.AppendBool(r.scratch[:0], data[0] != 0))
	}
	return b.field(i, data)
}

// anyInt reads an integer of any of the three sizes.
func anyInt(b []byte) (int64, bool) {
	oid := map[int]uint32{2: oidInt2, 4: oidInt4, 8: oidInt8}[len(b)]
	v, ok := binaryInt(b, oid)
	return v.Int(), ok
}
