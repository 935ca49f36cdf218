package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// told passes on to raft what other nodes send, and notes since when at least a word of the leader holds that says how far the log is
// committed and finds all of that here: since the mark that it carries. raft's own last contact does not say so: a heartbeat counts as contact
// and carries no commit index, and after a start or a cut heartbeats arrive seconds before entries do.
type told struct {
	in    <-chan raft.RPC
	out   chan raft.RPC
	ended chan struct{}
	once  sync.Once
	marks marks
	last  atomic.Pointer[time.Time] // nil: never; run stores it
}

func newTold(in <-chan raft.RPC) *told {
	t := &told{in: in, out: make(chan raft.RPC), ended: make(chan struct{}), marks: newMarks()}
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

// isHeartbeat says that a message asserts leadership and no more.
func isHeartbeat(m *raft.AppendEntriesRequest) bool {
	return m.PrevLogEntry == 0 && len(m.Entries) == 0
}

// pass hands one message to raft. Raft answers appends one at a time, so that waiting for the answer holds nobody up.
func (t *told) pass(rpc raft.RPC) bool {
	m, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || isHeartbeat(m) {
		return t.send(rpc)
	}
	answered := make(chan raft.RPCResponse, 1)
	to := rpc.RespChan
	rpc.RespChan = answered
	if !t.send(rpc) {
		return false
	}
	select {
	case answer := <-answered:
		if a, ok := answer.Response.(*raft.AppendEntriesResponse); ok {
			if a.Success && m.LeaderCommitIndex <= m.PrevLogEntry+uint64(len(m.Entries)) {
				t.note(carried(m))
			}
			with := *a
			with.Addr = t.marks.now()
			answer.Response = &with
		}
		to <- answer // it has room for the one
		return true
	case <-t.ended:
		return false
	}
}

// note takes in that this node had everything committed at the time of a mark. A leader's mark of before an election may come back after a later one.
func (t *told) note(mark []byte) {
	if made, ok := t.marks.read(mark); ok {
		if last := t.last.Load(); last == nil || made.After(*last) {
			t.last.Store(&made)
		}
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
