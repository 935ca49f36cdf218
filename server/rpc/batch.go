package rpc

import (
	"encoding/binary"
	"fmt"
	"sync"
	"unicode/utf8"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// decoded is a batch with the memory that it stands on, which is used again for the next one.
type decoded struct {
	batch  router.Batch
	dims   []router.Column
	dict   []schema.Value // the dictionaries of all dimensions, one after the other
	codes  []uint32       // the same for codes
	counts []int64
	events []int64
}

// keepRows bounds the memory that the pool keeps for one batch.
const keepRows = 1 << 14

var decodedPool = sync.Pool{New: func() any { return new(decoded) }}

// release gives the memory back. The batch must not be used afterwards.
func (d *decoded) release() {
	if cap(d.codes) <= 8*keepRows && cap(d.dict) <= 8*keepRows && cap(d.counts) <= keepRows && cap(d.events) <= keepRows {
		clear(d.dict) // lets go of the strings
		d.batch = router.Batch{}
		decodedPool.Put(d)
	}
}

// decodeBatch checks a request against itself and gives it the form that the router takes. It does not know the table: whether
// names and values fit is for the router to say. Call release when the write has returned.
func decodeBatch(principal string, m *apiv1.WriteRequest) (*decoded, error) {
	b, stamp := m.GetBatch(), m.GetStamp()
	if err := checkBatch(m, b, stamp); err != nil {
		return nil, err
	}
	rows := int(b.Rows)
	d := decodedPool.Get().(*decoded)
	d.batch = router.Batch{
		Principal:  principal,
		Session:    stamp.GetSession(),
		Seq:        stamp.GetSeq(),
		AckUpTo:    stamp.GetAckUpTo(),
		MapVersion: stamp.GetMapVersion(),
		Key:        m.IdempotencyKey,

		Table:        schema.Name{Database: b.Database, Schema: b.Schema, Table: b.Table},
		TableID:      schema.TableID(b.TableId),
		TableVersion: b.TableVersion,
		Rows:         rows,
	}
	if err := d.decode(b, rows); err != nil {
		d.release()
		return nil, err
	}
	return d, nil
}

func checkBatch(m *apiv1.WriteRequest, b *apiv1.Batch, stamp *apiv1.Stamp) error {
	switch {
	case len(m.More) > 0:
		return invalid("more", "is for the first request of a message of a stream only")
	case b == nil:
		return invalid("batch", "is missing")
	case b.Table == "":
		return invalid("batch.table", "is empty")
	case b.Rows == 0 || b.Rows > router.RowsMax:
		return invalid("batch.rows", "is %d, want 1 to %d", b.Rows, router.RowsMax)
	case b.Measures > 1:
		return invalid("batch.measures", "is %d, a cell has exactly 1 measure in this version", b.Measures)
	case len(b.Columns) > schema.DimensionsMax:
		return invalid("batch.columns", "has %d columns, the limit is %d", len(b.Columns), schema.DimensionsMax)
	case stamp != nil && (stamp.Session == 0 || stamp.Seq == 0):
		return invalid("stamp", "needs a session and a seq, both from 1")
	case stamp != nil && stamp.AckUpTo >= stamp.Seq:
		return invalid("stamp.ack_up_to", "is %d, but seq %d is still unanswered", stamp.AckUpTo, stamp.Seq)
	case stamp != nil && m.IdempotencyKey != "":
		return invalid("idempotency_key", "is given beside a stamp; one of them makes the batch count once")
	case len(m.IdempotencyKey) > router.KeyBytesMax:
		return invalid("idempotency_key", "has %d bytes, the limit is %d", len(m.IdempotencyKey), router.KeyBytesMax)
	case b.EventTimeMs != 0 && len(b.EventTimesMs) > 0:
		return invalid("batch.event_times_ms", "is given beside event_time_ms")
	}
	return nil
}

// decode fills d.batch from b. Sizes have been checked only where checkBatch does.
func (d *decoded) decode(b *apiv1.Batch, rows int) error {
	values := 0
	for i, c := range b.Columns {
		if len(c.GetLengths()) > rows {
			return columnInvalid(i, c, "lengths", "has %d values for %d rows", len(c.GetLengths()), rows)
		}
		values += len(c.GetLengths()) + 1
	}
	d.dims = d.dims[:0]
	d.codes = grown(d.codes, rows*len(b.Columns))
	d.dict = grown(d.dict, values)[:0]
	for i, c := range b.Columns {
		if c.GetName() == "" {
			return columnInvalid(i, c, "name", "is empty")
		}
		from := len(d.dict)
		if err := d.appendDict(i, c); err != nil {
			return err
		}
		dict, codes := d.dict[from:len(d.dict):len(d.dict)], d.codes[i*rows:(i+1)*rows:(i+1)*rows]
		if err := decodeCodes(codes, i, c, uint32(len(dict)-1)); err != nil {
			return err
		}
		d.dims = append(d.dims, router.Column{Name: c.Name, Dict: dict, Codes: codes})
	}
	d.batch.Dims = d.dims
	return d.decodeNumbers(b, rows)
}

// appendDict adds NULL, which is code 0, and the values of c to d.dict.
func (d *decoded) appendDict(i int, c *apiv1.Column) error {
	text := string(c.Values) // one copy for all values
	sound := utf8.ValidString(text)
	d.dict = append(d.dict, schema.Null)
	at := 0
	for k, n := range c.Lengths {
		if uint64(n) > uint64(len(text)-at) {
			return columnInvalid(i, c, "lengths", "adds up to more than the %d bytes of values", len(text))
		}
		v := text[at : at+int(n)]
		// A sound text that is cut where a character begins consists of sound values.
		if !sound && !utf8.ValidString(v) || sound && n > 0 && !utf8.RuneStart(v[0]) {
			return errcode.New(errcode.ValueInvalid, "value %d of column %q is not valid UTF-8", k+1, c.Name).
				WithHint("category values are UTF-8 text; convert them before sending").
				Add(fmt.Sprintf("batch.columns[%d].values", i), "bytes %d to %d are not UTF-8", at, at+int(n))
		}
		d.dict = append(d.dict, schema.Value{Text: v})
		at += int(n)
	}
	if at != len(text) {
		return columnInvalid(i, c, "lengths", "adds up to %d, but there are %d bytes of values", at, len(text))
	}
	return nil
}

// decodeCodes widens the codes of column i, none of which may be above top.
func decodeCodes(dst []uint32, i int, c *apiv1.Column, top uint32) error {
	var seen uint32
	src := c.Codes
	switch len(src) {
	case len(dst):
		for j, b := range src {
			dst[j] = uint32(b)
			seen = max(seen, uint32(b))
		}
	case 2 * len(dst):
		for j := range dst {
			v := uint32(binary.LittleEndian.Uint16(src[2*j:]))
			dst[j] = v
			seen = max(seen, v)
		}
	case 4 * len(dst):
		for j := range dst {
			v := binary.LittleEndian.Uint32(src[4*j:])
			dst[j] = v
			seen = max(seen, v)
		}
	default:
		return columnInvalid(i, c, "codes", "has %d bytes for %d rows, want 1, 2 or 4 a row", len(src), len(dst))
	}
	if seen > top {
		return columnInvalid(i, c, "codes", "holds code %d, but there are %d values", seen, top)
	}
	return nil
}

// decodeNumbers brings counts and event times.
func (d *decoded) decodeNumbers(b *apiv1.Batch, rows int) error {
	if len(b.Counts) > 0 {
		d.counts = grown(d.counts, rows)
		if !decodeInts(d.counts, b.Counts) {
			return invalid("batch.counts", "has %d bytes for %d rows, want 1, 2, 4 or 8 a row", len(b.Counts), rows)
		}
		d.batch.Counts = d.counts
	}
	switch {
	case len(b.EventTimesMs) > 0:
		if len(b.EventTimesMs) != 8*rows {
			return invalid("batch.event_times_ms", "has %d bytes for %d rows, want 8 a row", len(b.EventTimesMs), rows)
		}
		d.events = grown(d.events, rows)
		decodeInts(d.events, b.EventTimesMs)
		d.batch.Events = d.events
	case b.EventTimeMs != 0:
		d.events = grown(d.events, 1)
		d.events[0] = b.EventTimeMs
		d.batch.Events = d.events
	}
	return nil
}

// decodeInts widens signed little-endian integers, or says that the width is none.
func decodeInts(dst []int64, src []byte) bool {
	switch len(src) {
	case len(dst):
		for i, b := range src {
			dst[i] = int64(int8(b))
		}
	case 2 * len(dst):
		for i := range dst {
			dst[i] = int64(int16(binary.LittleEndian.Uint16(src[2*i:])))
		}
	case 4 * len(dst):
		for i := range dst {
			dst[i] = int64(int32(binary.LittleEndian.Uint32(src[4*i:])))
		}
	case 8 * len(dst):
		for i := range dst {
			dst[i] = int64(binary.LittleEndian.Uint64(src[8*i:]))
		}
	default:
		return false
	}
	return true
}

// grown is s with length n, in new memory if it has to be. The contents are anything.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func invalid(field, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return errcode.New(errcode.Invalid, "%s %s", field, message).Add(field, "%s", message)
}

func columnInvalid(i int, c *apiv1.Column, field, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return errcode.New(errcode.Invalid, "column %q: %s %s", c.GetName(), field, message).
		Add(fmt.Sprintf("batch.columns[%d].%s", i, field), "%s", message)
}
