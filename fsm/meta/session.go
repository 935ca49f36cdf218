package meta

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// Times to live of sessions after their last keepalive, in log time.
const (
	OrdinaryTTL = 10 * time.Minute
	DurableTTL  = 30 * 24 * time.Hour
)

// principalBytesMax bounds the name of who opens a session.
const principalBytesMax = 255

// Session is a writer's identity.
type Session struct {
	ID        uint64 // log index of its OpenSession
	Principal string
	Durable   bool
}

// TTL is how long the session lives without a keepalive.
func (s Session) TTL() time.Duration {
	if s.Durable {
		return DurableTTL
	}
	return OrdinaryTTL
}

func (s Session) kind() int {
	if s.Durable {
		return 1
	}
	return 0
}

// sessionTable is a set of sessions of which copies are cheap: a change copies one bucket.
type sessionTable struct {
	n       int
	buckets *[sessionBuckets]map[uint64]Session
}

const sessionBuckets = 256

func (t sessionTable) get(id uint64) (Session, bool) {
	if t.buckets == nil {
		return Session{}, false
	}
	s, ok := t.buckets[id%sessionBuckets][id]
	return s, ok
}

// change gives a table in which bucket id%sessionBuckets is its own copy.
func (t sessionTable) change(id uint64) (sessionTable, map[uint64]Session) {
	next := sessionTable{n: t.n, buckets: new([sessionBuckets]map[uint64]Session)}
	if t.buckets != nil {
		*next.buckets = *t.buckets
	}
	b := maps.Clone(next.buckets[id%sessionBuckets])
	if b == nil {
		b = map[uint64]Session{}
	}
	next.buckets[id%sessionBuckets] = b
	return next, b
}

func (t sessionTable) with(s Session) sessionTable {
	next, b := t.change(s.ID)
	b[s.ID] = s
	next.n++
	return next
}

func (t sessionTable) without(id uint64) sessionTable {
	next, b := t.change(id)
	delete(b, id)
	next.n--
	return next
}

// load adds s to a table that nobody else has seen yet.
func (t *sessionTable) load(s Session) {
	if t.buckets == nil {
		t.buckets = new([sessionBuckets]map[uint64]Session)
	}
	b := &t.buckets[s.ID%sessionBuckets]
	if *b == nil {
		*b = map[uint64]Session{}
	}
	(*b)[s.ID] = s
	t.n++
}

// ids are the live ids of each kind in ascending order.
func (t sessionTable) ids() (ids [2][]uint64) {
	if t.buckets == nil {
		return ids
	}
	for _, b := range t.buckets {
		for id, s := range b { // sorted below
			ids[s.kind()] = append(ids[s.kind()], id)
		}
	}
	slices.Sort(ids[0])
	slices.Sort(ids[1])
	return ids
}

func (m *Machine) openSession(tx *storage.Tx, c *command.OpenSession, r *Result) *Result {
	s := Session{ID: r.Index, Principal: c.Principal, Durable: c.Durable}
	switch {
	case len(c.Principal) > principalBytesMax:
		return r.refuse(fsm.InvalidOption, "the name of a principal has at most %d bytes, this one has %d", principalBytesMax, len(c.Principal))
	case m.next.sessions.n >= SessionsMax:
		return r.refuse(fsm.Quota, "%d sessions are open, which is the limit; close some or wait until they end", SessionsMax)
	case c.Durable && m.durables[c.Principal] >= DurableSessionsMax:
		return r.refuse(fsm.Quota, "%q has %d durable sessions, which is the limit; close some", c.Principal, DurableSessionsMax)
	}
	m.next.sessions = m.next.sessions.with(s)
	m.next.issued[s.kind()] = s.ID
	if s.Durable {
		m.durables[s.Principal]++
	}
	m.live(tx, s, m.clock.Now+s.TTL().Milliseconds())
	m.marked = true
	r.Session = s
	return r
}

// live sets when s ends.
func (m *Machine) live(tx *storage.Tx, s Session, deadline int64) {
	_, known := m.deadlines[s.ID]
	m.deadlines[s.ID] = deadline
	if !known { // else the ending that is in the heap finds the new deadline
		heap.Push(&m.ends, ending{at: deadline, session: s.ID})
	}
	putSession(tx, s, deadline)
}

func (m *Machine) keepAlive(tx *storage.Tx, c *command.KeepAlive, r *Result) *Result {
	for _, id := range c.IDs {
		s, ok := m.next.sessions.get(id)
		if !ok {
			r.Ended = append(r.Ended, id)
			continue
		}
		if deadline := m.clock.Now + s.TTL().Milliseconds(); deadline > m.deadlines[id] {
			m.live(tx, s, deadline)
		}
	}
	return r
}

func (m *Machine) closeSession(tx *storage.Tx, c *command.CloseSession, r *Result) *Result {
	s, ok := m.next.sessions.get(c.ID)
	switch {
	case !ok:
		return r.refuse(fsm.SessionExpired, "there is no live session %d", c.ID)
	case s.Principal != c.Principal:
		return r.refuse(fsm.SessionForeign, "session %d belongs to somebody else", c.ID)
	}
	m.end(tx, s, r.Index)
	return r
}

func (m *Machine) end(tx *storage.Tx, s Session, index uint64) {
	m.next.sessions = m.next.sessions.without(s.ID)
	m.next.Ended, m.marked = index, true
	if s.Durable {
		if m.durables[s.Principal]--; m.durables[s.Principal] == 0 {
			delete(m.durables, s.Principal)
		}
	}
	delete(m.deadlines, s.ID)
	tx.DeleteRow(sessionRow(s.ID))
	if n := len(m.changes); n == 0 || m.changes[n-1].Kind != SessionsEnded || m.changes[n-1].Revision != index {
		m.changed(Change{Revision: index, Kind: SessionsEnded})
	}
}

// ending is when a session, a lease or a token may end. What ends later by now gets another ending.
type ending struct {
	at      int64
	session uint64
	lease   string
	fence   uint64 // of the lease: another one under its name has its own ending
	token   string // its tokenKey
}

// endings is a heap by time, then by id and name, so that changes come in one order.
type endings []ending

func (h endings) Len() int { return len(h) }
func (h endings) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if a.session != b.session {
		return a.session < b.session
	}
	if a.lease != b.lease {
		return a.lease < b.lease
	}
	if a.fence != b.fence {
		return a.fence < b.fence
	}
	return a.token < b.token
}
func (h endings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *endings) Push(x any)   { *h = append(*h, x.(ending)) }
func (h *endings) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// expire ends the sessions, leases and tokens whose time is up. Which log index that happens at is part of the log, and what ends is a
// set: the order within one step reaches nobody but the feed, where it is the heap's.
func (m *Machine) expire(tx *storage.Tx, index uint64) {
	for len(m.ends) > 0 && m.ends[0].at < m.clock.Now {
		e := heap.Pop(&m.ends).(ending)
		if e.token != "" {
			m.endToken(tx, e, index)
			continue
		}
		if e.session == 0 {
			m.endLease(tx, e, index)
			continue
		}
		deadline, ok := m.deadlines[e.session]
		if !ok {
			continue
		}
		if deadline >= m.clock.Now {
			heap.Push(&m.ends, ending{at: deadline, session: e.session})
			continue
		}
		s, _ := m.next.sessions.get(e.session)
		m.end(tx, s, index)
	}
}

// grace gives every session and lease a full time to live again after a gap in log time longer than a third of it: nobody
// could keep anything alive meanwhile, or a clock was wrong.
func (m *Machine) grace(tx *storage.Tx, gap int64) {
	if gap > OrdinaryTTL.Milliseconds()/3 {
		ids := m.next.sessions.ids()
		for _, id := range slices.Concat(ids[0], ids[1]) {
			s, _ := m.next.sessions.get(id)
			if ttl := s.TTL().Milliseconds(); gap > ttl/3 && m.deadlines[id] < m.clock.Now+ttl {
				m.live(tx, s, m.clock.Now+ttl)
			}
		}
	}
	for _, l := range sorted(m.next.leases) {
		if gap > l.TTL/3 && l.Deadline < m.clock.Now+l.TTL {
			next := *l
			next.Deadline = m.clock.Now + l.TTL
			m.setLease(tx, &next)
		}
	}
}
