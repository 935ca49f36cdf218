package client

import (
	"fmt"
	"strings"
	"time"
)

// Receipt says what a write reached: one log index a shard. It belongs to one incarnation of one cluster.
type Receipt struct {
	Cluster     string
	Incarnation uint64
	Shards      []ShardIndex
	Duplicate   bool      // counted by an earlier attempt; nothing changed
	Expires     time.Time // until then a retry under the same stamp is recognised, if the client keeps its session alive
}

// ShardIndex is a position in one shard's log.
type ShardIndex struct {
	Shard uint32
	Index uint64
}

// String is the form that SET quipu.min_index takes: shard:index, comma separated.
func (r Receipt) String() string {
	parts := make([]string, len(r.Shards))
	for i, s := range r.Shards {
		parts[i] = fmt.Sprintf("%d:%d", s.Shard, s.Index)
	}
	return strings.Join(parts, ",")
}

// add takes in the receipt of another part.
func (r *Receipt) add(o Receipt) {
	if len(o.Shards) == 0 { // nothing was counted
		return
	}
	if len(r.Shards) == 0 {
		r.Cluster, r.Incarnation, r.Duplicate, r.Expires = o.Cluster, o.Incarnation, true, o.Expires
	}
	r.Shards = append(r.Shards, o.Shards...)
	r.Duplicate = r.Duplicate && o.Duplicate
	if o.Expires.Before(r.Expires) {
		r.Expires = o.Expires
	}
}
