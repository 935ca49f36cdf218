package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// The stream of a state, as it goes to a peer: a head (magic, version, position, configuration, number of files, total size), then each
// file of a Pebble checkpoint (name, size, bytes, CRC-32C), then a tail. See docs/format/storage.md.
const (
	streamMagic   = "QUIPUST\n"
	streamTail    = "QUIPUEN\n"
	streamVersion = 1
	nameBytesMax  = 255
	configMax     = 1 << 20
	filesMax      = 1 << 20
)

// Export is a state on its way out: a reader of its stream. It keeps its own copy of the files (hard links where the disk has them) until
// Close.
type Export struct {
	s       *Store
	dir     string
	applied schema.Applied
	config  []byte
	size    int64
	parts   []io.Reader
}

// Export makes the state durable and opens a stream of it. The caller must Close it; any number may be open.
func (s *Store) Export(ctx context.Context) (*Export, error) {
	if err := s.lockSaving(ctx); err != nil {
		return nil, err
	}
	defer s.unlockSaving()
	if err := s.checkpoint(); err != nil {
		return nil, err
	}
	e := &Export{s: s, dir: s.path(fmt.Sprintf("%sout-%d", streamPrefix, s.streams.Add(1)))}
	if err := s.db.Checkpoint(e.dir); err != nil {
		return nil, fmt.Errorf("storage: export: %w", errors.Join(err, s.fs.RemoveAll(e.dir)))
	}
	if err := e.prepare(); err != nil {
		return nil, fmt.Errorf("storage: export: %w", errors.Join(err, s.fs.RemoveAll(e.dir)))
	}
	return e, nil
}

// prepare reads the position from the copy itself, and lays the stream out.
func (e *Export) prepare() error {
	var err error
	if e.applied, e.config, err = e.s.peekDB(e.dir); err != nil {
		return err
	}
	names, err := e.s.fs.List(e.dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == lockName })
	slices.Sort(names)
	var files []io.Reader
	total := int64(0)
	for _, name := range names {
		path := e.s.fs.PathJoin(e.dir, name)
		info, err := e.s.fs.Stat(path)
		if err != nil {
			return err
		}
		head := binary.LittleEndian.AppendUint16(nil, uint16(len(name)))
		head = binary.LittleEndian.AppendUint64(append(head, name...), uint64(info.Size()))
		f := &exportFile{fs: e.s.fs, path: path, left: info.Size(), sum: crc32.New(castagnoli)}
		_, _ = f.sum.Write(head)
		files = append(files, bytes.NewReader(head), f)
		total += int64(len(head)) + info.Size() + crc32.Size
	}
	head := e.head(len(names))
	e.size = int64(len(head)) + total + int64(len(streamTail))
	e.parts = append(append([]io.Reader{bytes.NewReader(head)}, files...), bytes.NewReader([]byte(streamTail)))
	return nil
}

func (e *Export) head(files int) []byte {
	b := append([]byte(streamMagic), streamVersion)
	b = binary.LittleEndian.AppendUint64(b, e.applied.Index)
	b = binary.LittleEndian.AppendUint64(b, e.applied.Term)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.config)))
	b = append(b, e.config...)
	b = binary.LittleEndian.AppendUint32(b, uint32(files))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Applied is the log position of the state in the stream.
func (e *Export) Applied() schema.Applied { return e.applied }

// Config is the group's Raft configuration in the stream.
func (e *Export) Config() []byte { return e.config }

// Size is the exact number of bytes that Read will give.
func (e *Export) Size() int64 { return e.size }

// Read gives the next bytes of the stream.
func (e *Export) Read(p []byte) (int, error) {
	for len(e.parts) > 0 {
		n, err := e.parts[0].Read(p)
		if errors.Is(err, io.EOF) {
			e.parts, err = e.parts[1:], nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
	return 0, io.EOF
}

// Close deletes the copy. The stream need not have been read to its end.
func (e *Export) Close() error {
	for _, p := range e.parts {
		if f, ok := p.(*exportFile); ok {
			f.close()
		}
	}
	e.parts = nil
	return e.s.fs.RemoveAll(e.dir)
}

// exportFile reads a file of a known size and then gives the checksum of its head and bytes.
type exportFile struct {
	fs   vfs.FS
	path string
	f    vfs.File
	left int64
	sum  hash.Hash32
	tail *bytes.Reader
}

func (x *exportFile) Read(p []byte) (n int, err error) {
	if x.f == nil && x.tail == nil {
		if x.f, err = x.fs.Open(x.path, vfs.SequentialReadsOption); err != nil {
			return 0, err
		}
	}
	if x.left > 0 {
		n, err = x.f.Read(p[:min(int64(len(p)), x.left)])
		_, _ = x.sum.Write(p[:n])
		x.left -= int64(n)
		if errors.Is(err, io.EOF) && x.left > 0 {
			err = fmt.Errorf("%s is %d bytes shorter than it was: %w", x.path, x.left, io.ErrUnexpectedEOF)
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}
	if x.tail == nil {
		x.close()
		x.tail = bytes.NewReader(binary.LittleEndian.AppendUint32(nil, x.sum.Sum32()))
	}
	return x.tail.Read(p)
}

func (x *exportFile) close() {
	if x.f != nil {
		_ = x.f.Close() // it was only read
		x.f = nil
	}
}
