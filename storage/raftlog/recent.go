package raftlog

import "github.com/hashicorp/raft"

// recent keeps the newest entries in memory, for followers that read what was just written, and a state machine that applies it.
type recent struct {
	entries [recentMax]raft.Log // the entry of index i is in place i % recentMax
	first   uint64              // index of the oldest that is kept
	next    uint64              // index after the newest; equal to first if none is
	bytes   int                 // of their data
}

const (
	recentMax      = 1024    // entries
	recentMaxBytes = 8 << 20 // of data: what a group of a busy shard writes in about a second
)

// add keeps an entry. One that does not follow the newest begins anew.
func (r *recent) add(e *raft.Log) {
	if e.Index != r.next {
		r.cut(r.first)
		r.first, r.next = e.Index, e.Index
	}
	for r.next-r.first == recentMax || r.next > r.first && r.bytes+len(e.Data) > recentMaxBytes {
		r.drop(r.first)
		r.first++
	}
	r.entries[e.Index%recentMax] = *e
	r.bytes += len(e.Data)
	r.next++
}

// get is nil if the entry is not kept.
func (r *recent) get(index uint64) *raft.Log {
	if index < r.first || index >= r.next {
		return nil
	}
	return &r.entries[index%recentMax]
}

// cut forgets the entries from an index on.
func (r *recent) cut(from uint64) {
	for r.next > max(from, r.first) {
		r.next--
		r.drop(r.next)
	}
}

func (r *recent) drop(index uint64) {
	e := &r.entries[index%recentMax]
	r.bytes -= len(e.Data)
	*e = raft.Log{}
}
