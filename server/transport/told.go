package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// told passes on to raft what other nodes send, and notes when the leader said last how far the log is committed and this node had all of
// that. raft's own last contact does not say so: a heartbeat counts as contact and carries no commit index, and after a start or a cut heartbeats
// arrive seconds before entries do.
type told struct {
	in    <-chan raft.RPC
	out   chan raft.RPC
	ended chan struct{}
	once  sync.Once
	last  atomic.Pointer[time.Time] // nil: never
}

func newTold(in <-chan raft.RPC) *told {
	t := &told{in: in, out: make(chan raft.RPC), ended: make(chan struct{})}
	go t.run()
	return t
}

// run ends with end.
func (t *told) run() {
	for {
		select {
		case rpc := <-t.in:
			if !t.pass(rpc) {
				return
			}
		case <-t.ended:
			return
		}
	}
}

// pass hands one message to raft. Raft answers appends one at a time, so that waiting for the answer holds nobody up.
func (t *told) pass(rpc raft.RPC) bool {
	req, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || req.PrevLogEntry == 0 && len(req.Entries) == 0 { // a heartbeat, or a vote
		return t.send(rpc)
	}
	began := time.Now()
	answered := make(chan raft.RPCResponse, 1)
	to := rpc.RespChan
	rpc.RespChan = answered
	if !t.send(rpc) {
		return false
	}
	select {
	case answer := <-answered:
		if resp, ok := answer.Response.(*raft.AppendEntriesResponse); ok && resp.Success && req.LeaderCommitIndex <= req.PrevLogEntry+uint64(len(req.Entries)) {
			t.last.Store(&began)
		}
		to <- answer // it has room for the one
		return true
	case <-t.ended:
		return false
	}
}

func (t *told) send(rpc raft.RPC) bool {
	select {
	case t.out <- rpc:
		return true
	case <-t.ended:
		return false
	}
}

func (t *told) end() { t.once.Do(func() { close(t.ended) }) }
