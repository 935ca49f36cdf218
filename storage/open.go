package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

// ErrNewerFormat is a directory that a newer release wrote.
var ErrNewerFormat = errors.New("written by a newer release; start that release instead")

// ErrInUse is a directory that another process, or another Store of this one, has open.
var ErrInUse = errors.New("in use by another process; stop it first")

// ErrCorrupt is damage found on disk. The text names the file. Nothing read from it is ever served.
var ErrCorrupt = errors.New("storage: corrupt data")

// Files of a store's directory, beside db-<n>.
const (
	currentName  = "CURRENT"
	lockName     = "LOCK"
	dbPrefix     = "db-"
	streamPrefix = "snap-"
)

// Open opens the store in Options.Dir, which is made if it is missing. The state is that of Durable.
func Open(opts Options) (*Store, error) {
	s := newStore(opts)
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("storage: open %s: %w", opts.Dir, err)
	}
	s.memory.join(s)
	s.stopped.Go(s.loop)
	return s, nil
}

func newStore(opts Options) *Store {
	s := &Store{opts: opts, fs: opts.FS, memory: opts.Memory, log: opts.Logger}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.memory == nil {
		s.memory = NewMemory(256 << 20)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.CheckpointEvery == 0 {
		s.opts.CheckpointEvery = time.Second
	}
	s.clock.memory, s.views.memory = s.memory, s.memory
	s.views.drained.L = &s.views.mu
	s.tx.s = s
	s.saving = make(chan struct{}, 1)
	s.kick = make(chan struct{}, 1)
	s.stop = make(chan struct{})
	s.failed = make(chan struct{})
	return s
}

func (s *Store) open() (err error) {
	if err := s.makeDir(); err != nil {
		return err
	}
	s.lock, err = s.fs.Lock(s.path(lockName))
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	defer func() {
		if err != nil {
			_ = s.lock.Close()
		}
	}()
	name, err := s.current()
	if err != nil {
		return err
	}
	if err := s.removeOthers(name); err != nil {
		return err
	}
	db, err := s.openDB(s.path(name))
	if err != nil {
		return err
	}
	if err := s.syncDir(s.opts.Dir); err != nil {
		return errors.Join(err, db.Close())
	}
	st, err := s.load(db, s.path(name), firstEpoch)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.take(st)
	return nil
}

// makeDir makes the directory, so that no power cut takes it away.
func (s *Store) makeDir() error {
	if err := s.fs.MkdirAll(s.opts.Dir, 0o755); err != nil {
		return err
	}
	above := s.fs.PathDir(s.opts.Dir)
	for _, dir := range []string{above, s.fs.PathDir(above)} { // shards/<id> is two names that may be new
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.opts.Dir, name) }

// current reads CURRENT, or writes the first one into an empty directory.
func (s *Store) current() (string, error) {
	f, err := s.fs.Open(s.path(currentName))
	if errors.Is(err, os.ErrNotExist) {
		return s.firstCurrent()
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", err
	}
	return parseCurrent(s.path(currentName), string(b))
}

// parseCurrent takes the line "quipu-store <format> <database> <CRC-32C of what stands before, in hex>" apart.
func parseCurrent(path, text string) (string, error) {
	var format int
	var name string
	var sum uint32
	if _, err := fmt.Sscanf(text, "quipu-store %d %s %08x\n", &format, &name, &sum); err != nil {
		return "", fmt.Errorf("%w: %s does not name a database", ErrCorrupt, path)
	}
	if format > Format {
		return "", fmt.Errorf("%s: format %d: %w", path, format, ErrNewerFormat)
	}
	if text != currentText(name) || !strings.HasPrefix(name, dbPrefix) || strings.ContainsAny(name, "/\\") {
		return "", fmt.Errorf("%w: %s fails its checksum", ErrCorrupt, path)
	}
	return name, nil
}

func currentText(name string) string {
	head := fmt.Sprintf("quipu-store %d %s", Format, name)
	return fmt.Sprintf("%s %08x\n", head, crc32.Checksum([]byte(head), castagnoli))
}

func (s *Store) firstCurrent() (string, error) {
	names, err := s.fs.List(s.opts.Dir)
	if err != nil {
		return "", err
	}
	for _, n := range names {
		if strings.HasPrefix(n, dbPrefix) {
			return "", fmt.Errorf("%w: %s is missing beside %s", ErrCorrupt, s.path(currentName), s.path(n))
		}
	}
	name := dbName(1)
	return name, s.setCurrent(name)
}

func dbName(n int) string { return fmt.Sprintf("%s%06d", dbPrefix, n) }

// setCurrent makes name the database that Open will find, for good once it returns.
func (s *Store) setCurrent(name string) error {
	tmp := s.path(currentName + ".tmp")
	f, err := s.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, currentText(name))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, s.path(currentName)); err != nil {
		return err
	}
	return s.syncDir(s.opts.Dir)
}

func (s *Store) syncDir(dir string) error {
	d, err := s.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeOthers deletes what an interrupted install or stream left behind.
func (s *Store) removeOthers(current string) error {
	names, err := s.fs.List(s.opts.Dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n != current && (strings.HasPrefix(n, dbPrefix) || strings.HasPrefix(n, streamPrefix)) {
			if err := s.fs.RemoveAll(s.path(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// state is what a database holds.
type state struct {
	db     *pebble.DB
	dir    string
	pos    position
	config []byte
	epoch  uint64 // of all nodes
	root   *root
	rows   map[string][]byte
	bytes  int64 // of dictionaries and rows
}

// firstEpoch is the epoch of all that a database held when the store was opened.
const firstEpoch = 1

// load reads all of db but the cells, as nodes of the epoch.
func (s *Store) load(db *pebble.DB, dir string, epoch uint64) (*state, error) {
	st := &state{db: db, dir: dir, epoch: epoch, root: &root{epoch: epoch}, rows: make(map[string][]byte)}
	if err := st.checkFormat(s); err != nil {
		return nil, err
	}
	for _, kind := range []keys.Kind{keys.Meta, keys.Table, keys.Tally, keys.Dict, keys.Window, keys.Live, keys.Row} {
		if err := st.loadKind(kind); err != nil {
			return nil, s.damaged(dir, err)
		}
	}
	for _, t := range st.root.tables {
		for _, d := range t.dicts {
			d.published.Store(d.n)
			st.bytes += d.memory()
		}
		for _, w := range t.windows {
			if err := w.complete(); err != nil {
				return nil, s.damaged(dir, fmt.Errorf("table %d: %w", t.def.ID, err))
			}
		}
	}
	return st, nil
}

func (st *state) checkFormat(s *Store) error {
	v, closer, err := st.db.Get(metaFormat)
	if errors.Is(err, pebble.ErrNotFound) {
		b := record(nil, metaFormat, func(b []byte) []byte { return append(b, Format) })
		if err := st.db.Set(metaFormat, b, pebble.NoSync); err != nil {
			return err
		}
		return st.db.Flush()
	}
	if err != nil {
		return s.damaged(st.dir, err)
	}
	defer closer.Close()
	r, err := openRecord(metaFormat, v)
	if err != nil {
		return s.damaged(st.dir, err)
	}
	if f := r.byte(); f > Format {
		return fmt.Errorf("%s: format %d: %w", st.dir, f, ErrNewerFormat)
	}
	return nil
}

func (st *state) loadKind(kind keys.Kind) error {
	r := keys.KindRange(kind)
	it, err := st.db.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		k, err := keys.Parse(it.Key())
		if err == nil {
			err = st.loadOne(k, it.Key(), v)
		}
		if err != nil {
			return fmt.Errorf("key %x: %w", it.Key(), err)
		}
	}
	return it.Error()
}

func (st *state) loadOne(k keys.Key, key, value []byte) error {
	switch k.Kind {
	case keys.Meta:
		return st.loadMeta(key, value)
	case keys.Row:
		b, err := unseal(key, value)
		name := string(k.Name)
		st.rows[name] = append(make([]byte, 0, len(b)), b...)
		st.bytes += rowBytes(name, b)
		return err
	case keys.Table:
		t, err := readTable(key, value)
		if err == nil {
			t.epoch, t.defEpoch = st.epoch, st.epoch
			st.root.tables = append(st.root.tables, t)
		}
		return err
	}
	i, ok := st.root.find(schema.TableID(k.Table))
	if !ok {
		return fmt.Errorf("%w: it belongs to no table", errDamaged)
	}
	return st.root.tables[i].loadOne(k, key, value)
}

func (st *state) loadMeta(key, value []byte) (err error) {
	switch string(key) {
	case string(metaApplied):
		st.pos, err = readPosition(key, value)
	case string(metaConfig):
		var r reader
		if r, err = openRecord(key, value); err == nil {
			st.config = append([]byte(nil), r.b...)
		}
	}
	return err
}

func (t *table) loadOne(k keys.Key, key, value []byte) error {
	switch k.Kind {
	case keys.Tally:
		r, err := openRecord(key, value)
		if err != nil {
			return err
		}
		t.positive = r.uvarint()
		return r.end("tally")
	case keys.Dict:
		if int(k.Dim) >= len(t.dicts) {
			return fmt.Errorf("%w: the table has %d dimensions", errDamaged, len(t.dicts))
		}
		err := t.dicts[k.Dim].readRun(k.Code, key, value)
		t.lens[k.Dim] = t.dicts[k.Dim].n
		return err
	case keys.Window:
		w, err := readWindow(k.Window, key, value)
		if err == nil {
			w.epoch = t.epoch
			t.windows = append(t.windows, w)
		}
		return err
	}
	i, ok := t.find(k.Window)
	if !ok || t.windows[i].gen != k.Generation {
		return fmt.Errorf("%w: it belongs to no window", errDamaged)
	}
	if _, err := openRecord(key, value); err != nil {
		return err
	}
	return t.windows[i].loadBlock(k.Block, t.epoch)
}

// loadBlock enters a block whose cells stay on disk.
func (w *window) loadBlock(id, epoch uint64) error {
	if w.dense != nil && id<<blockBits >= w.dense.volume || w.dense == nil && blockDepth(id) > w.depth {
		return fmt.Errorf("%w: its window has no such block", errDamaged)
	}
	w.place(&block{epoch: epoch, id: id, ring: ringOut}, epoch)
	return nil
}

// complete says whether a sparse window misses a block; a dense one may.
func (w *window) complete() error {
	if w.dense != nil || w.live == 0 {
		return nil
	}
	for b := range uint64(1) << w.depth {
		if w.at(b) == nil {
			return fmt.Errorf("%w: window %d misses block %d of %d", errDamaged, w.start, b, 1<<w.depth)
		}
	}
	return nil
}

// take makes st the state of s. s.mu is held, or nobody else has s yet.
func (s *Store) take(st *state) {
	s.db, s.dbDir = st.db, st.dir
	s.root, s.config, s.rows = st.root, st.config, st.rows
	s.lastGen = st.pos.lastGen
	s.epoch, s.frozen, s.saved = st.epoch+1, st.epoch, st.epoch
	s.changed = make(map[string][]byte)
	s.erased, s.grown = nil, nil
	s.states = make(map[schema.TableID]*TableState)
	s.lens = make(map[schema.TableID][]uint32)
	s.dicts.Clear()
	for _, t := range s.root.tables {
		s.states[t.def.ID] = &TableState{s: s, id: t.def.ID, t: t, swap: anySwapped(t.swapped)}
		s.lens[t.def.ID] = append([]uint32(nil), t.lens...)
		s.publishDicts(t)
	}
	s.pin = &pin{epoch: st.epoch, db: st.db, dir: st.dir, snap: st.db.NewSnapshot(), refs: 1}
	s.tx.applied = st.pos.applied
	a, d := st.pos.applied, st.pos.applied
	s.applied.Store(&a)
	s.durable.Store(&d)
	s.charge(st.bytes)
	s.extent.Store(st.root.extent())
}

// Close makes a last checkpoint, unless the store has failed, and lets go of everything. Snapshots must have been released.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	var err error
	if s.Err() == nil {
		err = s.Checkpoint(context.Background())
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.stopped.Wait()
	s.memory.leave(s)
	s.views.endBefore(s.epoch + 1)
	s.mu.Lock()
	s.giveBack()
	s.mu.Unlock()
	s.views.mu.Lock()
	s.views.unpin(s.pin)
	s.views.mu.Unlock()
	if s.wrecked.Load() {
		return errors.Join(err, s.lock.Close()) // Pebble died inside; waiting for it could take for ever
	}
	return errors.Join(err, s.db.Close(), s.lock.Close())
}
