package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is how bytes reach the disk. Tests let it fail.
type disk struct {
	write func(f *os.File, b []byte, at int64) error
	sync  func(f *os.File) error // of the bytes of a file, and of what is needed to find them
}

var realDisk = disk{
	write: func(f *os.File, b []byte, at int64) error {
		_, err := f.WriteAt(b, at)
		return err
	},
	sync: fdatasync,
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockDir makes the directory this Log's alone until the file is closed.
func lockDir(path string) (*os.File, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// makeDir makes the directory of a log with a stable store in it, whole or not at all.
func makeDir(d disk, path string) error {
	young := path + ".new"
	if err := os.RemoveAll(young); err != nil {
		return err
	}
	if err := os.Mkdir(young, 0o700); err != nil {
		return err
	}
	if err := makeStable(d, filepath.Join(young, stableName)); err != nil {
		return err
	}
	if err := syncDir(young); err != nil {
		return err
	}
	if err := os.Rename(young, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

const (
	segmentSuffix = ".segment"
	youngSuffix   = ".new" // of a segment that has no place in the log yet
)

// segmentName is that of the segment whose first entry has this index; names sort as indexes do.
func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

func youngName(id uint64) string { return fmt.Sprintf("%016x%s", id, youngSuffix) }

// firstOf is the index in a segment's name.
func firstOf(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	n, err := fmt.Sscanf(digits, "%d", &first)
	return first, err == nil && n == 1 && first > 0 && segmentName(first) == name
}
