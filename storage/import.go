package storage

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// ErrStream is a stream that is cut off, damaged, or not one at all. The state that a store has is untouched by it.
var ErrStream = errors.New("storage: bad state stream")

// Incoming is a state that arrived whole and sound, and waits to be installed or discarded.
type Incoming struct {
	s       *Store
	dir     string
	applied schema.Applied
	config  []byte
}

// Applied is the log position of the state.
func (in *Incoming) Applied() schema.Applied { return in.applied }

// Config is the group's Raft configuration in the state.
func (in *Incoming) Config() []byte { return in.config }

// Discard deletes the state.
func (in *Incoming) Discard() error { return in.s.fs.RemoveAll(in.dir) }

// Import reads a stream that Export gave, up to its tail, into files beside the database. Nothing of the current state changes. ctx ends
// it between two reads.
func (s *Store) Import(ctx context.Context, r io.Reader) (*Incoming, error) {
	base := s.path(fmt.Sprintf("%sin-%d", streamPrefix, s.streams.Add(1)))
	in := &Incoming{s: s, dir: base}
	if err := s.receive(ctx, in, base+".tmp", bufio.NewReaderSize(r, 1<<16)); err != nil {
		return nil, errors.Join(err, s.fs.RemoveAll(base+".tmp"))
	}
	return in, nil
}

func (s *Store) receive(ctx context.Context, in *Incoming, tmp string, r io.Reader) error {
	files, err := in.readHead(r)
	if err != nil {
		return err
	}
	if err := s.fs.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	for range files {
		if err := s.receiveFile(ctx, tmp, r); err != nil {
			return err
		}
	}
	tail := make([]byte, len(streamTail))
	if _, err := io.ReadFull(r, tail); err != nil || string(tail) != streamTail {
		return fmt.Errorf("%w: it has no end", ErrStream)
	}
	if err := s.syncDir(tmp); err != nil {
		return err
	}
	applied, config, err := s.peekDB(tmp)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	if applied != in.applied || string(config) != string(in.config) {
		return fmt.Errorf("%w: its head says %v, its state %v", ErrStream, in.applied, applied)
	}
	if err := s.fs.Rename(tmp, in.dir); err != nil {
		return err
	}
	return s.syncDir(s.opts.Dir)
}

// readHead gives the number of files.
func (in *Incoming) readHead(r io.Reader) (uint32, error) {
	fixed := make([]byte, len(streamMagic)+1+8+8+4)
	if _, err := io.ReadFull(r, fixed); err != nil || string(fixed[:len(streamMagic)]) != streamMagic {
		return 0, fmt.Errorf("%w: it does not begin like one", ErrStream)
	}
	b := fixed[len(streamMagic):]
	if b[0] != streamVersion {
		return 0, fmt.Errorf("%w: version %d, this release reads %d", ErrStream, b[0], streamVersion)
	}
	in.applied = schema.Applied{Index: binary.LittleEndian.Uint64(b[1:]), Term: binary.LittleEndian.Uint64(b[9:])}
	n := binary.LittleEndian.Uint32(b[17:])
	if n > configMax {
		return 0, fmt.Errorf("%w: head is damaged", ErrStream)
	}
	rest := make([]byte, n+8)
	if _, err := io.ReadFull(r, rest); err != nil {
		return 0, fmt.Errorf("%w: cut off in its head", ErrStream)
	}
	in.config = rest[:n:n]
	files, sum := binary.LittleEndian.Uint32(rest[n:]), binary.LittleEndian.Uint32(rest[n+4:])
	if crc32.Update(crc32.Checksum(fixed, castagnoli), castagnoli, rest[:n+4]) != sum || files > filesMax {
		return 0, fmt.Errorf("%w: head is damaged", ErrStream)
	}
	return files, nil
}

func (s *Store) receiveFile(ctx context.Context, dir string, r io.Reader) error {
	sum := crc32.New(castagnoli)
	in := io.TeeReader(r, sum)
	var length [2]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return fmt.Errorf("%w: cut off between files", ErrStream)
	}
	head := make([]byte, int(binary.LittleEndian.Uint16(length[:]))+8)
	if len(head)-8 > nameBytesMax {
		return fmt.Errorf("%w: head of a file is damaged", ErrStream)
	}
	if _, err := io.ReadFull(in, head); err != nil {
		return fmt.Errorf("%w: cut off in the head of a file", ErrStream)
	}
	name, size := string(head[:len(head)-8]), binary.LittleEndian.Uint64(head[len(head)-8:])
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") || filepath.Base(name) != name {
		return fmt.Errorf("%w: file name %q", ErrStream, name)
	}
	if err := s.copyFile(ctx, s.fs.PathJoin(dir, name), in, size); err != nil {
		return err
	}
	var want [crc32.Size]byte
	if _, err := io.ReadFull(r, want[:]); err != nil || binary.LittleEndian.Uint32(want[:]) != sum.Sum32() {
		return fmt.Errorf("%w: file %s fails its checksum", ErrStream, name)
	}
	return nil
}

func (s *Store) copyFile(ctx context.Context, path string, r io.Reader, size uint64) error {
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for size > 0 && err == nil {
		if err = ctx.Err(); err != nil {
			break
		}
		n := min(size, uint64(len(buf)))
		if _, err = io.ReadFull(r, buf[:n]); err != nil {
			err = fmt.Errorf("%w: cut off in file %s: %w", ErrStream, s.fs.PathBase(path), err)
			break
		}
		_, err = f.Write(buf[:n])
		size -= n
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// peekDB reads position and configuration from a database that nobody has open, and changes nothing of it.
func (s *Store) peekDB(dir string) (schema.Applied, []byte, error) {
	o := s.pebbleOptions()
	o.ReadOnly = true
	o.EventListener = &pebble.EventListener{DataCorruption: o.EventListener.DataCorruption}
	db, err := s.guard(dir, o)
	if err != nil {
		return schema.Applied{}, nil, err
	}
	st := state{db: db, dir: dir}
	for _, key := range [][]byte{metaFormat, metaApplied, metaConfig} {
		v, closer, err := db.Get(key)
		if err == nil {
			err = errors.Join(st.loadMeta(key, v), closer.Close())
		}
		if errors.Is(err, pebble.ErrNotFound) && string(key) != string(metaFormat) {
			continue // a state before its first entry
		}
		if err != nil {
			return schema.Applied{}, nil, errors.Join(s.damaged(dir, err), db.Close())
		}
	}
	return st.pos.applied, st.config, db.Close()
}

// Install makes in the state of the store, durably. The writer's goroutine calls it, outside Update. Open snapshots end with
// ErrSnapshotTooOld, and every TableState and DictReader is dead. What can fail comes first and leaves the old state in force; an error
// after the switch stops the store.
func (s *Store) Install(in *Incoming) error {
	if err := s.lockSaving(context.Background()); err != nil {
		return err
	}
	defer s.unlockSaving()
	if err := s.Err(); err != nil {
		return err
	}
	var n int
	if _, err := fmt.Sscanf(s.fs.PathBase(s.dbDir), dbPrefix+"%d", &n); err != nil {
		return fmt.Errorf("storage: install: %s: %w", s.dbDir, err)
	}
	name := dbName(n + 1)
	if err := s.fs.RemoveAll(s.path(name)); err != nil {
		return fmt.Errorf("storage: install: %w", err)
	}
	if err := s.fs.Rename(in.dir, s.path(name)); err != nil {
		return fmt.Errorf("storage: install: %w", err)
	}
	if err := s.syncDir(s.opts.Dir); err != nil {
		return fmt.Errorf("storage: install: %w", err)
	}
	db, err := s.openDB(s.path(name))
	if err != nil {
		return fmt.Errorf("storage: install: %w", err)
	}
	s.mu.Lock()
	epoch := s.epoch + 2 // a snapshot may raise it once meanwhile
	s.mu.Unlock()
	st, err := s.load(db, s.path(name), epoch)
	if err != nil {
		return fmt.Errorf("storage: install: %w", errors.Join(err, db.Close()))
	}
	if err := s.switchTo(st); err != nil {
		err = fmt.Errorf("storage: install: %w", err)
		s.fail(err)
		return err
	}
	return nil
}

// switchTo puts st in the place of the state so far. Whatever fails from here on stops the store.
func (s *Store) switchTo(st *state) error {
	if err := s.setCurrent(s.fs.PathBase(st.dir)); err != nil {
		return errors.Join(err, st.db.Close())
	}
	old, oldDir, oldPin := s.db, s.dbDir, s.pin
	s.mu.Lock()
	s.giveBack()
	s.take(st)
	s.mu.Unlock()
	s.views.endBefore(st.epoch)
	s.ended = time.Now()
	s.waiters.wake(st.pos.applied.Index)
	s.views.mu.Lock()
	s.views.unpin(oldPin)
	s.views.mu.Unlock()
	return errors.Join(old.Close(), s.fs.RemoveAll(oldDir))
}
