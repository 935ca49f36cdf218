package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// StoreLog appends one entry.
func (l *Log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries, durably once it returns: with one write and one fdatasync unless they need another segment.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if e := l.failure.Load(); e != nil {
		return *e
	}
	for len(entries) > 0 {
		n, err := l.append(entries)
		if err != nil {
			return l.fail(l.named(err))
		}
		entries = entries[n:]
	}
	return nil
}

const writeMax = 1 << 20 // bytes of one write; what the buffer is kept for

// append writes as many of the entries as the segment has room for, at least one, and syncs them.
func (l *Log) append(entries []*raft.Log) (n int, err error) {
	s, err := l.segmentFor(entries[0])
	if err != nil {
		return 0, err
	}
	base, end := s.end, s.end
	next := entries[0].Index
	offsets := make([]uint32, 0, len(entries))
	l.buf = l.buf[:0]
	for _, e := range entries {
		if e.Index != next {
			return 0, fmt.Errorf("entry %d does not follow entry %d", e.Index, next-1)
		}
		size := recordSize(e)
		if !s.room(end, size) {
			break
		}
		if len(l.buf) > 0 && int64(len(l.buf))+size > writeMax {
			if err := l.disk.write(s.file, l.buf, end-int64(len(l.buf))); err != nil {
				return 0, err
			}
			l.buf = l.buf[:0]
		}
		l.buf = appendRecord(l.buf, e, s.id, end, base)
		offsets = append(offsets, uint32(end))
		end += size
		next++
	}
	if err := l.disk.write(s.file, l.buf, end-int64(len(l.buf))); err != nil {
		return 0, err
	}
	if err := l.disk.sync(s.file); err != nil {
		return 0, err
	}
	if cap(l.buf) > writeMax {
		l.buf = nil
	}
	s.extend(offsets, end)
	l.publish(entries[:len(offsets)])
	return len(offsets), l.mark(s, next)
}

// mark notes behind an append that it was synced, before it is acknowledged. The page cache keeps that when the process dies; it reaches the
// disk with the next append, which takes its place and says so too, or when the log has rested for a moment.
func (l *Log) mark(s *segment, next uint64) error {
	var b [headerLen]byte
	h := header{base: uint32(s.end), index: next, kind: kindMark}
	h.put(b[:], s.id, s.end)
	l.resting = true
	l.idle.Reset(restAfter)
	return l.disk.write(s.file, b[:], s.end)
}

// restAfter is how long a log waits for another append before it syncs the mark of the last.
const restAfter = 100 * time.Millisecond

// rest makes the mark of the last append durable.
func (l *Log) rest() {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.failure.Load() != nil {
		return
	}
	if err := l.syncMark(); err != nil {
		l.fail(l.named(err))
	}
}

func (l *Log) syncMark() error {
	if !l.resting {
		return nil
	}
	l.resting = false
	return l.disk.sync(l.active.file)
}

func (l *Log) publish(entries []*raft.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == 0 {
		l.first = entries[0].Index
	}
	l.last = entries[len(entries)-1].Index
	for _, e := range entries {
		l.recent.add(e)
	}
}

// segmentFor is the segment that the entry goes to: the active one if it has room.
func (l *Log) segmentFor(e *raft.Log) (*segment, error) {
	l.mu.Lock()
	first, last := l.first, l.last
	l.mu.Unlock()
	if first != 0 && e.Index != last+1 || e.Index == 0 {
		return nil, fmt.Errorf("entry %d does not follow entry %d", e.Index, last)
	}
	size := recordSize(e)
	if s := l.active; s != nil && s.room(s.end, size) && (first != 0 || s.first == e.Index) {
		if s.end > s.size/2 {
			l.askAhead()
		}
		return s, nil
	}
	return l.begin(e.Index, segmentHeadLen+size+headerLen, first == 0)
}

// begin makes a segment that starts with the index and has room for size bytes. Once it is in place nothing counts that was at this index
// or behind it, and if it is alone nothing older at all.
func (l *Log) begin(first uint64, size int64, alone bool) (*segment, error) {
	s, err := l.takeAhead(size, alone)
	if err != nil {
		return nil, err
	}
	if err := s.place(l.dir, first); err != nil {
		return nil, err
	}
	var shorten *segment // that an earlier process made ahead and did not fill
	var gone []*segment
	l.mu.Lock()
	switch n := len(l.segments); {
	case alone:
		gone, l.segments = l.segments, nil
	case n > 0 && l.segments[n-1].first == first:
		gone, l.segments = l.segments[n-1:], l.segments[:n-1:n-1]
	case n > 0 && l.segments[n-1] == l.found:
		shorten = l.found
		shorten.size = shorten.end
	}
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	l.active, l.found, l.resting = s, nil, false // the new one says that the last append was synced
	if shorten != nil {
		err = shorten.file.Truncate(shorten.size)
	}
	return s, errors.Join(err, l.drop(gone, first))
}

// drop lets go of segments that do not count any more, durably one after the other. The name of one may be taken by another since.
func (l *Log) drop(gone []*segment, taken uint64) error {
	for _, s := range gone {
		path := s.file.Name()
		if err := s.file.Close(); err != nil {
			return err
		}
		if s.first == taken {
			continue
		}
		if err := l.discard(path, s); err != nil {
			return err
		}
	}
	return nil
}

const usedMax = 8 // files kept to be used again

// discard removes a segment's file, or keeps it under another name. Its name is gone for good before anybody writes to the file again.
func (l *Log) discard(path string, s *segment) error {
	l.mu.Lock()
	keep := s.size >= segmentMax && s.size <= 2*segmentMax && len(l.used) < usedMax
	l.mu.Unlock()
	if !keep {
		return l.remove([]string{path})
	}
	young := filepath.Join(l.dir, youngName(s.id))
	if err := os.Rename(path, young); err != nil {
		return err
	}
	if err := syncDir(l.dir); err != nil {
		return err
	}
	l.mu.Lock()
	l.used = append(l.used, young)
	l.mu.Unlock()
	return nil
}

// askAhead has the next segment made beside the appends.
func (l *Log) askAhead() {
	if l.ahead != nil {
		return
	}
	l.grown = min(2*l.grown, segmentMax)
	l.turn++
	used, size, turn, ahead := l.takeUsed(), l.grown, l.turn, make(chan made, 1)
	l.ahead = ahead
	go func() {
		s, err := makeSegment(l.disk, l.dir, used, size, turn, false)
		ahead <- made{s, err}
	}()
}

// takeUsed is a file to be used again, or "".
func (l *Log) takeUsed() (path string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.used); n > 0 {
		path, l.used = l.used[n-1], l.used[:n-1]
	}
	return path
}

// takeAhead is the segment that was made ahead, or a new one where it does not serve.
func (l *Log) takeAhead(size int64, alone bool) (*segment, error) {
	if l.ahead != nil {
		m := <-l.ahead
		l.ahead = nil
		if m.err != nil || m.segment.size >= size && !alone {
			return m.segment, m.err
		}
		if err := l.drop([]*segment{m.segment}, 0); err != nil {
			return nil, err
		}
	}
	l.turn++
	return makeSegment(l.disk, l.dir, "", max(size, l.grown), l.turn, alone)
}
