package client

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of requests that travel in one message.
const (
	togetherMax      = 256      // requests
	togetherBytesMax = 64 << 10 // of their batches
	smallMax         = 1 << 10  // bytes of a batch; a larger one has a message to itself, and is not copied
	partMax          = 16 << 10 // bytes of a part; the same
)

// message is requests in the wire form of one WriteRequest. Its batches were encoded when they were handed over, so that a message is
// put together without looking at them.
type message mem.BufferSlice

// stamp is what the stamps of one message have in common.
type stamp struct {
	session, low, mapVersion uint64
}

// pack makes a message of the first requests of batch, at least of one, and gives those that are left.
func pack(batch []*request, common stamp) (message, []*request) {
	n, size := 1, len(batch[0].body)
	for size <= batch[0].smallMax()*n && n < len(batch) && len(batch[n].body) <= batch[n].smallMax() && size+len(batch[n].body) <= togetherBytesMax {
		size += len(batch[n].body)
		n++
	}
	if n == 1 {
		head := appendStamp(make([]byte, 0, stampMax), batch[0].seq, common)
		return message{mem.SliceBuffer(head), mem.SliceBuffer(batch[0].body)}, batch[1:]
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size + n*(stampMax+8))
	b := (*buf)[:0]
	var head [stampMax]byte
	for i, r := range batch[:n] {
		stamp := appendStamp(head[:0], r.seq, common)
		if i > 0 {
			b = protowire.AppendTag(b, 5, protowire.BytesType) // WriteRequest.more
			b = protowire.AppendVarint(b, uint64(len(stamp)+len(r.body)))
		}
		b = append(append(b, stamp...), r.body...)
	}
	*buf = b
	return message{mem.NewBuffer(buf, pool)}, batch[n:]
}

// stampMax is the longest that appendStamp appends: five varints of ten bytes with their tags, and a tag with a length.
const stampMax = 57

// stampMin is what a stamp takes at least, for the totals.
const stampMin = 10

// appendStamp appends WriteRequest.id and WriteRequest.stamp.
func appendStamp(b []byte, seq uint64, s stamp) []byte {
	b = protowire.AppendVarint(append(b, 1<<3), seq)
	size := sizeNumber(s.session) + sizeNumber(seq) + sizeNumber(s.low) + sizeNumber(s.mapVersion)
	b = append(b, 2<<3|byte(protowire.BytesType), byte(size))
	for i, v := range [...]uint64{s.session, seq, s.low, s.mapVersion} {
		if v > 0 {
			b = protowire.AppendVarint(append(b, byte(i+1)<<3), v)
		}
	}
	return b
}

// sizeNumber is what a field takes that is a number; nothing if it is 0.
func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// smallMax bounds the bytes of a request that is copied to travel with others. The parts of one batch that go to the same node do so if they
// are larger, too: a message costs more than copying them.
func (r *request) smallMax() int {
	if r.of != nil {
		return partMax
	}
	return smallMax
}

// messages is the codec of a stream that sends messages: they are encoded already. Everything else is as usual.
var messages encoding.CodecV2 = codec{encoding.GetCodecV2(proto.Name)}

type codec struct{ encoding.CodecV2 }

// Marshal gives the bytes of a message.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(message); ok {
		return mem.BufferSlice(m), nil
	}
	return c.CodecV2.Marshal(v)
}

// encode is the batch as field 4 of a WriteRequest, as proto.Marshal of wire would give it.
func (c *columns) encode(table string) []byte {
	width := countWidth(c.counts)
	size := sizeBytes(len(table)) + 1 + protowire.SizeVarint(uint64(len(c.counts))) + 2
	event := protowire.EncodeZigZag(c.event)
	if event != 0 {
		size += 1 + protowire.SizeVarint(event)
	}
	size += sizeBytes(width*len(c.counts)) + sizeBytes(8*len(c.events))
	for i := range c.dims {
		size += sizeBytes(c.dims[i].size())
	}
	b := make([]byte, 0, sizeBytes(size))
	b = appendHead(b, 4, size)
	b = appendText(b, 3, table)
	b = protowire.AppendVarint(append(b, 6<<3), uint64(len(c.counts)))
	for i := range c.dims {
		b = c.dims[i].append(appendHead(b, 7, c.dims[i].size()))
	}
	if width > 0 {
		b = appendInts(appendHead(b, 8, width*len(c.counts)), c.counts, width)
	}
	if event != 0 {
		b = protowire.AppendVarint(append(b, 9<<3), event)
	}
	if len(c.events) > 0 {
		b = appendInts(appendHead(b, 10, 8*len(c.events)), c.events, 8)
	}
	return append(b, 11<<3, 1) // measures
}

// size is the length of the column as a message.
func (c *column) size() int {
	values, lengths := c.sizes()
	return sizeBytes(len(c.name)) + sizeBytes(values) + sizeBytes(lengths) + sizeBytes(c.width()*len(c.codes))
}

// sizes are the bytes of the values and of their lengths.
func (c *column) sizes() (values, lengths int) {
	for _, v := range c.values {
		values += len(v)
		lengths += protowire.SizeVarint(uint64(len(v)))
	}
	return values, lengths
}

func (c *column) append(b []byte) []byte {
	values, lengths := c.sizes()
	b = appendText(b, 1, c.name)
	if values > 0 {
		b = appendHead(b, 2, values)
		for _, v := range c.values {
			b = append(b, v...)
		}
	}
	if lengths > 0 {
		b = appendHead(b, 3, lengths)
		for _, v := range c.values {
			b = protowire.AppendVarint(b, uint64(len(v)))
		}
	}
	if len(c.codes) == 0 {
		return b
	}
	return appendCodes(appendHead(b, 4, c.width()*len(c.codes)), c.codes, c.width())
}

// sizeBytes is what a field of n bytes takes; nothing if it is empty. Its number is below 16.
func sizeBytes(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(n)) + n
}

// appendHead begins a field of n bytes.
func appendHead(b []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(n))
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendHead(b, field, len(s)), s...)
}
