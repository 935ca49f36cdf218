package raftlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

// volatile is a disk that loses power: of what was written to a file since its last sync, any sectors may be missing.
type volatile struct {
	r *rand.Rand

	mu       sync.Mutex          // guards the fields below
	unsynced map[uint64][]change // by inode
	fuse     int                 // writes and syncs until the power goes
}

type change struct {
	at  int64
	old []byte
}

var errPower = errors.New("no power")

const sector = 512

func inode(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func (v *volatile) disk() disk {
	return disk{
		write: func(f *os.File, b []byte, at int64) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.fuse--; v.fuse < 0 {
				return errPower
			}
			info, err := f.Stat()
			if err != nil {
				return err
			}
			old := make([]byte, len(b))
			_, _ = f.ReadAt(old, at) // zeros behind the end
			v.unsynced[inode(info)] = append(v.unsynced[inode(info)], change{at, old})
			return realDisk.write(f, b, at)
		},
		sync: func(f *os.File) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.fuse--; v.fuse < 0 {
				return errPower
			}
			info, err := f.Stat()
			if err == nil {
				delete(v.unsynced, inode(info))
			}
			return err
		},
	}
}

// image is what the disk holds when the power is back.
func (v *volatile) image(t *testing.T, dir string) fileSet {
	files := readFiles(t, dir)
	for name, b := range files {
		info, err := os.Stat(filepath.Join(dir, DirName, name))
		if err != nil {
			t.Fatal(err)
		}
		changes := v.unsynced[inode(info)]
		for i := len(changes) - 1; i >= 0; i-- {
			c := changes[i]
			for from := int64(0); from < int64(len(c.old)); {
				to := min(int64(len(c.old)), (c.at+from)/sector*sector+sector-c.at)
				if v.r.IntN(2) == 0 {
					copy(b[c.at+from:], c.old[from:to])
				}
				from = to
			}
		}
	}
	return files
}

// TestPowerCutsKeepWhatWasAcknowledged does what raft does to a log and cuts the power at any write or sync. What was acknowledged is
// there afterwards; what was on its way is there from its beginning or not at all.
func TestPowerCutsKeepWhatWasAcknowledged(t *testing.T) {
	seeds := 6
	if os.Getenv("QUIPU_SOAK") != "" {
		seeds = 500
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { powerCuts(t, seed) })
	}
}

func powerCuts(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	var want []*raft.Log // acknowledged, but for a beginning that may be deleted
	term, vote := uint64(1), uint64(0)
	next := 1 + r.Uint64N(5)
	for range 6 {
		v := &volatile{r: r, unsynced: map[uint64][]change{}, fuse: r.IntN(80)}
		l, err := openOn(v.disk(), dir, Options{Halt: func(error) {}})
		var doing []*raft.Log // an append on its way
		cutTo := uint64(0)    // a suffix from here on is being deleted
		begun := vote
		for err == nil {
			switch n := r.IntN(20); {
			case n < 14:
				doing = entries(term, next, 1+r.IntN(5), r.IntN(3000))
				if r.IntN(30) == 0 {
					doing = entries(term, next, 40, 40<<10)
				}
				if err = l.StoreLogs(doing); err == nil {
					want, next, doing = append(want, doing...), next+uint64(len(doing)), nil
				}
			case n < 16 && len(want) > 0:
				term++
				cutTo = want[r.IntN(len(want))].Index
				if err = l.DeleteRange(cutTo, next-1); err == nil {
					want, next, cutTo = want[:cutTo-want[0].Index], cutTo, 0
				}
			case n < 17 && len(want) > 2:
				upTo := want[r.IntN(len(want)-1)].Index
				if err = l.DeleteRange(want[0].Index, upTo); err == nil {
					want = want[upTo-want[0].Index+1:]
				}
			default:
				begun = vote + 1
				if err = l.SetUint64([]byte(keyTerm), begun); err == nil {
					vote = begun
				}
			}
		}
		if !errors.Is(err, errPower) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if l != nil {
			_ = l.Close() // writes nothing any more, and waits for the segment that is made beside
		}
		if _, err := os.Stat(filepath.Join(dir, DirName)); err != nil { // nothing was ever promised
			dir = t.TempDir()
			continue
		}
		files := v.image(t, dir)
		dir = t.TempDir()
		files.writeTo(t, dir)
		l = openLog(t, dir, noHalt(t))
		if got, _ := l.GetUint64([]byte(keyTerm)); got != vote && got != begun {
			t.Fatalf("seed %d: the vote is %d, want %d or %d", seed, got, vote, begun)
		} else {
			vote = got
		}
		want, next = survived(t, l, want, doing, cutTo, next)
		_ = l.Close()
	}
}

// survived checks what is left after a cut and gives the log as it stands.
func survived(t *testing.T, l *Log, want, doing []*raft.Log, cutTo, next uint64) ([]*raft.Log, uint64) {
	t.Helper()
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	byIndex := map[uint64][]*raft.Log{}
	for _, e := range append(append([]*raft.Log{}, want...), doing...) {
		byIndex[e.Index] = append(byIndex[e.Index], e)
	}
	if len(want) > 0 && cutTo != want[0].Index && (first == 0 || first > want[0].Index) {
		t.Fatalf("the log begins at %d, want %d", first, want[0].Index)
	}
	least := next - 1
	if cutTo > 0 {
		least = cutTo - 1
	}
	if last < least && !(last == 0 && (len(want) == 0 || cutTo == want[0].Index)) || last > least+uint64(len(doing)) && last > next-1 {
		t.Fatalf("the log ends at %d, want %d; %d entries were on their way", last, least, len(doing))
	}
	var is []*raft.Log
	for i := first; i <= last && first > 0; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			t.Fatal(err)
		}
		if cands := byIndex[i]; len(cands) > 0 && !same(&e, cands[len(cands)-1]) {
			t.Fatalf("entry %d is %+v", i, e.Term)
		}
		if !strings.HasPrefix(string(e.Data), fmt.Sprintf("entry %d of term ", i)) {
			t.Fatalf("entry %d holds another's data", i)
		}
		is = append(is, &e)
	}
	if last == 0 {
		return nil, next
	}
	return is, last + 1
}
