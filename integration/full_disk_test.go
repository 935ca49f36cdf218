package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"golang.org/x/sys/unix"
)

// TestFullDiskKeepsWhatWasAcknowledged takes the room of the file system away from a node that writes: first down to the bound of
// --disk-free, where it must refuse writes, serve reads and go on by itself, then to the last byte, where it must end by itself with a
// message and serve again when it is started with room. A writer retries all the while; in the end the counts are its ledger.
func TestFullDiskKeepsWhatWasAcknowledged(t *testing.T) {
	d := newDisk(t, "400M")
	n := startNodeOf(t, mustBinary(t), filepath.Join(d.dir, "data"), "--disk-free", "100MiB")
	t.Cleanup(n.kill) // before the file system goes
	query(t, n.open(), "CREATE TABLE ledger (writer text, cell text)")
	patience, giveUp := context.WithCancel(t.Context())
	ctx, cancel := context.WithCancel(patience)
	w := &synced{ledger: map[string]int64{}, acked: map[string]int64{}, c: dial(t, n.addr, client.WithInFlight(syncedInFlight))}
	var wg sync.WaitGroup
	wg.Go(func() { w.write(ctx, patience) })
	defer wg.Wait()
	defer giveUp()
	defer cancel()
	w.progress(t)

	d.fill(50 << 20)
	out := until(t, n, func(err error) bool { return err != nil })
	for _, want := range []string{"MiB are free where " + n.dir, "100 MiB", "make room"} {
		if !strings.Contains(out, want) {
			t.Errorf("the refusal does not say %q:\n%s", want, out)
		}
	}
	missing(counts(t, n.open(), "ledger", "writer, cell"), w.acknowledged()).check(t)
	d.free()
	until(t, n, func(err error) bool { return err == nil })
	w.progress(t)

	n.stop()
	n.args = []string{"--disk-free", "1B"} // the bound sees nothing until it is too late
	n.start()
	w.progress(t)
	d.fill(0)
	select {
	case <-n.done:
	case <-time.After(time.Minute):
		t.Fatalf("the node goes on without any room\n%s", n.log)
	}
	if said := n.log.String(); n.cmd.ProcessState.ExitCode() <= 0 || !strings.Contains(said, "no space left on device") ||
		!strings.Contains(said, n.dir) || !strings.Contains(said, "make room there and start the node again") {
		t.Errorf("it ended with %v, and said\n%s", n.cmd.ProcessState, said)
	}
	d.free()
	acked := w.acknowledged()
	n.start()
	missing(counts(t, n.open(), "ledger", "writer, cell"), acked).check(t)
	w.progress(t)
	cancel()
	wg.Wait()
	w.wrong.check(t)
	compare(counts(t, n.open(), "ledger", "writer, cell"), w.ledger).check(t)
	t.Logf("%d batches acknowledged; at the last byte it said\n%s", w.batches, n.log)
}

// until runs an INSERT of another table again and again until its end is as wanted, and gives what it printed.
func until(t *testing.T, n *node, wanted func(error) bool) string {
	t.Helper()
	for range 200 {
		out, err := n.run("sql", "-c", "INSERT INTO ledger (writer, cell, count) VALUES ('other', 'one', 0)")
		if wanted(err) {
			return out
		}
		wait(t.Context(), 50*time.Millisecond)
	}
	t.Fatalf("no such end of an INSERT\n%s", n.log)
	return ""
}

// progress waits until batches have been acknowledged that were not when it was called.
func (w *synced) progress(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	goal := w.batches + 2*syncedInFlight
	w.mu.Unlock()
	for range 600 {
		w.mu.Lock()
		done := w.batches
		w.mu.Unlock()
		if done >= goal {
			return
		}
		wait(t.Context(), 50*time.Millisecond)
	}
	t.Fatalf("no batches are acknowledged: %v", w.wrong)
}

// fill takes what is free of the file system, but for so many bytes, until free is called.
func (d *disk) fill(left int64) {
	d.t.Helper()
	f, err := os.Create(d.ballast())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	size := int64(0)
	for step := int64(s.Bavail)*s.Bsize - left; step >= s.Bsize; {
		switch err := unix.Fallocate(int(f.Fd()), 0, size, step); {
		case err == nil && left > 0:
			return
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		default:
			d.t.Fatal(err)
		}
	}
}

// free gives back what fill took.
func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }
