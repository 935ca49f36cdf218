package peer

import (
	"errors"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/errcode/known"
	"github.com/quipudb/quipu/server/replica"
)

// NotLeader says that the node asked does not lead the shard, and who does as far as it knows. What was asked may be asked of that one,
// under the same stamp.
type NotLeader struct {
	Leader string // node id; empty if it is not known
	Err    *errcode.Error
}

func (e *NotLeader) Error() string { return e.Err.Error() }

// Unwrap gives the public error.
func (e *NotLeader) Unwrap() error { return e.Err }

// failure puts an error into a message. leader is who leads the shard, as far as this node knows.
func failure(err error, leader string) *peerv1.Failure {
	if err == nil {
		return nil
	}
	e := known.From(err)
	b, merr := proto.Marshal(e.Status().Proto())
	if merr != nil { // texts are made valid UTF-8 before
		b = nil
	}
	f := &peerv1.Failure{Status: b, Behind: errors.Is(err, replica.ErrBehind)}
	if e.Code == errcode.NotLeader {
		f.Leader = leader
		if n, ok := errors.AsType[*NotLeader](err); ok && leader == "" {
			f.Leader = n.Leader
		}
	}
	return f
}

// failed is the error of a message, or nil.
func failed(f *peerv1.Failure) error {
	if f == nil || len(f.Status) == 0 && !f.Behind {
		return nil
	}
	if f.Behind {
		return replica.ErrBehind
	}
	var s spb.Status
	if err := proto.Unmarshal(f.Status, &s); err != nil {
		return errcode.New(errcode.Corrupt, "the error of another node cannot be read: %w", err)
	}
	e := errcode.FromStatus(status.FromProto(&s))
	switch {
	case e == nil:
		return errcode.New(errcode.Corrupt, "another node failed and did not say why")
	case e.Code == errcode.NotLeader:
		return &NotLeader{Leader: f.Leader, Err: e}
	}
	return e
}
