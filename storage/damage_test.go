package storage

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/quipudb/quipu/storage/schema"
)

// rewrite changes a file of fs.
func rewrite(t *testing.T, fs vfs.FS, path string, change func([]byte) []byte) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = out.Write(change(b))
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// tables are the paths of a database's SSTs.
func tables(t *testing.T, fs vfs.FS, dir string) (paths []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if filepath.Ext(n) == ".sst" {
			paths = append(paths, fs.PathJoin(dir, n))
		}
	}
	return paths
}

// Whatever byte of an SST is damaged: the store does not open, or a read fails, or nothing was in that byte; a wrong count is never
// served, and the error names a file of the database. (Few flips, because Pebble takes its time to look for the one bit.)
func TestDamagedSSTIsNeverServed(t *testing.T) {
	fs := vfs.NewMem()
	s := filled(t, fs, "group", 600, 9)
	mustClose(t, s)
	path := tables(t, fs, "group/db-000001")
	if len(path) == 0 {
		t.Fatal("no SST")
	}
	var size int
	rewrite(t, fs, path[len(path)-1], func(b []byte) []byte { size = len(b); return b })
	refused := 0
	for at := 0; at < size; at += 1 + size/40 {
		flip := func(b []byte) []byte { b[at] ^= 0x10; return b }
		rewrite(t, fs, path[len(path)-1], flip)
		if err := openAndRead(t, fs); err != nil {
			refused++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "db-000001") {
				t.Fatalf("byte %d flipped: error %v names no file", at, err)
			}
		}
		rewrite(t, fs, path[len(path)-1], flip)
	}
	if refused < 20 {
		t.Errorf("%d flips were noticed", refused)
	}
}

// openAndRead opens the store and reads all; what it reads must be what filled wrote.
func openAndRead(t *testing.T, fs vfs.FS) error {
	s, err := Open(Options{FS: fs, Dir: "group", CheckpointEvery: -1})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	n, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer n.Release()
	v, ok := n.Table(1)
	if !ok || s.Applied().Index != 9 {
		t.Fatalf("opened at %v without the table", s.Applied())
	}
	cells := 0
	for _, g := range v.Segments(Filter{}, 1) {
		err := g.Scan(t.Context(), []int{0}, func(c *Chunk) error {
			for i, count := range c.Counts {
				if v.Value(0, c.Codes(0)[i]) == "" || count != int64(c.Codes(0)[i]) {
					t.Fatalf("code %d has count %d", c.Codes(0)[i], count)
				}
			}
			cells += c.Len
			return nil
		})
		if err != nil {
			return err
		}
	}
	if cells != 600 {
		t.Fatalf("%d cells were served of 600", cells)
	}
	return nil
}

func TestUnreadableBlockStopsTheWriter(t *testing.T) {
	fs := vfs.NewMem()
	s := filled(t, fs, "group", 200_000, 9)
	mustClose(t, s)
	halted := make(chan error, 1)
	s = mustOpen(t, Options{FS: fs, Halt: func(err error) { halted <- err }})
	for _, p := range tables(t, fs, "group/db-000001") {
		f, err := fs.OpenReadWrite(p, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Stat()
		if _, err := f.WriteAt(make([]byte, info.Size()-2000), 0); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	defer func() {
		err, ok := recover().(error)
		if !ok || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), ".sst") {
			t.Errorf("the writer went on: %v", err)
		} else if got := <-halted; !errors.Is(got, ErrCorrupt) {
			t.Errorf("halted with %v", got)
		}
		_ = s.Close()
	}()
	s.Update(func(tx *Tx) { tx.Table(1).Add(0, []uint32{100_000}, 1) })
}

func TestDamagedCurrentIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty":    "",
		"garbage":  "hello\n",
		"checksum": strings.Replace(currentText("db-000001"), "db-000001", "db-000002", 1),
		"escape":   currentText("db-../../x"),
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			mustClose(t, filled(t, fs, "group", 10, 9))
			rewrite(t, fs, "group/CURRENT", func([]byte) []byte { return []byte(text) })
			_, err := Open(Options{FS: fs, Dir: "group"})
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "CURRENT") {
				t.Errorf("Open gives %v", err)
			}
		})
	}
}

func TestMissingCurrentIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	mustClose(t, filled(t, fs, "group", 10, 9))
	if err := fs.Remove("group/CURRENT"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{FS: fs, Dir: "group"}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open gives %v: it would start empty beside a full database", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	mustClose(t, filled(t, fs, "group", 10, 9))
	rewrite(t, fs, "group/CURRENT", func([]byte) []byte { return []byte("quipu-store 2 db-000001 00000000\n") })
	if _, err := Open(Options{FS: fs, Dir: "group"}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("Open gives %v", err)
	}
}

func TestDatabaseOfANewerFormatIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := filled(t, fs, "group", 10, 9)
	b := record(nil, metaFormat, func(b []byte) []byte { return append(b, Format+1) })
	if err := s.db.Set(metaFormat, b, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	_, err := Open(Options{FS: fs, Dir: "group"})
	if !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), "db-000001") {
		t.Errorf("Open gives %v", err)
	}
}

func TestDirectoryInUse(t *testing.T) {
	fs := vfs.NewMem()
	s := filled(t, fs, "group", 10, 9)
	defer mustClose(t, s)
	if _, err := Open(Options{FS: fs, Dir: "group"}); !errors.Is(err, ErrInUse) {
		t.Errorf("the second Open gives %v", err)
	}
}

// A disk that fails while a checkpoint runs stops the store, once, and what was durable before is there afterwards.
func TestFailedCheckpointHalts(t *testing.T) {
	for op, kind := range map[string]errorfs.OpKind{"create": errorfs.OpCreate, "write": errorfs.OpFileWrite, "sync": errorfs.OpFileSync} {
		t.Run(op, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			bad := errorfs.Toggle{Injector: errorfs.InjectorFunc(func(o errorfs.Op) error {
				if o.Kind == kind {
					return errors.New("input/output error")
				}
				return nil
			})}
			halted := make(chan error, 1)
			s := mustOpen(t, Options{FS: errorfs.Wrap(mem, &bad), Halt: func(err error) { halted <- err }})
			addAll(s, 100, 1)
			s.Update(func(tx *Tx) { tx.SetApplied(schema.Applied{Index: 4, Term: 1}) })
			if err := s.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			addAll(s, 100, 1)
			s.Update(func(tx *Tx) { tx.SetApplied(schema.Applied{Index: 5, Term: 1}) })
			bad.On()
			if err := s.Checkpoint(t.Context()); err == nil {
				t.Error("a checkpoint on a broken disk succeeded")
			}
			if err := <-halted; err == nil || s.Durable().Index != 4 {
				t.Errorf("halted with %v, durable at %d", err, s.Durable().Index)
			}
			_ = s.Close()
			after := mustOpen(t, Options{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
			defer mustClose(t, after)
			if after.Applied().Index != 4 || len(now(t, after, 1)) != 100 {
				t.Errorf("after the crash: index %d", after.Applied().Index)
			}
		})
	}
}

func FuzzBlock(f *testing.F) {
	key := []byte("key")
	var e blockEncoder
	for _, live := range []int{0, 1, 9, 60, 64, 100, 128} {
		dense := newRanked(128)
		for i := range live {
			dense.add(dense.admit(uint64(i*5%128)), 7<<(i%58))
		}
		f.Add(append([]byte(nil), e.encode(key, dense)...))
	}
	for _, widths := range [][]uint8{{3, 0, 9}, {28, 28, 28, 28}} {
		c := newSparse(packingFor(widths), 0)
		var scratch [32]uint64
		for i := range uint32(30) {
			codes := make([]uint32, len(widths))
			for d, w := range widths {
				codes[d] = i * 77 & (1<<w - 1)
			}
			if h := hashCodes(codes); c.find(h, codes, scratch[:]) < 0 {
				c.add(c.insert(h, codes, scratch[:]), int64(i)+1)
			}
		}
		f.Add(append([]byte(nil), e.encode(key, c)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeBlock([]byte("other key"), b); err == nil {
			t.Fatal("a block was read under another key")
		}
		if n := len(b); n >= 4 { // let damage get past the checksum
			b = seal(b[:n-4:n-4], key, 0)
		}
		c, err := decodeBlock(key, b)
		if err != nil {
			return
		}
		var e blockEncoder
		again, err := decodeBlock(key, e.encode(key, c))
		if err != nil || again.live != c.live || len(again.counts) < c.live {
			t.Fatalf("a block that decodes does not come back: %v", err)
		}
		for i, count := range c.counts {
			if c.pack == nil {
				if len(again.counts) != len(c.counts) || !slices.Equal(again.ranks, c.ranks) || again.counts[i] != count {
					t.Fatalf("count %d is %d, was %d", i, again.counts[i], count)
				}
				continue
			}
			codes := make([]uint32, len(c.pack.dims))
			c.pack.unpack(c.keys[i*c.pack.words:(i+1)*c.pack.words], codes)
			var scratch [32]uint64
			again.index()
			if j := again.find(hashCodes(codes), codes, scratch[:]); j < 0 || again.counts[j] != count {
				t.Fatalf("cell %v is lost", codes)
			}
		}
	})
}

// FuzzRecord lets damage get past the checksum of records: none may panic, and what is read must come back.
func FuzzRecord(f *testing.F) {
	key := []byte("key")
	dense := &window{start: 5, gen: 3, live: 7, room: 64, dense: newDense([]uint32{0, 1}, []uint32{3, 9})}
	sparse := &window{gen: 4, live: 9, depth: 2, next: 99, lo: []uint32{0, 1}, hi: []uint32{3, 70_000}, pack: packingFor([]uint8{2, 17})}
	t := &table{def: testTable(1, 2), swapped: []bool{false, true}}
	d := newDict()
	d.intern("a")
	d.intern("")
	for _, write := range []func([]byte) []byte{
		dense.appendRecord, sparse.appendRecord, t.appendRecord, position{schema.Applied{Index: 9, Term: 2}, 4}.append,
		func(b []byte) []byte { return d.appendRun(b, 1, 2) },
	} {
		f.Add(record(nil, key, write))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(b); n >= 4 {
			b = seal(b[:n-4:n-4], key, 0)
		}
		if w, err := readWindow(5, key, b); err == nil {
			again := record(nil, key, w.appendRecord)
			if v, err := readWindow(5, key, again); err != nil || v.gen != w.gen || v.live != w.live || v.room != w.room || v.depth != w.depth {
				t.Fatalf("a window comes back as %+v, %v", v, err)
			}
		}
		if p, err := readPosition(key, b); err == nil {
			if q, err := readPosition(key, record(nil, key, p.append)); err != nil || q != p {
				t.Fatalf("a position comes back as %+v, %v", q, err)
			}
		}
		if x, err := readTable(key, b); err == nil {
			if _, err := readTable(key, record(nil, key, x.appendRecord)); err != nil {
				t.Fatalf("a table does not come back: %v", err)
			}
		}
		if d := newDict(); d.readRun(1, key, b) == nil && d.n > 0 {
			if err := newDict().readRun(1, key, record(nil, key, func(b []byte) []byte { return d.appendRun(b, 1, d.n) })); err != nil {
				t.Fatalf("a dictionary does not come back: %v", err)
			}
		}
	})
}
