// Package replicatest is a disk in memory for replicas in simulations. It works under testing/synctest, takes time to sync, stalls and
// fails on demand, and can crash: what was not synced is lost then, or a part of it.
//
//	disk := replicatest.NewDisk("/data", replicatest.Options{Sync: func() time.Duration { return time.Millisecond }})
//	r, err := replica.Open(replica.Options{On: disk, Dir: "/data/meta", …})
//	after := disk.Crash(50, rng) // what a start after a power cut finds; close the old replica then
package replicatest

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage/raftlog"
)

// Options of a disk.
type Options struct {
	// Sync is how long the next write of a log takes; no time if nil. It is called by many goroutines.
	Sync func() time.Duration
}

// Disk is a replica.Disk in memory.
type Disk struct {
	o  Options
	fs *vfs.MemFS

	mu      sync.Mutex // guards the fields below
	logs    map[string]*state
	stalled chan struct{} // closed when the stall ends; nil: none
	broken  error         // of every write; nil: none
}

var _ replica.Disk = (*Disk)(nil)

// NewDisk makes an empty disk on which dir exists.
func NewDisk(dir string, o Options) (*Disk, error) {
	d := &Disk{o: o, fs: vfs.NewCrashableMem(), logs: map[string]*state{}}
	if err := d.fs.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for ; ; dir = filepath.Dir(dir) {
		f, err := d.fs.OpenDir(dir)
		if err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		if dir == filepath.Dir(dir) {
			return d, nil
		}
	}
}

// FS is for states.
func (d *Disk) FS() vfs.FS { return d.fs }

// OpenLog opens the log of a directory, or makes one.
func (d *Disk) OpenLog(dir string, o raftlog.Options) (replica.Log, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.logs[dir]
	if s == nil {
		s = newState()
		d.logs[dir] = s
	}
	return &log{disk: d, path: filepath.Join(dir, "log in memory"), halt: o.Halt, s: s}, nil
}

// RemoveLog deletes the log of a directory.
func (d *Disk) RemoveLog(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.logs, dir)
	return nil
}

// RemoveAll deletes a directory with everything below it.
func (d *Disk) RemoveAll(dir string) error {
	d.mu.Lock()
	for name := range d.logs {
		if name == dir || strings.HasPrefix(name, dir+string(filepath.Separator)) {
			delete(d.logs, name)
		}
	}
	d.mu.Unlock()
	return d.fs.RemoveAll(dir)
}

// Crash is a disk with what a power cut leaves of this one: everything that was synced, and of the rest percent of the blocks of files and
// some beginning of each log's open write. This disk goes on by itself, for what has yet to close.
func (d *Disk) Crash(percent int, rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := &Disk{o: d.o, logs: map[string]*state{}}
	for dir, s := range d.logs {
		after.logs[dir] = s.crash(percent, rng)
	}
	after.fs = d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	return after
}

// Stall makes writes of logs wait until Resume.
func (d *Disk) Stall() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stalled == nil {
		d.stalled = make(chan struct{})
	}
}

// Resume ends a stall.
func (d *Disk) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stalled != nil {
		close(d.stalled)
		d.stalled = nil
	}
}

// Break makes every later write of a log fail.
func (d *Disk) Break(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = err
}

// wait takes the time of a sync, outside of every lock.
func (d *Disk) wait() error {
	d.mu.Lock()
	stalled := d.stalled
	d.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	if d.o.Sync != nil {
		time.Sleep(d.o.Sync())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken
}
