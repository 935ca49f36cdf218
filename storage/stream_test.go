package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// filled is a store with n cells of table 1 at log position index.
func filled(t testing.TB, fs vfs.FS, dir string, n int, index uint64) *Store {
	t.Helper()
	s := mustOpen(t, Options{FS: fs, Dir: dir})
	s.Update(func(tx *Tx) {
		_ = tx.SetTable(testTable(1, 1))
		ts := tx.Table(1)
		for i := range n {
			ts.Add(0, []uint32{ts.Intern(0, fmt.Sprint("v", i))}, int64(i+1))
		}
		tx.PutRow([]byte("row"), []byte(dir))
		tx.SetConfig([]byte("servers of " + dir))
		tx.SetApplied(schema.Applied{Index: index, Term: 3})
	})
	return s
}

func export(t testing.TB, s *Store) []byte {
	t.Helper()
	e, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(e)
	if err != nil || int64(len(b)) != e.Size() {
		t.Fatalf("stream of %d bytes, Size says %d, %v", len(b), e.Size(), err)
	}
	if e.Applied() != s.Durable() {
		t.Errorf("stream is of %v, the store of %v", e.Applied(), s.Durable())
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	return b
}

func TestStreamReplacesState(t *testing.T) {
	fs := vfs.NewMem()
	from := filled(t, fs, "from", 5000, 70)
	defer mustClose(t, from)
	want := now(t, from, 1)
	stream := export(t, from)

	to := filled(t, fs, "to", 10, 5)
	held, _ := to.Snapshot()
	in, err := to.Import(t.Context(), bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	if in.Applied().Index != 70 || string(in.Config()) != "servers of from" {
		t.Errorf("incoming state of %v with %q", in.Applied(), in.Config())
	}
	if got := now(t, to, 1); len(got) != 10 {
		t.Errorf("before the installation the store has %d cells", len(got))
	}
	if err := to.Install(in); err != nil {
		t.Fatal(err)
	}
	v, _ := held.Table(1)
	if err := v.Segments(Filter{}, 1)[0].Scan(t.Context(), nil, func(*Chunk) error { return nil }); !errors.Is(err, ErrSnapshotTooOld) {
		t.Errorf("a snapshot of the replaced state gives %v", err)
	}
	held.Release()
	if to.Applied().Index != 70 || to.Durable().Index != 70 {
		t.Errorf("installed at %v, durable %v", to.Applied(), to.Durable())
	}
	if got := now(t, to, 1); !maps.Equal(got, want) {
		t.Errorf("%d cells after the installation, want %d", len(got), len(want))
	}
	to.Update(func(tx *Tx) {
		if v, _ := tx.Row([]byte("row")); string(v) != "from" {
			t.Errorf("row is %q", v)
		}
		ts := tx.Table(1)
		ts.Add(0, []uint32{ts.Intern(0, "v1")}, 100)
		tx.SetApplied(schema.Applied{Index: 71, Term: 3})
	})
	want["0: v1"] += 100
	mustClose(t, to)
	to = mustOpen(t, Options{FS: fs, Dir: "to"})
	defer mustClose(t, to)
	if got := now(t, to, 1); !maps.Equal(got, want) || to.Applied().Index != 71 {
		t.Errorf("%d cells at %v after reopening, want %d", len(got), to.Applied(), len(want))
	}
	if names, _ := fs.List("to"); len(names) != 3 {
		t.Errorf("the directory holds %v", names)
	}
}

// FuzzStream cuts and flips a good stream: it must be refused and the store left as it was, or be the good stream.
func FuzzStream(f *testing.F) {
	fs := vfs.NewMem()
	from := filled(f, fs, "from", 300, 70)
	stream := export(f, from)
	want := now(f, from, 1)
	mustClose(f, from)
	for _, at := range []int{0, 8, 12, 30, len(stream) / 2, len(stream) - 9, len(stream) - 1} {
		f.Add(at, byte(1), at)
		f.Add(at, byte(0), at)
		f.Add(at, byte(0x80), len(stream))
	}
	f.Fuzz(func(t *testing.T, at int, flip byte, end int) {
		b := bytes.Clone(stream)
		if at >= 0 && at < len(b) {
			b[at] ^= flip
		}
		b = b[:max(0, min(end, len(b)))]
		to := filled(t, vfs.NewMem(), "to", 3, 5)
		defer mustClose(t, to)
		in, err := to.Import(t.Context(), bytes.NewReader(b))
		if err != nil {
			if got := now(t, to, 1); len(got) != 3 || to.Applied().Index != 5 || to.Err() != nil {
				t.Errorf("a refused stream left %d cells at %v", len(got), to.Applied())
			}
			if bytes.Equal(b, stream) {
				t.Errorf("the good stream was refused: %v", err)
			}
			return
		}
		if !bytes.Equal(b, stream) {
			t.Fatal("a changed stream was taken")
		}
		if err := to.Install(in); err != nil {
			t.Fatal(err)
		}
		if got := now(t, to, 1); !maps.Equal(got, want) {
			t.Errorf("%d cells, want %d", len(got), len(want))
		}
	})
}
