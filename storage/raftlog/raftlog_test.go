package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

func openLog(t testing.TB, dir string, halt func(error)) *Log {
	t.Helper()
	l, err := Open(dir, Options{Halt: halt})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func noHalt(t testing.TB) func(error) {
	return func(err error) { t.Errorf("halted: %v", err) }
}

// entries makes n of them from an index on, each of about size bytes and unlike the others.
func entries(term, first uint64, n, size int) (all []*raft.Log) {
	for i := range uint64(n) {
		text := fmt.Sprintf("entry %d of term %d ", first+i, term)
		all = append(all, &raft.Log{Index: first + i, Term: term, Data: bytes.Repeat([]byte(text), 1+size/len(text))})
	}
	return all
}

func store(t testing.TB, l *Log, all []*raft.Log) {
	t.Helper()
	if err := l.StoreLogs(all); err != nil {
		t.Fatal(err)
	}
}

// holds demands that the log is exactly what is given.
func holds(t testing.TB, l *Log, want []*raft.Log) {
	t.Helper()
	first, err := l.FirstIndex()
	last, err2 := l.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		if first != 0 || last != 0 {
			t.Fatalf("the log has %d to %d, want none", first, last)
		}
		return
	}
	if first != want[0].Index || last != want[len(want)-1].Index {
		t.Fatalf("the log has %d to %d, want %d to %d", first, last, want[0].Index, want[len(want)-1].Index)
	}
	for _, w := range want {
		var got raft.Log
		if err := l.GetLog(w.Index, &got); err != nil {
			t.Fatal(err)
		}
		if !same(&got, w) {
			t.Fatalf("entry %d came back as %+v", w.Index, got)
		}
	}
}

func same(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Extensions, b.Extensions)
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, DirName, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEntriesComeBack(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	holds(t, l, nil)
	want := []*raft.Log{
		{Index: 5, Term: 1, Type: raft.LogCommand, Data: []byte("command")},
		{Index: 6, Term: 2, Type: raft.LogNoop},
		{Index: 7, Term: 2, Type: raft.LogConfiguration, Data: []byte("servers"), Extensions: []byte("x")},
	}
	store(t, l, want)
	if len(want[0].Extensions) != 0 {
		t.Error("StoreLogs changed the caller's entry")
	}
	holds(t, l, want)
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	holds(t, l, want)
	for _, i := range []uint64{0, 4, 8} {
		if err := l.GetLog(i, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d outside the log gives %v", i, err)
		}
	}
	more := entries(3, 8, 3, 100)
	store(t, l, more)
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	holds(t, l, append(want, more...))
	if err := l.Reset(); err != nil {
		t.Fatal(err)
	}
	holds(t, l, nil)
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	holds(t, l, nil)
	later := entries(9, 1000, 2, 10)
	store(t, l, later)
	_ = l.Close()
	holds(t, openLog(t, dir, noHalt(t)), later)
}

func TestEntriesSpanSegments(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	all := entries(1, 1, 100, 60<<10)
	store(t, l, all[:64])
	for _, e := range all[64:99] {
		store(t, l, []*raft.Log{e})
	}
	all[99].Data = bytes.Repeat([]byte("longer than a segment "), 450_000)
	store(t, l, all[99:])
	holds(t, l, all)
	if n := len(segments(t, dir)); n < 3 {
		t.Errorf("%d segments", n)
	}
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	holds(t, l, all)

	before := l.Size()
	if err := l.DeleteRange(1, 90); err != nil {
		t.Fatal(err)
	}
	holds(t, l, all[90:])
	if l.Size() >= before {
		t.Errorf("the log has %d bytes after 90 of 100 entries were deleted, and had %d", l.Size(), before)
	}
	if err := l.DeleteRange(95, 100); err != nil {
		t.Fatal(err)
	}
	holds(t, l, all[90:94])
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	first, _ := l.FirstIndex()
	if first > 91 {
		t.Errorf("the log begins at %d, want 91 or less", first)
	}
	holds(t, l, all[first-1:94])
}

// A suffix that was replaced does not come back, whatever stands behind the new one in the old file.
func TestReplacedSuffixStaysGone(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	old := entries(1, 1, 20, 64)
	store(t, l, old)
	want := old[:9:9]
	for term := uint64(2); term < 5; term++ { // each replaces what the one before put there
		last, _ := l.LastIndex()
		if err := l.DeleteRange(10, last); err != nil {
			t.Fatal(err)
		}
		holds(t, l, want)
		store(t, l, entries(term, 10, 20, 64))
	}
	if err := l.DeleteRange(12, 29); err != nil {
		t.Fatal(err)
	}
	want = append(want, entries(4, 10, 2, 64)...)
	holds(t, l, want)
	_ = l.Close()
	holds(t, openLog(t, dir, noHalt(t)), want)
}

// The file of a segment that is not needed any more is used for another, and what stands in it from before never shows.
func TestFilesAreUsedAgain(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	next := uint64(1)
	fill := func(n int) {
		for range n {
			store(t, l, entries(1, next, 8, 128<<10))
			next += 8
		}
	}
	fill(60)
	if err := l.DeleteRange(1, next-2); err != nil {
		t.Fatal(err)
	}
	fill(40)
	for _, n := range segments(t, dir) {
		if info, err := os.Stat(n); err != nil || info.Size() > segmentMax+segmentMax/4 {
			t.Errorf("%s: %v, %v", n, info.Size(), err)
		}
	}
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	first, _ := l.FirstIndex()
	holds(t, l, entries(1, first, int(next-first), 128<<10))
	_ = l.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, DirName, "*"+youngSuffix)); len(left) > 0 {
		openLog(t, dir, noHalt(t))
		if left, _ = filepath.Glob(filepath.Join(dir, DirName, "*"+youngSuffix)); len(left) > 0 {
			t.Errorf("left over after a start: %v", left)
		}
	}
}

func TestVoteIsOneValue(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	if _, err := l.GetUint64([]byte(voteTerm)); err == nil || err.Error() != "not found" {
		t.Fatalf("a missing term gives %v, raft wants the text not found", err)
	}
	vote := func(term uint64, candidate string) {
		t.Helper()
		if err := errors.Join(l.SetUint64([]byte(voteTerm), term), l.Set([]byte(voteCandidate), []byte(candidate))); err != nil {
			t.Fatal(err)
		}
	}
	vote(4, "a")
	if err := l.SetUint64([]byte(voteTerm), 5); err != nil { // and the power fails before the candidate comes
		t.Fatal(err)
	}
	_ = l.Close()
	l = openLog(t, dir, noHalt(t))
	term, err := l.GetUint64([]byte(voteTerm))
	candidate, err2 := l.Get([]byte(voteCandidate))
	if term != 4 || string(candidate) != "a" || err != nil || err2 != nil {
		t.Errorf("half a vote reads as term %d for %q (%v, %v)", term, candidate, err, err2)
	}
	vote(6, "b")
	if term, _ := l.GetUint64([]byte(voteTerm)); term != 6 {
		t.Errorf("the vote reads as term %d", term)
	}
}

func TestHasVoted(t *testing.T) {
	l := openLog(t, t.TempDir(), noHalt(t))
	if v, err := l.HasVoted(); v || err != nil {
		t.Errorf("an empty store has voted: %v, %v", v, err)
	}
	if err := l.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	if v, err := l.HasVoted(); !v || err != nil {
		t.Errorf("a store with a term has not voted: %v, %v", v, err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second Open gives %v", err)
	}
	_ = l.Close()
	openLog(t, dir, noHalt(t))
}

func TestGapsAreRefused(t *testing.T) {
	for name, indexes := range map[string][2]uint64{"between appends": {5, 7}, "in one append": {5, 6}, "backwards": {4, 4}, "none": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			var halted error
			l := openLog(t, t.TempDir(), func(err error) { halted = err })
			store(t, l, entries(1, 4, 1, 10))
			gap := append(entries(1, indexes[0], 1, 10), entries(1, indexes[1]+1, 1, 10)...)
			err := l.StoreLogs(gap)
			if err == nil || !strings.Contains(err.Error(), "does not follow") || halted == nil {
				t.Errorf("a gap gives %v, halted with %v", err, halted)
			}
		})
	}
}

func TestDeletingFromTheMiddleIsRefused(t *testing.T) {
	var halted error
	l := openLog(t, t.TempDir(), func(err error) { halted = err })
	store(t, l, entries(1, 1, 9, 10))
	if err := l.DeleteRange(4, 5); err == nil || !strings.Contains(err.Error(), "middle") || halted == nil {
		t.Errorf("deleting from the middle gives %v, halted with %v", err, halted)
	}
}

func TestOldFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, oldName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "format 1") || !strings.Contains(err.Error(), oldName) {
		t.Errorf("a log of format 1 gives %v", err)
	}
}

// failing is a disk that fails from some moment on.
type failing struct{ write, sync error }

func (f *failing) disk() disk {
	return disk{
		write: func(file *os.File, b []byte, at int64) error {
			if f.write != nil {
				return f.write
			}
			return realDisk.write(file, b, at)
		},
		sync: func(file *os.File) error { return f.sync },
	}
}

func TestFirstFailedWriteHalts(t *testing.T) {
	for name, fail := range map[string]func(*failing){
		"write": func(f *failing) { f.write = unix.ENOSPC },
		"sync":  func(f *failing) { f.sync = unix.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			dir, f := t.TempDir(), new(failing)
			var halts []error
			l, err := openOn(f.disk(), dir, Options{Halt: func(err error) { halts = append(halts, err) }})
			if err != nil {
				t.Fatal(err)
			}
			store(t, l, entries(1, 1, 1, 10))
			fail(f)
			if err := l.StoreLogs(entries(1, 2, 1, 10)); !errors.Is(err, errors.Join(f.write, f.sync).(interface{ Unwrap() []error }).Unwrap()[0]) {
				t.Errorf("the failed append gives %v", err)
			}
			*f = failing{}
			if err := l.StoreLogs(entries(1, 2, 1, 10)); err == nil {
				t.Error("an append after a failed one went through")
			}
			if err := l.Set([]byte("CurrentTerm"), []byte("x")); err == nil {
				t.Error("a term was written after a failed write")
			}
			if len(halts) != 1 || !strings.Contains(halts[0].Error(), dir) {
				t.Errorf("halted %d times: %v", len(halts), halts)
			}
			_ = l.Close()
			l = openLog(t, dir, noHalt(t))
			last, err := l.LastIndex()
			if err != nil || last < 1 || last > 2 {
				t.Errorf("the log ends at %d, %v", last, err)
			}
		})
	}
}

// Followers read while the log is written, compacted and cut. They get the entry or hear that it is gone.
func TestReadersBesideWriters(t *testing.T) {
	l := openLog(t, t.TempDir(), noHalt(t))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := uint64(1); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				last, _ := l.LastIndex()
				if i > last {
					i, _ = l.FirstIndex()
				}
				var e raft.Log
				if err := l.GetLog(i, &e); err == nil && e.Index != i || err != nil && !errors.Is(err, raft.ErrLogNotFound) {
					t.Errorf("entry %d: %+v, %v", i, e.Index, err)
					return
				}
			}
		})
	}
	next := uint64(1)
	for round := range uint64(60) {
		store(t, l, entries(round, next, 40, 20<<10))
		next += 40
		first, _ := l.FirstIndex()
		switch {
		case round%3 == 1:
			if err := l.DeleteRange(first, first+(next-first)/2); err != nil {
				t.Fatal(err)
			}
		case round%7 == 2:
			if err := l.DeleteRange(next-10, next-1); err != nil {
				t.Fatal(err)
			}
			next -= 10
		}
	}
	close(stop)
	wg.Wait()
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, size := range []int{100, 2 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := openLog(b, b.TempDir(), noHalt(b))
			data := make([]byte, size)
			b.SetBytes(int64(len(data)))
			index := uint64(0)
			for b.Loop() {
				index++
				if err := l.StoreLog(&raft.Log{Index: index, Term: 1, Data: data}); err != nil {
					b.Fatal(err)
				}
				if index%4096 == 0 {
					if err := l.DeleteRange(index-4095, index-1024); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
