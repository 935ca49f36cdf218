package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"sync"
)

// stableName is the file of the stable store: two slots with the same content, each whole in itself.
const (
	stableName = "stable"
	slotLen    = 4096
	slotHead   = 24 // sum, version, round (8), number of pairs, length
)

var stableMagic = [4]byte{'Q', 'S', 'T', '1'}

// slots are a few small values that never get lost. A change is written and synced to one slot and then to the other before it counts. So
// whatever happens to one of them, a torn write or a bit that flips, the other has what was promised.
type slots struct {
	disk disk
	file *os.File

	mu     sync.Mutex // guards the fields below, and is held over the writes, which it puts in order
	round  uint64     // of the newest content
	best   int        // the slot that has it; the other one is written first
	values map[string][]byte
}

// makeStable makes the file with nothing in it.
func makeStable(d disk, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	s := &slots{disk: d, file: f}
	return s.write(nil)
}

func openStable(d disk, path string) (*slots, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &slots{disk: d, file: f}
	if err := s.read(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

// read takes the newer slot, and makes the other one equal to it.
func (s *slots) read() error {
	var b [2 * slotLen]byte
	n, _ := s.file.ReadAt(b[:], 0)
	first, a := parseSlot(b[:min(n, slotLen)])
	second, z := parseSlot(b[min(n, slotLen):n])
	switch {
	case first == nil && second == nil:
		return fmt.Errorf("%w: %s: neither of its two copies passes its checksum", ErrCorrupt, s.file.Name())
	case first == nil, second != nil && z > a:
		s.values, s.round, s.best = second, z, 1
	default:
		s.values, s.round, s.best = first, a, 0
	}
	if first != nil && second != nil && a == z {
		return nil
	}
	if first != nil && second != nil && max(a, z)-min(a, z) != 1 {
		return fmt.Errorf("%w: %s: its copies are of rounds %d and %d", ErrCorrupt, s.file.Name(), a, z)
	}
	return s.write(s.values)
}

func parseSlot(b []byte) (values map[string][]byte, round uint64) {
	if len(b) != slotLen || !bytes.Equal(b[4:8], stableMagic[:]) || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, 0
	}
	values = map[string][]byte{}
	rest := b[slotHead:]
	for range binary.LittleEndian.Uint32(b[16:]) {
		var pair [2][]byte
		for i := range pair {
			if len(rest) < 2 || len(rest) < 2+int(binary.LittleEndian.Uint16(rest)) {
				return nil, 0
			}
			n := 2 + int(binary.LittleEndian.Uint16(rest))
			pair[i], rest = bytes.Clone(rest[2:n]), rest[n:]
		}
		values[string(pair[0])] = pair[1]
	}
	return values, binary.LittleEndian.Uint64(b[8:])
}

// write makes values the content of both slots, one after the other.
func (s *slots) write(values map[string][]byte) error {
	b := make([]byte, slotHead, slotLen)
	copy(b[4:], stableMagic[:])
	binary.LittleEndian.PutUint64(b[8:], s.round+1)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(values)))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(key))), key...)
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(values[key]))), values[key]...)
	}
	if len(b) > slotLen {
		return fmt.Errorf("%s holds %d bytes, and %d are wanted", s.file.Name(), slotLen, len(b))
	}
	b = b[:slotLen]
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	for _, slot := range []int{1 - s.best, s.best} {
		if err := s.disk.write(s.file, b, int64(slot)*slotLen); err != nil {
			return err
		}
		if err := s.disk.sync(s.file); err != nil {
			return err
		}
	}
	s.round, s.values = s.round+1, values
	return nil
}

// set keeps a value. It is durable once set returns.
func (s *slots) set(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := maps.Clone(s.values)
	if values == nil {
		values = map[string][]byte{}
	}
	values[key] = value
	return s.write(values)
}

// get is false for a key that was never set. The value is shared: nobody changes it.
func (s *slots) get(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	return v, ok
}
