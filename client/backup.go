package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// BackupPart is a piece of a backup as it arrives. File names the file that begins with it and is empty in the parts that follow; End is set
// in the last part of a file, and Rows and Sum with it.
type BackupPart struct {
	File string
	Data []byte
	End  bool
	Rows int64  // lines of the file
	Sum  uint64 // of the counts of its cells, modulo 2⁶⁴
}

// Backup streams the whole cluster as of one instant. An error ends it; what came before is worth nothing then.
func (c *Client) Backup(ctx context.Context) iter.Seq2[BackupPart, error] {
	return func(yield func(BackupPart, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.cluster.Backup(c.authorize(ctx), &apiv1.BackupRequest{})
		for err == nil {
			var m *apiv1.BackupPart
			if m, err = stream.Recv(); err != nil {
				break
			}
			if !yield(BackupPart{File: m.File, Data: m.Data, End: m.End != nil, Rows: m.GetEnd().GetRows(), Sum: m.GetEnd().GetSum()}, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(BackupPart{}, fromStatus(err))
		}
	}
}

// CreateTable makes a table by its definition. Id and version are the server's to give.
func (c *Client) CreateTable(ctx context.Context, t *apiv1.Table) error {
	_, err := c.catalog.CreateTable(c.authorize(ctx), &apiv1.CreateTableRequest{Table: t})
	return fromStatus(err)
}

// SetRetention changes how long a table keeps its windows; 0 is for ever.
func (c *Client) SetRetention(ctx context.Context, table string, d time.Duration) error {
	sec := int64(d / time.Second)
	_, err := c.catalog.AlterTable(c.authorize(ctx), &apiv1.AlterTableRequest{Table: table, RetentionSec: &sec})
	return fromStatus(err)
}

// ReplicaHash is the digest of one replica's state as of a log index. Replicas of one group at one index have the same.
type ReplicaHash struct {
	Group  string // meta or shard/<number>
	Index  uint64
	SHA256 [32]byte
}

// Hash gives the digests of the replicas of the node that answers, and its id.
func (c *Client) Hash(ctx context.Context) (node string, replicas []ReplicaHash, err error) {
	r, err := c.cluster.Hash(c.authorize(ctx), &apiv1.ClusterHashRequest{})
	if err != nil {
		return "", nil, fromStatus(err)
	}
	for _, h := range r.Replicas {
		if len(h.Sha256) != 32 {
			return "", nil, errors.New("quipu: the server answers with a digest that is none")
		}
		replicas = append(replicas, ReplicaHash{h.Group, h.Index, [32]byte(h.Sha256)})
	}
	return r.NodeId, replicas, nil
}
