package raftlog

import (
	"encoding/binary"
	"fmt"
	"io"
)

// found is what scan finds in a segment.
type found struct {
	offsets []uint32 // never nil
	end     int64    // behind the last record
	base    int64    // where the last append began
	marked  bool     // a mark says that all of it was synced
}

// newest is the last index of the newest segment: nobody knows it.
const newest = 0

// scan reads a segment from its first record on. In one that another segment follows, all entries up to last must be whole: it was
// synced before the other was made. The newest may end with an append that the power cut, and nothing tells where but the records
// themselves: a record that fails its checksums was cut if no later append and no mark bears witness that it was synced; if one does, it
// is damage.
func (s *segment) scan(last uint64) (found, error) {
	b := make([]byte, s.size)
	if n, err := s.file.ReadAt(b, 0); err != nil && (err != io.EOF || int64(n) < s.size) {
		return found{}, fmt.Errorf("%s: %w", s.file.Name(), err)
	}
	f := found{offsets: []uint32{}, end: segmentHeadLen, base: segmentHeadLen}
	var h header
	for index := s.first; last == newest || index <= last; index++ {
		if !h.parse(b[f.end:], s.id, f.end) || h.kind == kindMark || h.index != index || !h.whole(b[f.end:]) {
			break
		}
		f.offsets = append(f.offsets, uint32(f.end))
		f.base, f.end = int64(h.base), f.end+h.size()
	}
	next := s.first + uint64(len(f.offsets))
	if last != newest {
		if next <= last {
			return f, s.damaged(next, fmt.Sprintf("it fails its checksum, or is not there, and the log goes on up to entry %d", last))
		}
		return f, nil
	}
	f.marked = h.parse(b[f.end:], s.id, f.end) && h.kind == kindMark && h.index == next
	if at, ok := s.witness(b, f.end); ok {
		return f, s.damaged(next, fmt.Sprintf("it fails its checksum, and what stands at byte %d was written after it had been synced", at))
	}
	return f, nil
}

// witness looks behind end for a header of this segment whose append began behind end: whoever wrote it had synced what stands at end.
func (s *segment) witness(b []byte, end int64) (at int64, ok bool) {
	var h header
	for at = end + align; at+headerLen <= int64(len(b)); at += align {
		if binary.LittleEndian.Uint64(b[at:]) != 0 && h.parse(b[at:], s.id, at) && int64(h.base) > end {
			return at, true
		}
	}
	return 0, false
}
