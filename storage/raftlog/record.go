package raftlog

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// A record is an entry in a segment: a header, the entry's data and its extensions, padded with zeros to a multiple of 8 bytes. The header
// can be checked without the rest; docs/format/raftlog.md has its layout.
type header struct {
	body       uint32 // CRC-32C of data and extensions
	data       uint32 // length in bytes
	extensions uint32 // length in bytes
	base       uint32 // where the append began that this record belongs to: everything before it was synced when the record was written
	index      uint64
	term       uint64
	kind       uint8 // raft.LogType, or kindMark
}

const (
	headerLen = 40
	align     = 8

	// kindMark is a header without a body, behind the last append. It says, as base does, that everything before it
	// was synced, and the next record takes its place.
	kindMark = 0xff
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// size is what the record takes in its segment.
func (h *header) size() int64 {
	return (headerLen + int64(h.data) + int64(h.extensions) + align - 1) &^ (align - 1)
}

func recordSize(e *raft.Log) int64 {
	h := header{data: uint32(len(e.Data)), extensions: uint32(len(e.Extensions))}
	return h.size()
}

// put writes the header into b as it stands at offset at of segment id.
func (h *header) put(b []byte, id uint64, at int64) {
	binary.LittleEndian.PutUint32(b[4:], h.body)
	binary.LittleEndian.PutUint32(b[8:], h.data)
	binary.LittleEndian.PutUint32(b[12:], h.extensions)
	binary.LittleEndian.PutUint32(b[16:], h.base)
	binary.LittleEndian.PutUint64(b[20:], h.index)
	binary.LittleEndian.PutUint64(b[28:], h.term)
	b[36], b[37], b[38], b[39] = h.kind, 0, 0, 0
	binary.LittleEndian.PutUint32(b, headerSum(b, id, at))
}

// parse reads the header at offset at of segment id. It is false for anything that this segment's present life did not write there.
func (h *header) parse(b []byte, id uint64, at int64) bool {
	if len(b) < headerLen || binary.LittleEndian.Uint32(b) != headerSum(b, id, at) {
		return false
	}
	*h = header{
		body:       binary.LittleEndian.Uint32(b[4:]),
		data:       binary.LittleEndian.Uint32(b[8:]),
		extensions: binary.LittleEndian.Uint32(b[12:]),
		base:       binary.LittleEndian.Uint32(b[16:]),
		index:      binary.LittleEndian.Uint64(b[20:]),
		term:       binary.LittleEndian.Uint64(b[28:]),
		kind:       b[36],
	}
	return true
}

// headerSum covers the place too: a record that strays to another offset or segment, or is left over from an earlier life of the file, fails.
func headerSum(b []byte, id uint64, at int64) uint32 {
	var place [16]byte
	binary.LittleEndian.PutUint64(place[:], id)
	binary.LittleEndian.PutUint64(place[8:], uint64(at))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, b[4:headerLen])
}

// bodySum covers what follows the header, but for the padding.
func bodySum(data, extensions []byte) uint32 {
	return crc32.Update(crc32.Checksum(data, castagnoli), castagnoli, extensions)
}

// appendRecord appends e to b as it will stand at offset at of segment id. AppendedAt, which is for metrics, is left out.
func appendRecord(b []byte, e *raft.Log, id uint64, at, base int64) []byte {
	h := header{
		body: bodySum(e.Data, e.Extensions), data: uint32(len(e.Data)), extensions: uint32(len(e.Extensions)),
		base: uint32(base), index: e.Index, term: e.Term, kind: uint8(e.Type),
	}
	start := len(b)
	b = append(b, make([]byte, headerLen)...)
	h.put(b[start:], id, at)
	b = append(append(b, e.Data...), e.Extensions...)
	for int64(len(b)-start) < h.size() {
		b = append(b, 0)
	}
	return b
}

// whole says whether b, which begins with the header h, holds the rest of the record undamaged.
func (h *header) whole(b []byte) bool {
	size := h.size()
	if int64(len(b)) < size {
		return false
	}
	body := headerLen + int64(h.data) + int64(h.extensions)
	return crc32.Checksum(b[headerLen:body], castagnoli) == h.body
}

// entry gives the record as raft wants it. It keeps b.
func (h *header) entry(b []byte) raft.Log {
	e := raft.Log{Index: h.index, Term: h.term, Type: raft.LogType(h.kind)}
	data, rest := b[headerLen:headerLen+h.data], b[headerLen+h.data:]
	if len(data) > 0 {
		e.Data = data[:len(data):len(data)]
	}
	if h.extensions > 0 {
		e.Extensions = rest[:h.extensions:h.extensions]
	}
	return e
}
