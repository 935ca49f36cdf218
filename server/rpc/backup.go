package rpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// Backups gives what a backup holds, and the digests that show replicas to be equal.
type Backups interface {
	// Backup writes the whole cluster as of one instant, file by file.
	Backup(ctx context.Context, to BackupSink) error
	// Hash is the digest of each replica that the node has.
	Hash(ctx context.Context) ([]ReplicaHash, error)
}

// BackupSink takes the files of a backup: Begin, Write any number of times, End.
type BackupSink interface {
	Begin(file string) error
	Write(data []byte) (int, error)
	// End says how many lines the file should have, and what the counts of its cells add up to modulo 2⁶⁴.
	End(rows int64, sum uint64) error
}

// ReplicaHash is the digest of one replica's state as of a log index.
type ReplicaHash struct {
	Group  string // meta or shard/<number>
	Index  uint64
	SHA256 [32]byte
}

// DefinitionJSON is the definition of a table as a backup keeps it.
func DefinitionJSON(t *schema.Table) ([]byte, error) { return protojson.Marshal(tableMessage(t)) }

// Backup streams the files.
func (s *clusterService) Backup(_ *apiv1.BackupRequest, stream grpc.ServerStreamingServer[apiv1.BackupPart]) error {
	return s.backend.Backup(stream.Context(), &backupStream{stream: stream})
}

// backupStream gathers what is written into parts of some size.
type backupStream struct {
	stream grpc.ServerStreamingServer[apiv1.BackupPart]
	file   string // that has begun, and of which nothing was sent
	buf    []byte
}

const backupPartBytes = 256 << 10

// Begin starts a file.
func (b *backupStream) Begin(file string) error {
	b.file, b.buf = file, make([]byte, 0, backupPartBytes)
	return nil
}

// Write adds to the file.
func (b *backupStream) Write(data []byte) (int, error) {
	b.buf = append(b.buf, data...)
	if len(b.buf) < backupPartBytes {
		return len(data), nil
	}
	return len(data), b.send(nil)
}

// End ends the file.
func (b *backupStream) End(rows int64, sum uint64) error {
	return b.send(&apiv1.BackupEnd{Rows: rows, Sum: sum})
}

func (b *backupStream) send(end *apiv1.BackupEnd) error {
	part := &apiv1.BackupPart{File: b.file, Data: b.buf, End: end}
	b.file, b.buf = "", make([]byte, 0, backupPartBytes) // gRPC may still read the last part
	return b.stream.Send(part)
}

// Hash gives the digests of the node's replicas.
func (s *clusterService) Hash(ctx context.Context, _ *apiv1.ClusterHashRequest) (*apiv1.ClusterHash, error) {
	replicas, err := s.backend.Hash(ctx)
	if err != nil {
		return nil, err
	}
	out := &apiv1.ClusterHash{NodeId: s.backend.Info().NodeID}
	for _, r := range replicas {
		out.Replicas = append(out.Replicas, &apiv1.ReplicaHash{Group: r.Group, Index: r.Index, Sha256: r.SHA256[:]})
	}
	return out, nil
}
