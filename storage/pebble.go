package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quipudb/quipu/storage/keys"
)

// openDB opens the Pebble database in dir. The write-ahead log is off: the Raft log is ours.
func (s *Store) openDB(dir string) (*pebble.DB, error) { return s.guard(dir, s.pebbleOptions()) }

// guard opens a database, and turns what that dies of into an error.
func (s *Store) guard(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	log := &pebbleLogger{s: s}
	log.opening.Store(true)
	o.Logger = log
	defer func() {
		if p := recover(); p != nil {
			fatal, ok := p.(fatalError)
			if !ok {
				panic(p)
			}
			db, err = nil, fatal
		}
		log.opening.Store(false)
	}()
	if db, err = pebble.Open(dir, o); err != nil {
		return nil, s.damaged(dir, err)
	}
	return db, nil
}

// pebbleOptions are few because few matter: blocks are written in large sorted batches and read one by one. Measured on 10 M keys: the
// size of a memtable is the only option beyond noise, and 16 MiB stays near the caches without flooding level 0.
func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          s.fs,
		Cache:                       s.opts.Cache,
		FileCache:                   s.opts.FileCache,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(s.damaged(s.opts.Dir, err)) },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				text := fmt.Sprintf("%s: %v", i.Path, i.Details)
				s.damage.Store(&text)
			},
		},
	}
	if s.opts.Cache == nil {
		o.CacheSize = 8 << 20
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
	}
	return o
}

// damaged gives an error of Pebble, or of a value read from it, the name of the file, or of the database if the file is unknown.
func (s *Store) damaged(dir string, err error) error {
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if d := s.damage.Load(); d != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %s (%w)", ErrCorrupt, *d, err)
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, errDamaged) {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, dir, err)
	}
	return fmt.Errorf("%s: %w", dir, err)
}

// readBlock reads the cells of h back, as p has them.
func (s *Store) readBlock(p *pin, t *table, w *window, h *block) (*cells, error) {
	key := keys.Key{Kind: keys.Block, Table: uint64(t.def.ID), Window: w.start, Generation: w.gen, Block: h.id}.Bytes()
	v, closer, err := p.snap.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		err = fmt.Errorf("%w: block of key %x is missing", errDamaged, key)
	}
	if err != nil {
		return nil, s.damaged(p.dir, err)
	}
	defer closer.Close()
	c, err := decodeBlock(key, v)
	if err == nil {
		err = w.accepts(c)
	}
	if err != nil {
		return nil, s.damaged(p.dir, fmt.Errorf("%s: key %x: %w", p.files(key), key, err))
	}
	s.stats.readBack.Add(1)
	return c, nil
}

// accepts says whether c has the form of w's layout.
func (w *window) accepts(c *cells) error {
	if (w.dense != nil) != (c.pack == nil) {
		return fmt.Errorf("%w: form of a block is not that of its window", errDamaged)
	}
	return nil
}

// files names the tables of the database that may hold key.
func (p *pin) files(key []byte) string {
	levels, err := p.db.SSTables()
	if err != nil {
		return "unknown file"
	}
	names := "one of"
	for _, level := range levels {
		for _, f := range level {
			if bytes.Compare(f.Smallest.UserKey, key) <= 0 && bytes.Compare(key, f.Largest.UserKey) <= 0 {
				names += fmt.Sprintf(" %s.sst", f.FileNum)
			}
		}
	}
	return names
}

// pebbleLogger turns Pebble's last words into the stop of the store.
type pebbleLogger struct {
	s       *Store
	opening atomic.Bool // Fatalf becomes an error of Open
}

type fatalError string

func (e fatalError) Error() string { return string(e) }

// Infof says nothing: Pebble is talkative.
func (l *pebbleLogger) Infof(string, ...any) {}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("pebble", slog.String("err", fmt.Sprintf(format, args...)))
}

// Fatalf never returns, as Pebble expects, but takes down this store only: it ends the goroutine, most often one of Pebble's own.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fatalError("storage: pebble stopped: " + fmt.Sprintf(format, args...))
	if l.opening.Load() {
		panic(err)
	}
	l.s.wrecked.Store(true)
	l.s.fail(err)
	runtime.Goexit()
}
