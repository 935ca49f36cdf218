package transport

import (
	"testing"

	"github.com/hashicorp/raft"
)

// A heartbeat says nothing about what is committed, nor does an append that is refused or leaves this node behind what is committed.
func TestToldOnlyByWhatSaysHowFarTheLogIsCommitted(t *testing.T) {
	in := make(chan raft.RPC)
	to := newTold(in)
	defer to.end()
	s := Safe{told: to}
	for _, c := range []struct {
		name    string
		command any
		success bool
		told    bool
	}{
		{"a vote", &raft.RequestVoteRequest{}, true, false},
		{"a heartbeat", &raft.AppendEntriesRequest{Term: 3}, true, false},
		{"an append that finds a gap", &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 9, LeaderCommitIndex: 9}, false, false},
		{"a batch of many that are committed", &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 9, Entries: make([]*raft.Log, 2), LeaderCommitIndex: 20}, true, false},
		{"the last batch", &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 18, Entries: make([]*raft.Log, 2), LeaderCommitIndex: 20}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := make(chan raft.RPCResponse, 1)
			in <- raft.RPC{Command: c.command, RespChan: answer}
			rpc := <-s.Consumer()
			rpc.Respond(&raft.AppendEntriesResponse{Success: c.success}, nil)
			<-answer
			if told := !s.Told().IsZero(); told != c.told {
				t.Errorf("told is %v", told)
			}
		})
	}
}
