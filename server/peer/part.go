package peer

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// encodePart copies a part: only its own rows and the values that they use travel. The part may change afterwards.
func encodePart(id uint64, shard schema.ShardID, p *replica.Part) *peerv1.ProposeRequest {
	s := &p.Stamp
	m := &peerv1.ProposeRequest{Id: id, Shard: uint32(shard), TableId: uint64(p.Table.ID), TableVersion: p.Table.Version, Rows: uint32(p.Len), Window: p.Window,
		Stamp: &peerv1.Stamp{Kind: uint32(s.Kind), Session: s.Session, Home: uint32(s.Home), Seq: s.Seq, AckUpTo: s.AckUpTo, MapVersion: s.MapVersion,
			KeyShard: uint32(s.KeyShard), ExpiresMs: s.Expires}}
	for d := range p.Cols {
		m.Columns = append(m.Columns, encodeColumn(p, &p.Cols[d]))
	}
	m.Counts, m.Windows = packSigned(p, p.Counts), packSigned(p, p.Windows)
	return m
}

// row is the place in the columns of the part's i-th row.
func row(p *replica.Part, i int) int {
	if p.Rows == nil {
		return i
	}
	return int(p.Rows[i])
}

// columnEncoder numbers the values of a column in the order in which rows use them.
type columnEncoder struct {
	col   *replica.PartColumn
	to    []uint32 // by position in the dictionary: code on the wire + 1, 0 if no row used it yet
	codes uint32
	m     *peerv1.Column
}

func (e *columnEncoder) code(position uint32) uint32 {
	if e.to[position] == 0 {
		e.to[position] = e.add(e.col.Values[position]) + 1
	}
	return e.to[position] - 1
}

func (e *columnEncoder) add(v schema.Value) uint32 {
	if v.Null {
		return 0
	}
	e.m.Values = append(e.m.Values, v.Text...)
	e.m.Lengths = append(e.m.Lengths, uint32(len(v.Text)))
	e.codes++
	return e.codes
}

func encodeColumn(p *replica.Part, col *replica.PartColumn) *peerv1.Column {
	e := columnEncoder{col: col, m: &peerv1.Column{}, to: make([]uint32, len(col.Values))}
	if col.Codes == nil {
		e.add(col.Values[0])
		return e.m
	}
	codes := make([]uint32, p.Len)
	for i := range codes {
		codes[i] = e.code(col.Codes[row(p, i)])
	}
	width := widthOf(uint64(e.codes))
	e.m.Codes = make([]byte, 0, width*p.Len)
	for _, c := range codes {
		e.m.Codes = appendWidth(e.m.Codes, uint64(c), width)
	}
	return e.m
}

// widthOf is the bytes of the narrowest integer that holds highest.
func widthOf(highest uint64) int {
	switch {
	case highest <= math.MaxUint8:
		return 1
	case highest <= math.MaxUint16:
		return 2
	case highest <= math.MaxUint32:
		return 4
	}
	return 8
}

func appendWidth(b []byte, v uint64, width int) []byte {
	switch width {
	case 1:
		return append(b, byte(v))
	case 2:
		return binary.LittleEndian.AppendUint16(b, uint16(v))
	case 4:
		return binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(b, v)
}

func readWidth(b []byte, i, width int) uint64 {
	switch width {
	case 1:
		return uint64(b[i])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b[2*i:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return binary.LittleEndian.Uint64(b[8*i:])
}

// packSigned gives the part's rows of list in the narrowest width.
func packSigned(p *replica.Part, list []int64) []byte {
	if list == nil {
		return nil
	}
	highest := uint64(0)
	for i := range p.Len {
		v := list[row(p, i)]
		highest = max(highest, uint64(v<<1)^uint64(v>>63)) // fits the width if twice the magnitude does
	}
	width := widthOf(highest)
	b := make([]byte, 0, width*p.Len)
	for i := range p.Len {
		b = appendWidth(b, uint64(list[row(p, i)]), width)
	}
	return b
}

// unpackSigned reads rows integers of one width.
func unpackSigned(b []byte, rows int) ([]int64, error) {
	if len(b) == 0 {
		return nil, nil
	}
	width, err := width(len(b), rows)
	if err != nil {
		return nil, err
	}
	out, unused := make([]int64, rows), 64-8*width
	for i := range out {
		out[i] = int64(readWidth(b, i, width)<<unused) >> unused
	}
	return out, nil
}

func width(size, rows int) (int, error) {
	for _, w := range []int{1, 2, 4, 8} {
		if size == w*rows {
			return w, nil
		}
	}
	return 0, fmt.Errorf("%d bytes for %d rows", size, rows)
}

// decodePart reads what encodePart wrote. The table has its id and version only, which is what a proposer looks at.
func decodePart(m *peerv1.ProposeRequest) (*replica.Part, error) {
	p, err := decodeRows(m)
	if err != nil {
		return nil, errcode.New(errcode.Corrupt, "a part of another node cannot be read: %w", err)
	}
	s := m.GetStamp()
	p.Stamp = command.Part{Kind: command.PartKind(s.GetKind()), Session: s.GetSession(), Home: schema.ShardID(s.GetHome()), Seq: s.GetSeq(), AckUpTo: s.GetAckUpTo(),
		MapVersion: s.GetMapVersion(), KeyShard: schema.ShardID(s.GetKeyShard()), Expires: s.GetExpiresMs()}
	if p.Stamp.Kind < command.Ordinary || p.Stamp.Kind > command.Key {
		return nil, errcode.New(errcode.Corrupt, "a part of another node has a stamp of kind %d", p.Stamp.Kind)
	}
	return p, nil
}

func decodeRows(m *peerv1.ProposeRequest) (*replica.Part, error) {
	p := &replica.Part{Table: &schema.Table{ID: schema.TableID(m.TableId), Version: m.TableVersion}, Len: int(m.Rows), Window: m.Window}
	switch {
	case m.Rows == 0 || m.Rows > router.RowsMax:
		return nil, fmt.Errorf("%d rows", m.Rows)
	case len(m.Columns) == 0 || len(m.Columns) > schema.DimensionsMax:
		return nil, fmt.Errorf("%d columns", len(m.Columns))
	}
	p.Cols = make([]replica.PartColumn, len(m.Columns))
	for d, c := range m.Columns {
		if err := decodeColumn(&p.Cols[d], c, p.Len); err != nil {
			return nil, fmt.Errorf("column %d: %w", d, err)
		}
	}
	var err error
	if p.Counts, err = unpackSigned(m.Counts, p.Len); err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	if p.Windows, err = unpackSigned(m.Windows, p.Len); err != nil {
		return nil, fmt.Errorf("windows: %w", err)
	}
	return p, nil
}

func decodeColumn(col *replica.PartColumn, m *peerv1.Column, rows int) error {
	text := string(m.Values) // one copy, which the values share
	col.Values = make([]schema.Value, 1, 1+len(m.Lengths))
	col.Values[0] = schema.Null
	for _, n := range m.Lengths {
		if uint64(n) > uint64(len(text)) {
			return fmt.Errorf("a value of %d bytes with %d left", n, len(text))
		}
		col.Values = append(col.Values, schema.V(text[:n]))
		text = text[n:]
	}
	if text != "" {
		return fmt.Errorf("%d bytes after the last value", len(text))
	}
	if len(m.Codes) == 0 {
		if len(m.Lengths) > 1 {
			return fmt.Errorf("%d values and no codes", len(m.Lengths))
		}
		col.Values = col.Values[len(m.Lengths):]
		return nil
	}
	width, err := width(len(m.Codes), rows)
	if err != nil {
		return err
	}
	col.Codes = make([]uint32, rows)
	for i := range col.Codes {
		code := readWidth(m.Codes, i, width)
		if code >= uint64(len(col.Values)) {
			return fmt.Errorf("code %d of %d", code, len(m.Lengths))
		}
		col.Codes[i] = uint32(code)
	}
	return nil
}
