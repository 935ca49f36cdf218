package raftlog

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func open(t *testing.T, dir string, halt func(error)) *Log {
	t.Helper()
	l, err := Open(dir, Options{Halt: halt, LockTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func noHalt(t *testing.T) func(error) {
	return func(err error) { t.Errorf("halted: %v", err) }
}

func TestEntriesComeBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, noHalt(t))
	want := []*raft.Log{
		{Index: 5, Term: 1, Type: raft.LogCommand, Data: []byte("command")},
		{Index: 6, Term: 2, Type: raft.LogNoop},
		{Index: 7, Term: 2, Type: raft.LogConfiguration, Data: []byte("servers"), Extensions: []byte("x")},
	}
	if err := l.StoreLogs(want); err != nil {
		t.Fatal(err)
	}
	if len(want[0].Extensions) != 0 {
		t.Error("StoreLogs changed the caller's entry")
	}
	_ = l.Close()
	l = open(t, dir, noHalt(t))
	for _, w := range want {
		var got raft.Log
		if err := l.GetLog(w.Index, &got); err != nil {
			t.Fatal(err)
		}
		if got.Term != w.Term || got.Type != w.Type || !bytes.Equal(got.Data, w.Data) || !bytes.Equal(got.Extensions, w.Extensions) {
			t.Errorf("entry %d came back as %+v", w.Index, got)
		}
	}
	if err := l.GetLog(8, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("a missing entry gives %v", err)
	}
	if err := l.Reset(); err != nil {
		t.Fatal(err)
	}
	if last, err := l.LastIndex(); last != 0 || err != nil {
		t.Errorf("after Reset the log ends at %d, %v", last, err)
	}
}

// Each bit of what the file holds of an entry is covered: a flip is refused, with the file's name, or leaves the entry as it was.
func TestFlippedBytesAreRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, noHalt(t))
	data := []byte("a command that is easy to find in the file")
	if err := l.StoreLog(&raft.Log{Index: 1, Term: 3, Type: raft.LogCommand, Data: data}); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	file, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(file, data)
	if at < 0 {
		t.Fatal("the entry is not in the file")
	}
	refused := 0
	for i := at - 40; i < at+len(data)+30; i++ {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x04
		d := t.TempDir()
		if err := os.WriteFile(d+"/"+FileName, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		var halted error
		l, err := Open(d, Options{Halt: func(err error) { halted = err }})
		if err != nil {
			refused++
			continue
		}
		var got raft.Log
		err = l.GetLog(1, &got)
		_ = l.Close()
		if err == nil && (got.Index != 1 || got.Term != 3 || got.Type != raft.LogCommand || !bytes.Equal(got.Data, data)) {
			t.Fatalf("byte %d flipped: served %+v", i-at, got)
		}
		if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
			refused++
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), FileName) || halted == nil {
				t.Fatalf("byte %d flipped: %v, halted with %v", i-at, err, halted)
			}
		}
	}
	if refused < len(data) {
		t.Errorf("%d of %d flips were refused", refused, len(data)+70)
	}
}

func TestVoteIsOneValue(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, noHalt(t))
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
	l = open(t, dir, noHalt(t))
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
	l := open(t, t.TempDir(), noHalt(t))
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
	open(t, dir, noHalt(t))
	_, err := Open(dir, Options{LockTimeout: time.Millisecond})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second Open gives %v", err)
	}
}

func TestMissingEntryIsRefused(t *testing.T) {
	f := &failing{InmemStore: raft.NewInmemStore()}
	var halted error
	l := newLog("raft.db", f, func(err error) { halted = err })
	for _, i := range []uint64{4, 5, 7} {
		if err := l.StoreLog(&raft.Log{Index: i, Term: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var e raft.Log
	for _, i := range []uint64{3, 8} {
		if err := l.GetLog(i, &e); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d outside the log gives %v", i, err)
		}
	}
	if err := l.GetLog(6, &e); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "raft.db") || halted == nil {
		t.Errorf("entry 6, which is gone, gives %v, halted with %v", err, halted)
	}
}

func TestGarbageIsNotALog(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+FileName, bytes.Repeat([]byte("garbage!"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), FileName) {
		t.Errorf("a file of garbage gives %v", err)
	}
}

// failing is a store whose writes fail from some moment on.
type failing struct {
	*raft.InmemStore
	err error
}

func (f *failing) StoreLogs(l []*raft.Log) error {
	if f.err != nil {
		return f.err
	}
	return f.InmemStore.StoreLogs(l)
}
func (f *failing) Close() error { return nil }

func TestFirstFailedWriteHalts(t *testing.T) {
	f := &failing{InmemStore: raft.NewInmemStore()}
	var halts []error
	l := newLog("raft.db", f, func(err error) { halts = append(halts, err) })
	if err := l.StoreLog(&raft.Log{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	f.err = errors.New("input/output error")
	if err := l.StoreLog(&raft.Log{Index: 2, Term: 1}); !errors.Is(err, f.err) {
		t.Errorf("the failed write gives %v", err)
	}
	f.err, f = nil, nil
	if err := l.StoreLog(&raft.Log{Index: 2, Term: 1}); err == nil {
		t.Error("a write after a failed one went through")
	}
	if err := l.Set([]byte("CurrentTerm"), []byte("x")); err == nil {
		t.Error("a term was written after a failed write")
	}
	if len(halts) != 1 || !strings.Contains(halts[0].Error(), "raft.db") {
		t.Errorf("halted %d times: %v", len(halts), halts)
	}
}

func BenchmarkStoreLogs(b *testing.B) {
	l, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	data := make([]byte, 16<<10)
	b.SetBytes(int64(len(data)))
	index := uint64(0)
	for b.Loop() {
		index++
		if err := l.StoreLog(&raft.Log{Index: index, Term: 1, Data: data}); err != nil {
			b.Fatal(err)
		}
	}
}
