// Package arrow writes results in the stream format of Apache Arrow, which pandas, polars, DuckDB and R read without parsing: a message
// with the schema, one with each batch of rows, and an end mark. A stream without its end mark was cut off.
//
//	b := arrow.AppendSchema(nil, []arrow.Field{{Name: "dept", Type: arrow.Utf8}, {Name: "n", Type: arrow.Int64}})
//	b = arrow.AppendBatch(b, fields, 2, []arrow.Column{{Texts: []string{"A", "B"}}, {Ints: []int64{933, 585}}})
//	b = arrow.AppendEnd(b)
//
// It knows the five types of results and no more; integration/arrow reads what it writes with Arrow's own library.
// The format: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format, with format/Message.fbs and format/Schema.fbs.
package arrow

// Type is one that results have.
type Type byte

// The types. Timestamps are Unix microseconds in UTC.
const (
	Utf8 Type = iota
	Int64
	Float64
	Bool
	Timestamp
)

// Field is a column of the schema. Every column may hold NULL.
type Field struct {
	Name string
	Type Type
}

// Column is the values of one column in a batch, in the slice of its type; a NULL stands there as zero.
type Column struct {
	Ints   []int64 // Int64 and Timestamp
	Floats []float64
	Texts  []string
	Bools  []bool
	Nulls  []byte // bit i, lowest first, is set where row i is NULL; may be too short, and empty if there is none
}

// Values of the enumerations in Message.fbs and Schema.fbs.
const (
	versionV5   = 4
	headSchema  = 1
	headBatch   = 3
	typeInt     = 2
	typeFloat   = 3
	typeUtf8    = 5
	typeBool    = 6
	typeTime    = 10
	doubleFloat = 2 // Precision
	microsecond = 2 // TimeUnit
)

// AppendSchema begins a stream.
func AppendSchema(b []byte, fields []Field) []byte {
	f := flat{make([]byte, 4, 512)} // the reference to the root
	header := f.message(headSchema, 0)
	start, at := f.table(2, 4) // endianness: little, fields
	f.refer(header, start)
	f.refer(at[1], f.vector(len(fields), 4))
	list := len(f.b)
	f.b = append(f.b, make([]byte, 4*len(fields))...)
	for i, field := range fields {
		f.refer(list+4*i, f.field(field))
	}
	return appendMessage(b, f.b)
}

// message begins the root table and gives the place of the reference to its header.
func (f *flat) message(kind byte, bodyBytes int) (header int) {
	start, at := f.table(2, 1, 4, 8) // version, header_type, header, bodyLength
	f.refer(0, start)
	le.PutUint16(f.b[at[0]:], versionV5)
	f.b[at[1]] = kind
	le.PutUint64(f.b[at[3]:], uint64(bodyBytes))
	return at[2]
}

func (f *flat) field(field Field) int {
	start, at := f.table(4, 1, 1, 4, 0, 4) // name, nullable, type_type, type, no dictionary, children
	f.refer(at[0], f.text(field.Name))
	f.b[at[1]] = 1
	kind, table := f.kind(field.Type)
	f.b[at[2]] = kind
	f.refer(at[3], table)
	f.refer(at[5], f.vector(0, 4)) // Arrow's C++ reader refuses a field without children
	return start
}

// kind appends the table that describes a type, and gives its number.
func (f *flat) kind(t Type) (number byte, start int) {
	var at []int
	switch t {
	case Int64:
		start, at = f.table(4, 1) // bitWidth, is_signed
		le.PutUint32(f.b[at[0]:], 64)
		f.b[at[1]] = 1
		return typeInt, start
	case Float64:
		start, at = f.table(2) // precision
		le.PutUint16(f.b[at[0]:], doubleFloat)
		return typeFloat, start
	case Bool:
		start, _ = f.table()
		return typeBool, start
	case Timestamp:
		start, at = f.table(2, 4) // unit, timezone
		le.PutUint16(f.b[at[0]:], microsecond)
		f.refer(at[1], f.text("UTC"))
		return typeTime, start
	}
	start, _ = f.table()
	return typeUtf8, start
}

// AppendBatch appends rows of the columns that the schema names.
func AppendBatch(b []byte, fields []Field, rows int, columns []Column) []byte {
	var body body
	nodes := make([]int, len(fields)) // NULLs of each column
	for i, c := range columns {
		nodes[i] = body.validity(c.Nulls, rows)
		body.values(fields[i].Type, c, rows)
	}
	f := flat{make([]byte, 4, 512)}
	header := f.message(headBatch, len(body.b))
	start, at := f.table(8, 4, 4) // length, nodes, buffers
	f.refer(header, start)
	le.PutUint64(f.b[at[0]:], uint64(rows))
	f.refer(at[1], f.vector(len(nodes), 8))
	for _, nulls := range nodes {
		f.b = le.AppendUint64(f.b, uint64(rows))
		f.b = le.AppendUint64(f.b, uint64(nulls))
	}
	f.refer(at[2], f.vector(len(body.buffers), 8))
	for _, buffer := range body.buffers {
		f.b = le.AppendUint64(f.b, uint64(buffer[0]))
		f.b = le.AppendUint64(f.b, uint64(buffer[1]))
	}
	return append(appendMessage(b, f.b), body.b...)
}

// AppendEnd ends a stream.
func AppendEnd(b []byte) []byte { return le.AppendUint32(le.AppendUint32(b, continuation), 0) }

const continuation = 0xffffffff

// appendMessage frames the metadata of a message; what follows begins at a multiple of 8 from its beginning.
func appendMessage(b, metadata []byte) []byte {
	pad := -len(metadata) & 7
	b = le.AppendUint32(b, continuation)
	b = le.AppendUint32(b, uint32(len(metadata)+pad))
	b = append(b, metadata...)
	return append(b, make([]byte, pad)...)
}
