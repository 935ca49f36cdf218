package raftlog

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync leaves out what fsync would write besides: the times of the file. A file whose blocks are written already needs no journal then.
func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
