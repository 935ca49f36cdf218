// Package raftlog is the Raft log and the stable store of one group: raft-boltdb in the file raft.db of the group's directory, behind
// what hashicorp/raft leaves to its stores:
//
//   - every entry carries a CRC-32C of all its fields, and an entry that fails it is refused with an error that names the file;
//   - a vote is one value, so that no crash pairs the new term with the old candidate;
//   - the first write that fails halts the node, because raft itself goes on after it;
//   - one process at a time has the file open.
//
// Use:
//
//	log, err := raftlog.Open(dir, raftlog.Options{Halt: halt})
//	r, err := raft.NewRaft(conf, machine, log, log, snapshots, transport)
package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// FileName is the log's file in the group's directory.
const FileName = "raft.db"

// ErrInUse is a log that another process, or another Log of this one, has open.
var ErrInUse = errors.New("in use by another process; stop it first")

// ErrCorrupt is an entry or a file that is damaged. The text names the file.
var ErrCorrupt = errors.New("raftlog: corrupt log")

// Options of Open.
type Options struct {
	Halt        func(error)   // called once, at the first failed write or damaged entry; does nothing if nil
	LockTimeout time.Duration // how long to wait for another process to let go of the file; 1 s if zero
	NoSync      bool          // skips every fsync: for tests of other things only
}

// Log is a raft.LogStore and a raft.StableStore. Raft calls the writing methods one at a time.
type Log struct {
	path    string
	store   backend
	halt    func(error)
	failure atomic.Pointer[error]

	voteTerm atomic.Uint64 // of a vote whose candidate has not come yet; 0 for none
}

// backend is raft-boltdb, or a store that fails in tests.
type backend interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// Open opens the log in dir, which must exist, or makes an empty one.
func Open(dir string, o Options) (log *Log, err error) {
	path := filepath.Join(dir, FileName)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil { // bbolt panics on pages that make no sense
			log, err = nil, fmt.Errorf("%w: %s: %v", ErrCorrupt, path, p)
		}
	}()
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	store, err := raftboltdb.New(raftboltdb.Options{
		Path:   path,
		NoSync: o.NoSync,
		// Without NoFreelistSync every commit writes the whole freelist: 5.9 instead of 8.0 M increments/s.
		BoltOptions:             &bbolt.Options{Timeout: o.LockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
		MsgpackUseNewTimeFormat: true,
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("raftlog: open %s: %w", path, ErrInUse)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	case err != nil:
		return nil, fmt.Errorf("raftlog: open %s: %w", path, err)
	}
	return newLog(path, store, o.Halt), nil
}

func newLog(path string, store backend, halt func(error)) *Log {
	if halt == nil {
		halt = func(error) {}
	}
	return &Log{path: path, store: store, halt: halt}
}

// Close lets go of the file.
func (l *Log) Close() error { return l.store.Close() }

// Path is the log's file.
func (l *Log) Path() string { return l.path }

// Size is the length of the file in bytes. It never shrinks.
func (l *Log) Size() (int64, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// HasVoted reports whether the stable store knows a term or a vote. A group whose configuration names this node as a voter must not
// start if it does not.
func (l *Log) HasVoted() (bool, error) {
	for _, key := range [][]byte{keyTerm, keyVote} {
		_, err := l.store.Get(key)
		if err == nil {
			return true, nil
		}
		if err.Error() != notFound {
			return false, l.named(err)
		}
	}
	return false, nil
}

// Reset deletes all entries, and keeps term and vote. It is for a log that ends before the durable state begins.
func (l *Log) Reset() error {
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	return l.DeleteRange(first, last)
}

// FirstIndex is the index of the oldest entry, 0 if there is none.
func (l *Log) FirstIndex() (index uint64, err error) {
	err = l.read(func() error {
		index, err = l.store.FirstIndex()
		return err
	})
	return index, err
}

// LastIndex is the index of the newest entry, 0 if there is none.
func (l *Log) LastIndex() (index uint64, err error) {
	err = l.read(func() error {
		index, err = l.store.LastIndex()
		return err
	})
	return index, err
}

// GetLog reads one entry and checks it. A damaged one is an ErrCorrupt and halts the node.
func (l *Log) GetLog(index uint64, out *raft.Log) error {
	return l.read(func() error {
		var e raft.Log
		err := l.store.GetLog(index, &e)
		if errors.Is(err, raft.ErrLogNotFound) {
			return l.absent(index, err)
		}
		if err != nil {
			return l.corrupt(index, err.Error())
		}
		n := len(e.Extensions) - crc32.Size
		if n < 0 {
			return l.corrupt(index, "it has no checksum")
		}
		want := binary.LittleEndian.Uint32(e.Extensions[n:])
		if e.Extensions = e.Extensions[:n]; n == 0 {
			e.Extensions = nil
		}
		if got := checksum(&e); e.Index != index || got != want {
			return l.corrupt(index, fmt.Sprintf("checksum %08x, want %08x", got, want))
		}
		*out = e
		return nil
	})
}

// absent gives err if the log does not reach index; an entry that is missing between others is damage.
func (l *Log) absent(index uint64, err error) error {
	first, err1 := l.store.FirstIndex()
	last, err2 := l.store.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if first <= index && index <= last && first > 0 {
		return l.corrupt(index, fmt.Sprintf("it is missing between entries %d and %d", first, last))
	}
	return err
}

func (l *Log) corrupt(index uint64, what string) error {
	return l.fail(fmt.Errorf("%w: %s: entry %d: %s", ErrCorrupt, l.path, index, what))
}

// StoreLog appends one entry.
func (l *Log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries, durably once it returns. The checksums travel in the field Extensions, which nobody else uses.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	sealed := make([]raft.Log, len(entries))
	refs := make([]*raft.Log, len(entries))
	for i, e := range entries {
		sealed[i] = *e
		ext := append(make([]byte, 0, len(e.Extensions)+crc32.Size), e.Extensions...)
		sealed[i].Extensions = binary.LittleEndian.AppendUint32(ext, checksum(e))
		refs[i] = &sealed[i]
	}
	return l.write(func() error { return l.store.StoreLogs(refs) })
}

// DeleteRange deletes the entries from first to last, both included.
func (l *Log) DeleteRange(first, last uint64) error {
	return l.write(func() error { return l.store.DeleteRange(first, last) })
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers every field that raft reads back. AppendedAt is for metrics only.
func checksum(e *raft.Log) uint32 {
	var head [17]byte
	binary.LittleEndian.PutUint64(head[0:], e.Index)
	binary.LittleEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, e.Data)
	return crc32.Update(sum, castagnoli, e.Extensions)
}

// write runs a write unless an earlier one failed.
func (l *Log) write(fn func() error) error {
	if err := l.read(fn); err != nil {
		return l.fail(err)
	}
	return nil
}

// read runs fn, turns a panic of bbolt into an error, and gives errors the name of the file.
func (l *Log) read(fn func() error) (err error) {
	if e := l.failure.Load(); e != nil {
		return *e
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a damaged page can point outside the mapped file
	defer func() {
		if p := recover(); p != nil {
			err = l.fail(fmt.Errorf("%w: %s: %v", ErrCorrupt, l.path, p))
		}
	}()
	err = fn()
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, ErrCorrupt) || err.Error() == notFound {
		return err
	}
	return l.named(err)
}

func (l *Log) named(err error) error { return fmt.Errorf("raftlog: %s: %w", l.path, err) }

// fail keeps the first error, which all later calls get, and halts the node with it.
func (l *Log) fail(err error) error {
	if l.failure.CompareAndSwap(nil, &err) {
		l.halt(err)
	}
	return *l.failure.Load()
}
