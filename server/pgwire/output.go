package pgwire

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query/plan"
)

// output gathers messages and sends many at once. It belongs to the goroutine that serves the connection, or to the one that fills a
// portal while the first waits.
type output struct {
	net     net.Conn
	timeout time.Duration
	until   time.Time // writes end by themselves then; zero: not set
	buf     []byte
	sent    int64 // bytes that have left buf since the beginning
	err     error // the first failure; nothing is sent after it
}

// send appends a message.
func (o *output) send(m pgproto3.BackendMessage) {
	buf, err := m.Encode(o.buf)
	if err != nil && o.err == nil {
		o.err = err
		return
	}
	o.buf = buf
}

// describe appends a RowDescription. inBinary says of each column whether its values are; nil: none is.
func (o *output) describe(cols []plan.Column, inBinary []bool) {
	at := len(o.buf)
	buf := append(o.buf, 'T', 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(cols)))
	for i, col := range cols {
		oid, size := typeOf(col.Type)
		buf = append(buf, clean(col.Name)...)
		buf = append(buf, 0, 0, 0, 0, 0, 0, 0) // the end of the name; of no table
		buf = binary.BigEndian.AppendUint32(buf, oid)
		buf = binary.BigEndian.AppendUint16(buf, uint16(size))
		buf = append(buf, 0xff, 0xff, 0xff, 0xff, 0, pgproto3.TextFormat) // no modifier
		if inBinary != nil && inBinary[i] {
			buf[len(buf)-1] = pgproto3.BinaryFormat
		}
	}
	binary.BigEndian.PutUint32(buf[at+1:], uint32(len(buf)-at-1))
	o.buf = buf
}

// complete appends a CommandComplete.
func (o *output) complete(tag string) {
	buf := append(o.buf, 'C')
	buf = binary.BigEndian.AppendUint32(buf, uint32(4+len(tag)+1))
	o.buf = append(append(buf, tag...), 0)
}

// ready appends a ReadyForQuery.
func (o *output) ready(status byte) { o.buf = append(o.buf, 'Z', 0, 0, 0, 5, status) }

// room sends what has gathered if that is much.
func (o *output) room() error {
	if len(o.buf) < flushBytes {
		return o.err
	}
	return o.flush()
}

// flush sends what has gathered.
func (o *output) flush() error {
	if o.err != nil || len(o.buf) == 0 {
		return o.err
	}
	if now := time.Now(); o.until.Before(now.Add(o.timeout)) { // moved every now and then only: each time costs a timer
		o.until = now.Add(o.timeout + o.timeout/4)
		o.net.SetWriteDeadline(o.until)
	}
	_, o.err = o.net.Write(o.buf)
	o.sent += int64(len(o.buf))
	if o.buf = o.buf[:0]; cap(o.buf) > keepBytes {
		o.buf = nil
	}
	return o.err
}

// mark is a place in the stream of answers.
func (o *output) mark() int64 { return o.sent + int64(len(o.buf)) }

// takeBack drops what was appended after a mark, if it has not left yet.
func (o *output) takeBack(mark int64) bool {
	if mark < o.sent {
		return false
	}
	o.buf = o.buf[:mark-o.sent]
	return true
}
