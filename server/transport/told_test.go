package transport

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// carrying is a message of term 3 that carries a mark.
func carrying(mark []byte, prev uint64, entries int, commit uint64) *raft.AppendEntriesRequest {
	m := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: prev, Entries: make([]*raft.Log, entries), LeaderCommitIndex: commit}
	carry(m, mark)
	return m
}

// exchange passes a message to a follower, whose raft answers it, and gives the answer.
func exchange(s Safe, in chan<- raft.RPC, command any, success bool) *raft.AppendEntriesResponse {
	answer := make(chan raft.RPCResponse, 1)
	in <- raft.RPC{Command: command, RespChan: answer}
	rpc := <-s.Consumer()
	rpc.Respond(&raft.AppendEntriesResponse{Success: success}, nil)
	return (<-answer).Response.(*raft.AppendEntriesResponse)
}

// A heartbeat says nothing about what is committed, nor does an append that is refused or leaves this node behind what is committed.
func TestToldOnlyByWhatSaysHowFarTheLogIsCommitted(t *testing.T) {
	in := make(chan raft.RPC)
	to := newTold(in)
	defer to.end()
	s := Safe{told: to}
	mark := exchange(s, in, carrying(nil, 8, 0, 0), false).Addr
	other := newMarks()
	for _, c := range []struct {
		name    string
		command any
		success bool
		told    bool
	}{
		{"a vote", &raft.RequestVoteRequest{}, true, false},
		{"a heartbeat", carrying(mark, 0, 0, 0), true, false},
		{"an append that finds a gap", carrying(mark, 9, 0, 9), false, false},
		{"a batch of many that are committed", carrying(mark, 9, 2, 20), true, false},
		{"the first append, without a mark", carrying([]byte("127.0.0.1:7481"), 18, 2, 20), true, false},
		{"a mark of before the restart", carrying(other.now(), 20, 0, 20), true, false},
		{"the last batch", carrying(mark, 18, 2, 20), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			exchange(s, in, c.command, c.success)
			if told := !s.Told().IsZero(); told != c.told {
				t.Errorf("told is %v", told)
			}
		})
	}
}

// What arrives late is as old as it is: what was sent over a wire before it was cut may come seconds later, when it is mended.
func TestAWordIsAsOldAsItsMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan raft.RPC)
		to := newTold(in)
		defer to.end()
		s := Safe{told: to}
		began := time.Now()
		word := func(mark []byte) []byte {
			return exchange(s, in, carrying(mark, 20, 0, 20), true).Addr
		}
		early := word(nil)
		time.Sleep(time.Second)
		late := word(early)
		if told := s.Told().Sub(began); told != 0 {
			t.Errorf("after a second the word of then is %v from the start", told)
		}
		time.Sleep(time.Second)
		word(late)
		word(early)
		if told := s.Told().Sub(began); told != time.Second {
			t.Errorf("the newest word is %v from the start, not 1s", told)
		}
	})
}

// A message carries no mark that came after it was made. It was made after the one before was sent, and that is all that is known.
func TestAMessageCarriesAMarkOfBeforeItWasMade(t *testing.T) {
	var e echo
	follower := newMarks()
	first, second, third := follower.now(), follower.now(), follower.now()
	answered := func(term uint64, m []byte) {
		in := bytes.Clone(m)
		e.heard("b", term, time.Now(), &raft.AppendEntriesResponse{RPCHeader: raft.RPCHeader{Addr: in}})
		clear(in) // raft reads the next answer into the same bytes
	}
	carries := func(term uint64, want []byte) {
		t.Helper()
		m := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{Addr: []byte("a")}, Term: term}
		carry(m, []byte("a"))
		if got := carried(e.marked("b", m)); string(got) != string(want) {
			t.Errorf("a message of term %d carries %q, not %q", term, got, want)
		}
		if string(carried(m)) != "a" {
			t.Errorf("raft's own message has changed")
		}
	}
	none := []byte("a") // what raft itself puts there
	carries(4, none)
	answered(4, first)
	carries(4, none) // it may have been made before the answer came
	e.sent("b", 4)
	answered(4, second)
	carries(4, first)
	e.sent("b", 4)
	carries(4, second)
	carries(5, none)
	e.sent("b", 4) // of a term that is over
	answered(4, third)
	carries(5, none)
	answered(5, []byte("127.0.0.1:7481")) // an older version
	e.sent("b", 5)
	carries(5, none)
}

// A leader is as old as the messages that a majority has answered, heartbeats or not, in its own term.
func TestConfirmedByAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Safe{echo: &echo{}}
		began := time.Now()
		at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
		answer := func(id string, term uint64, sent int, in uint64) {
			s.echo.heard(raft.ServerID(id), term, at(sent), &raft.AppendEntriesResponse{Term: in})
		}
		is := func(term uint64, many int, want time.Time) {
			t.Helper()
			if got := s.Confirmed(term, []string{"b", "c", "d", "e"}, many); !got.Equal(want) {
				t.Errorf("%d of four have confirmed term %d since %v, not %v", many, term, got, want)
			}
		}
		is(4, 2, time.Time{})
		answer("b", 4, 3, 4)
		is(4, 2, time.Time{})
		answer("c", 4, 1, 4)
		is(4, 2, at(1))
		answer("d", 4, 2, 4)
		answer("b", 4, 1, 4) // late
		is(4, 2, at(2))
		answer("e", 4, 9, 5) // knows of a later leader
		answer("x", 4, 9, 4) // has no vote
		is(4, 2, at(2))
		is(4, 1, at(3))
		is(4, 5, time.Time{}) // more than there are
		is(5, 2, time.Time{})
		answer("b", 5, 11, 5)
		is(4, 2, time.Time{})
	})
}
