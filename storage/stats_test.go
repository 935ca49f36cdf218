package storage

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestTableSizes: cells at once, bytes with the checkpoint.
func TestTableSizes(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	addAll(s, 3000, 1)
	if got, err := s.TableSizes(); err != nil || got[1] != (TableSize{Cells: 3000}) {
		t.Errorf("before a checkpoint: %+v, %v", got, err)
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.TableSizes(); err != nil || len(got) != 1 || got[1].Cells != 3000 || got[1].DiskBytes == 0 {
		t.Errorf("after it: %+v, %v", got, err)
	}
}

// TestTableSizesWhileClosing: a database that is being measured stays open, and one that is closed is not measured.
func TestTableSizesWhileClosing(t *testing.T) {
	for range 20 {
		s := mustOpen(t, Options{FS: vfs.NewMem()})
		addAll(s, 100, 1)
		ended, begun := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for n := 0; ; n++ {
				if _, err := s.TableSizes(); err != nil {
					return
				}
				if n == 0 {
					close(begun)
				}
			}
		}()
		<-begun
		mustClose(t, s)
		<-ended
	}
}
