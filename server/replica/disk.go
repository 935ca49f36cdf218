package replica

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/storage/raftlog"
)

// Log is a group's log with its term and vote. What a writing method has returned from survives a crash.
type Log interface {
	raft.LogStore
	raft.StableStore
	HasVoted() (bool, error) // a term or a vote is known
	Reset() error            // deletes every entry, and keeps term and vote
	Path() string            // for messages
	Close() error
}

// Disk is where replicas keep what survives a crash. A simulation has one in memory that can lose what was not synced.
type Disk interface {
	FS() vfs.FS
	// OpenLog opens the log in the directory of a group, or makes directory and log.
	OpenLog(dir string, o raftlog.Options) (Log, error)
	// RemoveLog deletes the log in a directory, and RemoveAll a directory with everything in it. What is not there is no error.
	RemoveLog(dir string) error
	RemoveAll(dir string) error
}

// Files is the disk of the operating system.
type Files struct{}

// FS is the file system.
func (Files) FS() vfs.FS { return vfs.Default }

// OpenLog opens a log of package raftlog.
func (Files) OpenLog(dir string, o raftlog.Options) (Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l, err := raftlog.Open(dir, o)
	if err != nil {
		return nil, err // not a Log that holds a nil pointer
	}
	return l, nil
}

// RemoveLog deletes a log of package raftlog.
func (Files) RemoveLog(dir string) error { return raftlog.Remove(dir) }

// RemoveAll deletes a directory.
func (Files) RemoveAll(dir string) error { return os.RemoveAll(dir) }
