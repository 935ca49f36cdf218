package integration

import (
	"context"
	"fmt"
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

// disk is an ext4 file system in an image file. cut ends it as a power cut would: what was not synced is gone.
type disk struct {
	t          *testing.T
	image, dir string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a power cut needs root: it mounts a file system of its own and shuts it down")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("a power cut needs %s", tool)
		}
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "disk.img"), dir: t.TempDir()}
	d.must("truncate", "-s", "3G", d.image)
	d.must("mkfs.ext4", "-qF", d.image)
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		t.Skipf("this machine mounts no loop device: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", d.dir).Run() })
	return d
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
	d := newDisk(t)
	n := startNode(t, filepath.Join(d.dir, "data"))
	t.Cleanup(n.kill)
	setup := n.open()
	query(t, setup, "CREATE TABLE ledger (writer text, cell text)")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ledger := map[string]int64{}
	acked := &acknowledged{cells: map[string]int64{}}
	c := dial(t, n.addr, client.WithInFlight(200))
	var wg sync.WaitGroup
	wg.Go(func() { writeSync(t, ctx, c.Table("ledger"), ledger, acked) })
	r := rand.New(rand.NewPCG(11, 13))
	for range cuts {
		wait(ctx, 300*time.Millisecond+time.Duration(r.Int64N(int64(1500*time.Millisecond))))
		d.cut()
		n.kill()
		d.remount()
		n.start()
		acked.check(t, counts(t, n.open(), "ledger", "writer, cell"))
	}
	cancel()
	wg.Wait()
	flush, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := c.Flush(flush); err != nil {
		t.Fatal(err)
	}
	compare(t, counts(t, n.open(), "ledger", "writer, cell"), ledger)
	t.Logf("%d cuts, %d cells", cuts, len(ledger))
}

// acknowledged is what has a receipt.
type acknowledged struct {
	mu    sync.Mutex
	cells map[string]int64
}

func (a *acknowledged) add(cell string, k int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cells[cell] += k
}

// check holds that got has at least what was acknowledged before it was read. (More may have been counted and not yet acknowledged.)
func (a *acknowledged) check(t *testing.T, got map[string]int64) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for cell, n := range a.cells {
		if got[cell] < n {
			t.Errorf("%s = %d after the cut, %d were acknowledged", cell, got[cell], n)
		}
	}
}

// writeSync adds batches, a hundred at a time in flight, and keeps both books.
func writeSync(t *testing.T, ctx context.Context, table *client.Table, ledger map[string]int64, acked *acknowledged) {
	r := rand.New(rand.NewPCG(3, 9))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 100)
	defer wg.Wait()
	for ctx.Err() == nil {
		cell, k := fmt.Sprint("c", r.IntN(300)), 1+r.Int64N(5)
		slots <- struct{}{}
		if ctx.Err() != nil {
			return
		}
		ledger["w/"+cell] += k
		wg.Go(func() {
			defer func() { <-slots }()
			_, err := table.AddSync(context.WithoutCancel(ctx), client.Batch{Rows: []client.Observation{
				{Count: k, Pairs: []string{"writer", "w", "cell", cell}}}})
			if err != nil {
				t.Error(err)
				return
			}
			acked.add("w/"+cell, k)
		})
	}
}
