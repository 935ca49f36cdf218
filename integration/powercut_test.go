package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"golang.org/x/sys/unix"
)

// disk is an ext4 file system in an image file, of which nothing is kept back for root. cut ends it as a power cut would: what was not
// synced is gone.
type disk struct {
	t          *testing.T
	image, dir string
}

func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	d, err := makeDisk(t, size)
	if err != nil {
		t.Skipf("this test mounts a file system of its own: %v", err)
	}
	return d
}

// makeDisk says why this machine has no disk to give.
func makeDisk(t *testing.T, size string) (*disk, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil, errors.New("that needs root")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("that needs %s", tool)
		}
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "disk.img"), dir: t.TempDir()}
	d.must("truncate", "-s", size, d.image)
	d.must("mkfs.ext4", "-qF", "-m", "0", d.image)
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("this machine mounts no loop device: %w %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", d.dir).Run() })
	return d, nil
}

func (d *disk) must(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// ioctl EXT4_IOC_SHUTDOWN of linux/fs/ext4/ext4.h, with EXT4_GOING_FLAGS_NOLOGFLUSH.
const (
	ext4Shutdown   = 0x8004587d
	goingNoLogSync = 2
)

// cut stops the file system without writing its journal.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, goingNoLogSync); err != nil {
		d.t.Fatalf("shutting the file system down: %v", err)
	}
}

// remount brings the file system back as the next boot would.
func (d *disk) remount() {
	d.t.Helper()
	d.must("umount", d.dir)
	d.must("mount", "-o", "loop", d.image, d.dir)
}

// TestPowerCutLosesNothingAcknowledged cuts the power of a node under load again and again.
func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	cuts := 2
	if soak() {
		cuts = 20
	}
	powerCut(t, mustBinary(t), cuts).check(t)
}

// powerCut ends at the first cut after which something is wrong.
func powerCut(t *testing.T, binary string, cuts int) (wrong findings) {
	d := newDisk(t, "3G")
	n := startNodeOf(t, binary, filepath.Join(d.dir, "data"))
	t.Cleanup(n.kill)
	query(t, n.open(), "CREATE TABLE ledger (writer text, cell text)")
	patience, giveUp := context.WithCancel(t.Context())
	ctx, cancel := context.WithCancel(patience)
	w := &synced{ledger: map[string]int64{}, acked: map[string]int64{}, c: dial(t, n.addr, client.WithInFlight(syncedInFlight))}
	var wg sync.WaitGroup
	wg.Go(func() { w.write(ctx, patience) })
	defer wg.Wait()
	defer giveUp()
	defer cancel()
	r := rand.New(rand.NewPCG(11, 13))
	for i := range cuts {
		wait(ctx, 300*time.Millisecond+time.Duration(r.Int64N(int64(1500*time.Millisecond))))
		d.cut()
		n.kill()
		d.remount()
		if err := n.tryStart(); err != nil {
			wrong.addf("cut %d: %v\n%s", i+1, err, n.log)
			return wrong
		}
		acked := w.acknowledged()
		if wrong = missing(counts(t, n.open(), "ledger", "writer, cell"), acked); len(wrong) > 0 {
			return wrong
		}
	}
	cancel()
	wg.Wait()
	flush, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := w.c.Flush(flush); err != nil {
		wrong.addf("flush: %v", err)
	}
	wrong = append(wrong, w.wrong...)
	t.Logf("%d cuts, %d batches acknowledged, %d cells", cuts, w.batches, len(w.ledger))
	return append(wrong, compare(counts(t, n.open(), "ledger", "writer, cell"), w.ledger)...)
}

// synced writes batches and keeps two books: what it sent and what has a receipt.
type synced struct {
	c      *client.Client
	ledger map[string]int64

	mu      sync.Mutex // guards the fields below
	acked   map[string]int64
	batches int
	wrong   findings
}

const syncedInFlight = 200

func (w *synced) acknowledged() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}

// missing finds what had been acknowledged before got was read and is not in it. (More may have been counted and not yet acknowledged.)
func missing(got, acked map[string]int64) (wrong findings) {
	for cell, n := range acked {
		if got[cell] < n {
			wrong.addf("%s = %d after the cut, %d were acknowledged", cell, got[cell], n)
		}
	}
	return wrong
}

// write sends until ctx ends and waits for the answers until patience ends.
func (w *synced) write(ctx, patience context.Context) {
	r := rand.New(rand.NewPCG(3, 9))
	table := w.c.Table("ledger")
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, syncedInFlight)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		cell, k := fmt.Sprint("c", r.IntN(300)), 1+r.Int64N(5)
		w.ledger["w/"+cell] += k
		wg.Go(func() {
			_, err := table.AddSync(patience, client.Batch{Rows: []client.Observation{{Count: k, Pairs: []string{"writer", "w", "cell", cell}}}})
			w.answered("w/"+cell, k, err)
			<-slots
		})
	}
}

func (w *synced) answered(cell string, k int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.wrong.addf("%s + %d: %v", cell, k, err)
		return
	}
	w.acked[cell] += k
	w.batches++
}
