package transport

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// How old a leader's word is, a follower can only know by its own clock, and not from when the word arrives: a wire that was cut delivers
// seconds later what was sent before. So each answer of a follower carries a mark of its clock, in a field of raft's that answers leave
// unused, and the leader sends the newest mark that it had before it made a message with that message. What the message says was so after the
// mark was made.

// A mark is the time of one run of one replica: a zero, by which it differs from the address that older versions send in its place, a number
// of that run, and nanoseconds since its start.
const (
	markKind  = 0
	markBytes = 1 + 8 + 8
)

// marks makes the marks of a replica and reads them again.
type marks struct {
	began time.Time
	head  [9]byte
}

func newMarks() marks {
	m := marks{began: time.Now()}
	m.head[0] = markKind
	rand.Read(m.head[1:])
	return m
}

// now is a mark of this moment.
func (m *marks) now() []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, markBytes), m.head[:]...), uint64(time.Since(m.began)))
}

// read says when a mark was made. One that is of another run, or none, says nothing.
func (m *marks) read(mark []byte) (made time.Time, ok bool) {
	if len(mark) != markBytes || !bytes.HasPrefix(mark, m.head[:]) {
		return time.Time{}, false
	}
	return m.began.Add(time.Duration(binary.BigEndian.Uint64(mark[len(m.head):]))), true
}

// echo is a leader's side: what it sends back to each follower. Raft makes and sends the messages of a term to one follower one after the other,
// heartbeats aside, which carry no commit index. So the mark that was the newest when one message had been sent was there before the next
// was made, and later ones may not have been.
type echo struct {
	mu    sync.Mutex
	term  uint64
	peers map[raft.ServerID]*peerMarks
}

type peerMarks struct {
	newest, next []byte
	answered     time.Time // when the last message that it has answered was sent
}

// of gives the marks of a follower in a term, or nil if the term is over. mu is held.
func (e *echo) of(id raft.ServerID, term uint64) *peerMarks {
	switch {
	case term < e.term:
		return nil
	case term > e.term || e.peers == nil:
		e.term, e.peers = term, map[raft.ServerID]*peerMarks{}
	}
	p := e.peers[id]
	if p == nil {
		p = &peerMarks{}
		e.peers[id] = p
	}
	return p
}

// carry puts a mark into a message. Raft itself puts the leader's address there, which releases before the header needed, and asks others not to.
func carry(m *raft.AppendEntriesRequest, mark []byte) {
	m.Leader = mark //lint:ignore SA1019 there is no other field that raft sends and does not read
}

// carried is what a message has in the place of a mark.
func carried(m *raft.AppendEntriesRequest) []byte {
	return m.Leader //lint:ignore SA1019 see carry
}

// marked is a message with the mark that it carries back.
func (e *echo) marked(id raft.ServerID, m *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.of(id, m.Term); p != nil && p.next != nil && len(m.Addr) > 0 { // else raft takes Leader for the address
		with := *m
		carry(&with, p.next)
		return &with
	}
	return m
}

// heard takes in an answer, with its mark if it has one, to a message of a term that was sent at a time.
func (e *echo) heard(id raft.ServerID, term uint64, sent time.Time, answer *raft.AppendEntriesResponse) {
	if answer.Term > term {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.of(id, term)
	if p == nil {
		return
	}
	if sent.After(p.answered) {
		p.answered = sent
	}
	if len(answer.Addr) == markBytes && answer.Addr[0] == markKind {
		p.newest = bytes.Clone(answer.Addr) // the next answer is read into the same bytes
	}
}

// Confirmed is the last time since which so many of some followers, at least one, have confirmed a term by answers to messages of its leader; zero
// if they never did.
func (s Safe) Confirmed(term uint64, followers []string, many int) time.Time {
	e := s.echo
	e.mu.Lock()
	defer e.mu.Unlock()
	if term != e.term || many > len(followers) {
		return time.Time{}
	}
	times := make([]time.Time, len(followers))
	for i, id := range followers {
		if p := e.peers[raft.ServerID(id)]; p != nil {
			times[i] = p.answered
		}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[many-1]
}

// sent says that a message has been sent, or answered.
func (e *echo) sent(id raft.ServerID, term uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.of(id, term); p != nil {
		p.next = p.newest
	}
}

// AppendEntries sends a message and waits for the answer.
func (s Safe) AppendEntries(id raft.ServerID, target raft.ServerAddress, m *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse) error {
	sent := time.Now()
	if !isHeartbeat(m) {
		defer s.echo.sent(id, m.Term)
		m = s.echo.marked(id, m)
	}
	err := s.NetworkTransport.AppendEntries(id, target, m, answer)
	if err == nil {
		s.echo.heard(id, m.Term, sent, answer)
	}
	return err
}

// AppendEntriesPipeline sends messages without waiting for the answers to those before.
func (s Safe) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := s.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	x := &echoing{AppendPipeline: p, echo: s.echo, id: id, answered: make(chan raft.AppendFuture), ended: make(chan struct{})}
	go x.run()
	return x, nil
}

// echoing is a pipeline with marks.
type echoing struct {
	raft.AppendPipeline
	echo     *echo
	id       raft.ServerID
	answered chan raft.AppendFuture
	ended    chan struct{}
	once     sync.Once
}

func (x *echoing) AppendEntries(m *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	defer x.echo.sent(x.id, m.Term)
	return x.AppendPipeline.AppendEntries(x.echo.marked(x.id, m), answer)
}

// Consumer gives the answers.
func (x *echoing) Consumer() <-chan raft.AppendFuture { return x.answered }

// Close ends the pipeline.
func (x *echoing) Close() error {
	x.once.Do(func() { close(x.ended) })
	return x.AppendPipeline.Close()
}

// run ends with Close.
func (x *echoing) run() {
	for {
		select {
		case f := <-x.AppendPipeline.Consumer():
			if f.Error() == nil {
				x.echo.heard(x.id, f.Request().Term, f.Start(), f.Response())
			}
			select {
			case x.answered <- f:
			case <-x.ended:
				return
			}
		case <-x.ended:
			return
		}
	}
}
