package replica

import (
	"time"

	"github.com/hashicorp/raft"
)

// bounded is a pipeline that gives up when a message finds no room in it for long. raft stops to take answers out of a pipeline when one of them
// says that the leader is deposed; its sender, if it waits for room just then, waits for ever, and with it the end of the process. A pipeline
// that has given up is closed, and raft goes on with single messages.
type bounded struct {
	raft.AppendPipeline
	patience time.Duration
}

// AppendEntries waits for room.
func (p bounded) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	stuck := time.AfterFunc(p.patience, func() { _ = p.Close() }) // its sender hears of it
	defer stuck.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}
