package rpc

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
	"google.golang.org/protobuf/proto"
)

func TestDecodeBatchRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*apiv1.WriteRequest)
		code   errcode.Code
		want   string
	}{
		"no batch":      {func(m *apiv1.WriteRequest) { m.Batch = nil }, errcode.Invalid, "batch is missing"},
		"no table":      {func(m *apiv1.WriteRequest) { m.Batch.Table = "" }, errcode.Invalid, "batch.table"},
		"no rows":       {func(m *apiv1.WriteRequest) { m.Batch.Rows = 0 }, errcode.Invalid, "batch.rows is 0"},
		"many rows":     {func(m *apiv1.WriteRequest) { m.Batch.Rows = 1 << 31 }, errcode.Invalid, "1 to 65536"},
		"measures":      {func(m *apiv1.WriteRequest) { m.Batch.Measures = 2 }, errcode.Invalid, "exactly 1 measure"},
		"columns":       {func(m *apiv1.WriteRequest) { m.Batch.Columns = make([]*apiv1.Column, 33) }, errcode.Invalid, "the limit is 32"},
		"nil column":    {func(m *apiv1.WriteRequest) { m.Batch.Columns[0] = nil }, errcode.Invalid, "name is empty"},
		"stamp":         {func(m *apiv1.WriteRequest) { m.Stamp.Seq = 0 }, errcode.Invalid, "session and a seq"},
		"ack":           {func(m *apiv1.WriteRequest) { m.Stamp.AckUpTo = 2 }, errcode.Invalid, "still unanswered"},
		"key and stamp": {func(m *apiv1.WriteRequest) { m.IdempotencyKey = "k" }, errcode.Invalid, "beside a stamp"},
		"long key":      {func(m *apiv1.WriteRequest) { m.Stamp, m.IdempotencyKey = nil, strings.Repeat("k", 256) }, errcode.Invalid, "256 bytes"},
		"both times":    {func(m *apiv1.WriteRequest) { m.Batch.EventTimeMs = 1; m.Batch.EventTimesMs = []byte{1} }, errcode.Invalid, "beside event_time_ms"},
		"times":         {func(m *apiv1.WriteRequest) { m.Batch.EventTimesMs = make([]byte, 12) }, errcode.Invalid, "want 8 a row"},
		"counts":        {func(m *apiv1.WriteRequest) { m.Batch.Counts = make([]byte, 5) }, errcode.Invalid, "1, 2, 4 or 8"},
		"codes width":   {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Codes = make([]byte, 5) }, errcode.Invalid, `column "a": codes has 5 bytes for 2 rows`},
		"no codes":      {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Codes = nil }, errcode.Invalid, "codes has 0 bytes"},
		"code range":    {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Codes = []byte{1, 3} }, errcode.Invalid, "code 3, but there are 2"},
		"code range 4":  {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Codes = []byte{1, 0, 0, 0, 0, 0, 0, 1} }, errcode.Invalid, "code 16777216"},
		"lengths short": {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Lengths = []uint32{1} }, errcode.Invalid, "adds up to 1, but there are 3"},
		"lengths long":  {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Lengths = []uint32{1, 1 << 31} }, errcode.Invalid, "more than the 3 bytes"},
		"many values":   {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Lengths = make([]uint32, 3) }, errcode.Invalid, "3 values for 2 rows"},
		"not UTF-8":     {func(m *apiv1.WriteRequest) { m.Batch.Columns[0].Values = []byte("x\xff\xfe") }, errcode.ValueInvalid, `value 2 of column "a"`},
		"split characters": {func(m *apiv1.WriteRequest) {
			m.Batch.Columns[0].Values = []byte("aäb")[1:]
			m.Batch.Columns[0].Lengths = []uint32{1, 2}
		}, errcode.ValueInvalid, `of column "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			m := &apiv1.WriteRequest{
				Stamp: &apiv1.Stamp{Session: 1, Seq: 2, AckUpTo: 1},
				Batch: &apiv1.Batch{Table: "t", Rows: 2, Columns: []*apiv1.Column{
					{Name: "a", Values: []byte("xyz"), Lengths: []uint32{1, 2}, Codes: []byte{1, 2}},
				}},
			}
			if d, err := decodeBatch("p", m); err != nil {
				t.Fatalf("the unchanged batch: %v", err)
			} else {
				d.release()
			}
			tc.change(m)
			_, err := decodeBatch("p", m)
			if e := errcode.From(err); err == nil || e.Code != tc.code || !strings.Contains(e.Message, tc.want) || len(e.Violations) != 1 {
				t.Errorf("%+v, want %s %q", e, tc.code, tc.want)
			}
		})
	}
}

// FuzzBatch holds that whatever comes in as a request is refused, or is a batch that the router can index without looking. It
// changes the fields of a message, most of whose bytes would else fail in the protobuf codec, and reads raw as a message besides.
func FuzzBatch(f *testing.F) {
	f.Add([]byte{}, uint32(2), []byte("xyz"), []byte{1, 2}, []byte{1, 2}, []byte{1, 0xff}, []byte{})
	f.Add([]byte{}, uint32(2), []byte("\xc3\xa4b"), []byte{2, 1}, []byte{0, 0, 2, 0}, []byte{}, make([]byte, 16))
	f.Add([]byte{}, uint32(1), []byte{}, []byte{0}, []byte{1, 0, 0, 0}, make([]byte, 8), []byte{})
	small, err := proto.Marshal(sample(2, 2, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small, uint32(0), []byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, raw []byte, rows uint32, values, lengths, codes, counts, events []byte) {
		c := &apiv1.Column{Name: "a", Values: values, Codes: codes}
		for _, n := range lengths {
			c.Lengths = append(c.Lengths, uint32(n))
		}
		checkDecoded(t, &apiv1.WriteRequest{Batch: &apiv1.Batch{
			Table: "t", Rows: rows, Columns: []*apiv1.Column{c}, Counts: counts, EventTimesMs: events,
		}})
		if m := (&apiv1.WriteRequest{}); proto.Unmarshal(raw, m) == nil {
			checkDecoded(t, m)
		}
	})
}

func checkDecoded(t *testing.T, m *apiv1.WriteRequest) {
	d, err := decodeBatch("p", m)
	if err != nil {
		if e := errcode.From(err); e.Code == errcode.Internal {
			t.Fatal(err)
		}
		return
	}
	defer d.release()
	b := &d.batch
	if b.Rows < 1 || b.Rows > router.RowsMax || b.Counts != nil && len(b.Counts) != b.Rows || len(b.Events) > 1 && len(b.Events) != b.Rows {
		t.Fatalf("%d rows, %d counts, %d events", b.Rows, len(b.Counts), len(b.Events))
	}
	for i, c := range b.Dims {
		if len(c.Codes) != b.Rows || c.Dict[0] != schema.Null {
			t.Fatalf("column %q: %d codes for %d rows", c.Name, len(c.Codes), b.Rows)
		}
		text := ""
		for _, v := range c.Dict {
			text += v.Text
			if !utf8.ValidString(v.Text) {
				t.Fatalf("column %q: value %q", c.Name, v.Text)
			}
		}
		if text != string(m.Batch.Columns[i].Values) {
			t.Fatalf("column %q: the dictionary is not the bytes sent", c.Name)
		}
		for _, code := range c.Codes {
			_ = c.Dict[code] // panics if out of range
		}
	}
}

// sample is a batch of random rows over dims dimensions of values each.
func sample(rows, dims, values int) *apiv1.WriteRequest {
	rng := rand.New(rand.NewPCG(1, 2))
	b := &apiv1.Batch{Table: "t", Rows: uint32(rows), EventTimeMs: 1_700_000_000_000}
	n := min(rows, values)
	for d := range dims {
		c := &apiv1.Column{Name: fmt.Sprint("dim", d)}
		for v := range n {
			text := fmt.Sprint("value-", v)
			c.Values = append(c.Values, text...)
			c.Lengths = append(c.Lengths, uint32(len(text)))
		}
		for range rows {
			code := 1 + rng.IntN(n)
			if n < 256 {
				c.Codes = append(c.Codes, byte(code))
			} else {
				c.Codes = binary.LittleEndian.AppendUint16(c.Codes, uint16(code))
			}
		}
		b.Columns = append(b.Columns, c)
	}
	for range rows {
		b.Counts = append(b.Counts, 1)
	}
	return &apiv1.WriteRequest{Id: 1, Stamp: &apiv1.Stamp{Session: 1, Seq: 1}, Batch: b}
}

// BenchmarkDecode is a request of n rows, 4 dimensions of 200 values each, from the bytes of the message to router.Batch.
func BenchmarkDecode(b *testing.B) {
	for _, rows := range []int{1, 1000, 10000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			data, err := proto.Marshal(sample(rows, 4, 200))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				m := &apiv1.WriteRequest{}
				if err := proto.Unmarshal(data, m); err != nil {
					b.Fatal(err)
				}
				d, err := decodeBatch("p", m)
				if err != nil {
					b.Fatal(err)
				}
				d.release()
			}
		})
	}
}
