package replicatest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/replica/replicatest"
	"github.com/quipudb/quipu/server/transport"
)

// open starts the only replica of a group on a disk.
func open(t *testing.T, disk replica.Disk, halt func(error)) *replica.Replica {
	t.Helper()
	mux := transport.New(transport.Options{Node: "a"})
	layer, err := mux.Open(transport.Raft, transport.Meta)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mux.Close() })
	machine := meta.New()
	r, err := replica.Open(replica.Options{Dir: "/data/meta", On: disk, NodeID: "a", Bootstrap: true, Machine: machine, Halt: halt,
		LogTime: func() int64 { return machine.View().LogTime }, Transport: transport.NewRaft(layer, transport.RaftOptions{Timeout: time.Second})})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newDisk(t *testing.T) *replicatest.Disk {
	t.Helper()
	disk, err := replicatest.NewDisk("/data", replicatest.Options{Sync: func() time.Duration { return time.Millisecond }})
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

func openSession(ctx context.Context, r *replica.Replica) (uint64, error) {
	_, index, err := r.Propose(ctx, &command.OpenSession{Principal: "local"})
	return index, err
}

// What was acknowledged is there after a crash that loses everything that was not synced.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t)
		var last uint64
		for range 5 {
			r := open(t, disk, func(err error) { t.Error(err) })
			if err := errors.Join(r.WaitLeading(t.Context()), r.Store().WaitApplied(t.Context(), last)); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				var err error
				if last, err = openSession(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			disk = disk.Crash(0, rand.New(rand.NewPCG(1, 1)))
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A disk that fails stops its node by Halt. Raft, which panics on a term that it cannot keep, must not end the process.
func TestFailedWriteHaltsTheNodeAndNotTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t)
		var halts atomic.Int32
		r := open(t, disk, func(error) { halts.Add(1) })
		if err := r.WaitLeading(t.Context()); err != nil {
			t.Fatal(err)
		}
		disk.Break(errors.New("input/output error"))
		if _, err := openSession(t.Context(), r); err == nil {
			t.Error("acknowledged on a disk that fails")
		}
		time.Sleep(10 * time.Second) // of the bubble: elections
		if halts.Load() != 1 {
			t.Errorf("%d halts", halts.Load())
		}
		_ = r.Close()
	})
}
