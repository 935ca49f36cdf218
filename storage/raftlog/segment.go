package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// A segment is a file with consecutive entries. It is written in full before it is used, so that an append changes no metadata of the file
// system, and it is written to from front to back by one process: who opens a log begins a new segment, and so does whoever deletes its
// newest entries. What stands behind its last record is therefore never a record that counts.
type segment struct {
	file  *os.File
	id    uint64 // random, of this life of the file: records of earlier lives fail their checksums
	first uint64 // index of its first entry
	size  int64  // of the file
	turn  uint64 // rises with each segment that is made: this one replaces those with a lower turn that begin at first or later
	alone bool   // the log begins here: this one replaces all with a lower turn

	mu      sync.Mutex // guards the fields below; held while they are read from the file, which happens once
	offsets []uint32   // of the records of first, first+1, …; nil if not read yet
	end     int64      // behind the last record
}

const (
	segmentHeadLen = 64
	segmentMin     = 1 << 20 // bytes of the first segment of a process
	segmentMax     = 8 << 20 // bytes of the fourth and later ones: 2 s of a busy shard
)

var segmentMagic = [8]byte{'Q', 'U', 'I', 'P', 'U', 'L', 'G', 1}

// makeSegment writes a segment that has no place in the log yet. A file that is given is used again: its blocks are on the disk already.
func makeSegment(d disk, dir, used string, size int64, turn uint64, alone bool) (_ *segment, err error) {
	s := &segment{id: rand.Uint64(), size: size, turn: turn, alone: alone, offsets: []uint32{}, end: segmentHeadLen}
	path := filepath.Join(dir, youngName(s.id))
	if used == "" {
		s.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	} else {
		path = used
		s.file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.file.Close(), os.Remove(path))
		}
	}()
	if used != "" {
		info, err := s.file.Stat()
		if err != nil {
			return nil, err
		}
		s.size = info.Size()
	} else if err := fill(d, s.file, size); err != nil {
		return nil, err
	}
	if err := d.write(s.file, s.head(), 0); err != nil {
		return nil, err
	}
	return s, d.sync(s.file)
}

// head is magic, version, id, turn, 1 for alone, and their CRC-32C.
func (s *segment) head() []byte {
	head := make([]byte, segmentHeadLen)
	copy(head, segmentMagic[:])
	binary.LittleEndian.PutUint64(head[8:], s.id)
	binary.LittleEndian.PutUint64(head[16:], s.turn)
	if s.alone {
		head[24] = 1
	}
	binary.LittleEndian.PutUint32(head[28:], crc32.Checksum(head[:28], castagnoli))
	return head
}

// fill writes zeros, in steps so that no sync beside it waits for all of them.
func fill(d disk, f *os.File, size int64) error {
	zeros := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if err := d.write(f, zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
		if err := d.sync(f); err != nil {
			return err
		}
	}
	return nil
}

// place makes the segment part of the log, durably: its first entry has the index.
func (s *segment) place(dir string, first uint64) error {
	path := filepath.Join(dir, segmentName(first))
	if err := os.Rename(s.file.Name(), path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // under its new name, for errors
	if err != nil {
		return err
	}
	_ = s.file.Close()
	s.file, s.first = f, first
	return syncDir(dir)
}

// openSegment opens a segment of the log and checks its head.
func openSegment(path string, first uint64) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &segment{file: f, first: first}
	if err := s.readHead(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *segment) readHead() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.size = info.Size()
	head := make([]byte, segmentHeadLen)
	if _, err := io.ReadFull(io.NewSectionReader(s.file, 0, segmentHeadLen), head); err != nil || s.size > math.MaxUint32 {
		return fmt.Errorf("%w: %s has %d bytes, which no segment has", ErrCorrupt, s.file.Name(), s.size)
	}
	if binary.LittleEndian.Uint32(head[28:]) != crc32.Checksum(head[:28], castagnoli) || string(head[:7]) != string(segmentMagic[:7]) {
		return fmt.Errorf("%w: the head of %s fails its checksum", ErrCorrupt, s.file.Name())
	}
	if head[7] != segmentMagic[7] {
		return fmt.Errorf("raftlog: %s has version %d; this program reads version %d (use the release that wrote it)", s.file.Name(), head[7], segmentMagic[7])
	}
	s.id, s.turn, s.alone = binary.LittleEndian.Uint64(head[8:]), binary.LittleEndian.Uint64(head[16:]), head[24] == 1
	return nil
}

// room says whether a record of the size fits behind the last one, and a mark behind it.
func (s *segment) room(end, size int64) bool { return end+size+headerLen <= s.size }

// record gives the bytes of an entry, whose index is between first and last, the segment's last index.
func (s *segment) record(index, last uint64) (b []byte, at int64, err error) {
	from, to, err := s.find(index, last)
	if err != nil {
		return nil, 0, err
	}
	b = make([]byte, to-from)
	if _, err := s.file.ReadAt(b, from); err != nil {
		return nil, 0, err
	}
	return b, from, nil
}

func (s *segment) find(index, last uint64) (from, to int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offsets == nil {
		found, err := s.scan(last)
		if err != nil {
			return 0, 0, err
		}
		s.offsets, s.end = found.offsets, found.end
	}
	i := index - s.first
	if i >= uint64(len(s.offsets)) {
		return 0, 0, s.damaged(index, "it is missing")
	}
	from, to = int64(s.offsets[i]), s.end
	if i+1 < uint64(len(s.offsets)) {
		to = int64(s.offsets[i+1])
	}
	return from, to, nil
}

// extend makes records readable that have been written and synced.
func (s *segment) extend(offsets []uint32, end int64) {
	s.mu.Lock()
	s.offsets, s.end = append(s.offsets, offsets...), end
	s.mu.Unlock()
}

func (s *segment) damaged(index uint64, what string) error {
	return fmt.Errorf("%w: %s: entry %d: %s", ErrCorrupt, s.file.Name(), index, what)
}
