package raftlog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// fileSet is a group's log as bytes.
type fileSet map[string][]byte

func readFiles(t testing.TB, dir string) fileSet {
	t.Helper()
	names, err := os.ReadDir(filepath.Join(dir, DirName))
	if err != nil {
		t.Fatal(err)
	}
	files := fileSet{}
	for _, n := range names {
		if files[n.Name()], err = os.ReadFile(filepath.Join(dir, DirName, n.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func (f fileSet) writeTo(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, DirName), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range f {
		if err := os.WriteFile(filepath.Join(dir, DirName, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// outcome of reading a log that may be damaged.
type outcome struct {
	err  error // of Open or of the first entry that failed
	last uint64
}

// readAll opens the files as they are and reads every entry. A wrong entry fails the test.
func readAll(t testing.TB, f fileSet, want []*raft.Log) (o outcome) {
	t.Helper()
	dir := t.TempDir()
	f.writeTo(t, dir)
	var halted error
	l, err := Open(dir, Options{Halt: func(err error) { halted = err }})
	if err != nil {
		return outcome{err: err}
	}
	defer l.Close()
	first, _ := l.FirstIndex()
	o.last, _ = l.LastIndex()
	for i := first; i <= o.last && first > 0; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			if halted == nil {
				t.Fatalf("entry %d gives %v, and nobody was halted", i, err)
			}
			return outcome{err: err, last: o.last}
		}
		if i < want[0].Index || i > want[len(want)-1].Index || !same(&e, want[i-want[0].Index]) {
			t.Fatalf("entry %d was served as %+v", i, e)
		}
	}
	return o
}

func named(err error) bool {
	return errors.Is(err, ErrCorrupt) && (strings.Contains(err.Error(), segmentSuffix) || strings.Contains(err.Error(), stableName))
}

// A flip of any bit of a log that was closed is refused with the file's name, or changes nothing. No entry vanishes, the last one neither.
func TestFlippedBitsAreRefused(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	want := entries(3, 7, 3, 30)
	store(t, l, want[:1])
	store(t, l, want[1:])
	end := l.active.end
	_ = l.Close()
	files := readFiles(t, dir)
	name := filepath.Base(segments(t, dir)[0])
	refused := 0
	for at := range end + headerLen + 8 {
		b := bytes.Clone(files[name][:end+1024])
		b[at] ^= 1 << (at % 8)
		o := readAll(t, fileSet{stableName: files[stableName], name: b}, want)
		switch {
		case o.err == nil && o.last != want[2].Index:
			t.Fatalf("byte %d flipped: the log ends at %d", at, o.last)
		case o.err != nil && !named(o.err):
			t.Fatalf("byte %d flipped: %v", at, o.err)
		case o.err != nil:
			refused++
		}
	}
	if int64(refused) < end-64-3*8 {
		t.Errorf("%d of %d flips were refused", refused, end)
	}
}

// Before the mark is on the disk too: a later append bears witness that an earlier one was synced.
func TestFlipBehindWhichAnotherAppendStandsIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	want := entries(3, 1, 9, 100)
	for i := range 3 {
		store(t, l, want[3*i:3*i+3])
	}
	end, last := l.active.end, int64(l.active.offsets[6])
	_ = l.Close()
	files := readFiles(t, dir)
	name := filepath.Base(segments(t, dir)[0])
	clear(files[name][end:]) // the mark
	for at := int64(segmentHeadLen); at < end; at += 5 {
		b := bytes.Clone(files[name][:end+1024])
		b[at] ^= 0x10
		o := readAll(t, fileSet{stableName: files[stableName], name: b}, want)
		if at < last && o.err == nil && o.last < 9 || o.err != nil && !named(o.err) {
			t.Fatalf("byte %d flipped: %v, the log ends at %d", at, o.err, o.last)
		}
		if at >= last && o.err == nil && o.last < 6 {
			t.Fatalf("byte %d flipped in the last append: the log ends at %d", at, o.last)
		}
	}
}

// A process that dies at once after an acknowledgement leaves the mark: no moment is too early to tell damage from a torn tail.
func TestFlipAfterADeathIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	want := entries(3, 1, 5, 100)
	store(t, l, want)
	end, files := l.active.end, readFiles(t, dir) // as the page cache has them
	name := filepath.Base(segments(t, dir)[0])
	for at := int64(segmentHeadLen); at < end; at += 31 {
		b := bytes.Clone(files[name][:end+1024])
		b[at] ^= 0x02
		if o := readAll(t, fileSet{stableName: files[stableName], name: b}, want); o.err == nil && o.last < 5 || o.err != nil && !named(o.err) {
			t.Fatalf("byte %d flipped: %v, the log ends at %d", at, o.err, o.last)
		}
	}
}

// What is lost as a whole is noticed, too: a segment between others, the stable store.
func TestMissingFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	want := entries(1, 1, 40, 100<<10)
	store(t, l, want)
	_ = l.Close()
	files := readFiles(t, dir)
	names := segments(t, dir)
	if len(names) < 3 {
		t.Fatalf("%d segments", len(names))
	}
	delete(files, filepath.Base(names[1]))
	if o := readAll(t, files, want); !named(o.err) {
		t.Errorf("a log without its second segment gives %v", o.err)
	}
	files = readFiles(t, dir)
	delete(files, stableName)
	if o := readAll(t, files, want); o.err == nil || !strings.Contains(o.err.Error(), stableName) {
		t.Errorf("a log without its stable store gives %v", o.err)
	}
	for _, n := range []string{stableName, filepath.Base(names[0]), filepath.Base(names[2])} {
		garbage := readFiles(t, dir)
		garbage[n] = bytes.Repeat([]byte("garbage!"), 4096)
		if o := readAll(t, garbage, want); !named(o.err) {
			t.Errorf("garbage for %s gives %v", n, o.err)
		}
	}
	newer := readFiles(t, dir)
	b := newer[filepath.Base(names[0])]
	s := segment{id: 7}
	head := s.head()
	head[7]++
	copy(b, head)
	if o := readAll(t, newer, want); o.err == nil || !strings.Contains(o.err.Error(), "version 2") && !named(o.err) {
		t.Errorf("a segment of a newer version gives %v", o.err)
	}
}

// One copy of the stable store may be damaged in any way.
func TestStableStoreStandsTwice(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, noHalt(t))
	for term := range uint64(5) {
		if err := l.SetUint64([]byte(keyTerm), term); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	files := readFiles(t, dir)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := bytes.Clone(files[stableName])
		slot := r.IntN(2)
		for range 1 + r.IntN(20) {
			b[slot*slotLen+r.IntN(slotLen)] ^= byte(1 + r.IntN(255))
		}
		d := t.TempDir()
		fileSet{stableName: b}.writeTo(t, d)
		l := openLog(t, d, noHalt(t))
		if term, err := l.GetUint64([]byte(keyTerm)); term != 4 || err != nil {
			t.Fatalf("the term reads as %d, %v", term, err)
		}
		_ = l.Close()
		if mended := readFiles(t, d)[stableName]; !bytes.Equal(mended[:slotLen], mended[slotLen:]) {
			t.Fatal("the copies differ after a start")
		}
	}
	b := bytes.Clone(files[stableName])
	b[100] ^= 1
	b[slotLen+100] ^= 1
	if o := readAll(t, fileSet{stableName: b}, nil); !named(o.err) {
		t.Errorf("two damaged copies give %v", o.err)
	}
}

// FuzzDamage lays bytes over a log of three segments, one of them with a replaced suffix. Whatever they are: no wrong entry, no panic.
func FuzzDamage(f *testing.F) {
	dir := f.TempDir()
	l := openLog(f, dir, noHalt(f))
	want := entries(1, 1, 12, 60)
	store(f, l, want[:8])
	if err := l.DeleteRange(5, 8); err != nil {
		f.Fatal(err)
	}
	want = append(want[:4], entries(2, 5, 8, 60)...)
	store(f, l, want[4:8])
	_ = l.Close()
	l = openLog(f, dir, noHalt(f))
	store(f, l, want[8:10])
	store(f, l, want[10:])
	_ = l.Close()
	files := readFiles(f, dir)
	names := []string{stableName}
	for _, n := range segments(f, dir) {
		names = append(names, filepath.Base(n))
		b := files[filepath.Base(n)]
		files[filepath.Base(n)] = b[:min(len(b), 4096)]
	}
	if o := readAll(f, files, want); o.err != nil || o.last != 12 {
		f.Fatal(o)
	}
	f.Add(byte(1), uint16(64), []byte{1}, uint16(0))
	f.Add(byte(3), uint16(300), files[names[1]][64:200], uint16(0))
	f.Add(byte(2), uint16(70), make([]byte, 100), uint16(500))
	f.Fuzz(func(t *testing.T, file byte, at uint16, over []byte, length uint16) {
		damaged := fileSet{}
		for n, b := range files {
			damaged[n] = bytes.Clone(b)
		}
		b := damaged[names[int(file)%len(names)]]
		copy(b[int(at)%len(b):], over)
		if length > 0 {
			damaged[names[int(file)%len(names)]] = b[:min(int(length), len(b))]
		}
		readAll(t, damaged, want)
	})
}
