// Package known gives the errors that other packages export their rows in the table of server/errcode, which imports none of
// them. Edges turn what a node returns into a public error with From.
package known

import (
	"errors"

	"github.com/hashicorp/raft"
	command "github.com/quipudb/quipu/proto/command/v1"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/fsm/row"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/raftlog"
)

// entry is an exported error, under its name for the test, and its code.
type entry struct {
	name string
	err  error
	code errcode.Code
}

// table is searched from the top, so what wraps another stands before it.
var table = []entry{
	{"storage.ErrSnapshotTooOld", storage.ErrSnapshotTooOld, errcode.SnapshotTooOld},
	{"storage.ErrReleased", storage.ErrReleased, errcode.SnapshotTooOld},
	{"storage.ErrClosed", storage.ErrClosed, errcode.Closing},
	{"storage.ErrCorrupt", storage.ErrCorrupt, errcode.Corrupt},
	{"storage.ErrInUse", storage.ErrInUse, errcode.Unavailable},
	{"storage.ErrNewerFormat", storage.ErrNewerFormat, errcode.NotSupported},
	{"storage.ErrDimensions", storage.ErrDimensions, errcode.InvalidOption},
	{"storage.ErrStream", storage.ErrStream, errcode.Corrupt},
	{"replica.ErrRemoved", replica.ErrRemoved, errcode.Unavailable},
	{"raftlog.ErrInUse", raftlog.ErrInUse, errcode.Unavailable},
	{"raftlog.ErrCorrupt", raftlog.ErrCorrupt, errcode.Corrupt},
	{"raftlog.ErrNotFound", raftlog.ErrNotFound, errcode.Internal},

	{"fsm.ErrHalted", fsm.ErrHalted, errcode.Unavailable},
	{"fsm.ErrSkipped", fsm.ErrSkipped, errcode.Internal},
	{"meta.ErrGone", meta.ErrGone, errcode.Gone},
	{"row.ErrDamaged", row.ErrDamaged, errcode.Corrupt},
	{"command.ErrVersion", command.ErrVersion, errcode.NotSupported},
	{"command.ErrKind", command.ErrKind, errcode.NotSupported},
	{"command.ErrChecksum", command.ErrChecksum, errcode.Corrupt},
	{"command.ErrMalformed", command.ErrMalformed, errcode.Corrupt},
	{"command.ErrSize", command.ErrSize, errcode.TooLarge},
	{"command.ErrOverflow", command.ErrOverflow, errcode.Overflow},

	{"replica.ErrFenced", replica.ErrFenced, errcode.Unavailable},
	{"replica.ErrNoHold", replica.ErrNoHold, errcode.Unavailable},
	{"replica.ErrBehind", replica.ErrBehind, errcode.Unavailable},
	{"replica.ErrRemoved", replica.ErrRemoved, errcode.Unavailable},
	{"transport.ErrClosed", transport.ErrClosed, errcode.Closing},

	{"stats.ErrEmpty", stats.ErrEmpty, errcode.Invalid},
	{"stats.ErrNegative", stats.ErrNegative, errcode.Invalid},
	{"stats.ErrOverflow", stats.ErrOverflow, errcode.NumericOutOfRange},
	{"stats.ErrShape", stats.ErrShape, errcode.Invalid},
	{"stats.ErrArgument", stats.ErrArgument, errcode.InvalidOption},
	{"stats.ErrEncoding", stats.ErrEncoding, errcode.Internal},
	{"stats.ErrDigest", stats.ErrDigest, errcode.Unavailable},

	{"raft.ErrNotLeader", raft.ErrNotLeader, errcode.NotLeader},
	{"raft.ErrLeadershipLost", raft.ErrLeadershipLost, errcode.NotLeader},
	{"raft.ErrLeadershipTransferInProgress", raft.ErrLeadershipTransferInProgress, errcode.NotLeader},
	{"raft.ErrRaftShutdown", raft.ErrRaftShutdown, errcode.Closing},
	{"raft.ErrEnqueueTimeout", raft.ErrEnqueueTimeout, errcode.Busy},
}

// From is errcode.From that also knows the errors of the table. An *errcode.Error in the chain goes first.
func From(err error) *errcode.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*errcode.Error](err); ok {
		return e
	}
	for _, t := range table {
		if errors.Is(err, t.err) {
			return errcode.New(t.code, "%w", err)
		}
	}
	return errcode.From(err)
}
