package meta

import (
	"encoding/binary"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/row"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// RequestsKept is how many log entries behind the one that it was first proposed after a Once command still counts, and how many entries long the
// machine remembers what became of it: a late copy of a command is known, or too late. The log's own index is the measure, so that no
// clock has a say, and it bounds the memory. At 4,000 commands a second it is four seconds, in which a node has given up.
const RequestsKept = 1 << 14

// request is what became of a Once command.
type request struct {
	id      [16]byte
	index   uint64       // of the entry that was carried out
	refusal *fsm.Refusal // nil if it was accepted
}

// requests are those of the last RequestsKept entries.
type requests struct {
	byID  map[[16]byte]*request
	order []*request // by index
}

// add is for rising indices.
func (s *requests) add(q *request) {
	if s.byID == nil {
		s.byID = map[[16]byte]*request{}
	}
	s.byID[q.id] = q
	s.order = append(s.order, q)
}

// once carries a command out, unless that has been done.
func (m *Machine) once(tx *storage.Tx, c *command.Once, r *Result) *Result {
	for len(m.requests.order) > 0 && m.requests.order[0].index+RequestsKept < r.Index {
		q := m.requests.order[0]
		m.requests.order = m.requests.order[1:]
		delete(m.requests.byID, q.id)
		tx.DeleteRow(requestRow(q.index))
	}
	if q := m.requests.byID[c.ID]; q != nil {
		return m.again(c.Command, q)
	}
	if c.Since+RequestsKept < r.Index {
		return r.refuse(fsm.Stale, "more than %d commands have gone before this one since it was first proposed, which may be one of them", RequestsKept)
	}
	r = m.run(tx, c.Command, r)
	q := &request{id: c.ID, index: r.Index, refusal: r.Refusal}
	m.requests.add(q)
	putRequest(tx, q)
	return r
}

// again is the answer to a command that was carried out before. What it made may have changed or ended since.
func (m *Machine) again(c command.Command, q *request) *Result {
	r := &Result{Index: q.index, Refusal: q.refusal}
	if q.refusal != nil {
		return r
	}
	switch c := c.(type) {
	case *command.OpenSession:
		r.Session = Session{ID: q.index, Principal: c.Principal, Durable: c.Durable}
	case *command.Lease:
		r.Lease = m.leaseAgain(c, q.index)
	}
	return r
}

// leaseAgain is the lease that a command acquired or renewed, with no time left if it has ended.
func (m *Machine) leaseAgain(c *command.Lease, index uint64) *Lease {
	if c.Op == command.Release {
		return nil
	}
	fence := c.Fence
	if c.Op == command.Acquire {
		fence = index
	}
	if l := m.next.leases[c.Name]; l != nil && l.Fence == fence {
		return l
	}
	return &Lease{Name: c.Name, Holder: c.Holder, Fence: fence, TTL: clampTTL(c.TTL), Deadline: m.clock.Now}
}

func requestRow(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{rowRequest}, index) }

func putRequest(tx *storage.Tx, q *request) {
	w := row.Write()
	w.Raw(q.id[:])
	w.Bool(q.refusal != nil)
	if q.refusal != nil {
		w.Uint(uint64(q.refusal.Code))
		w.String(q.refusal.Message)
	}
	tx.PutRow(requestRow(q.index), w)
}

func (m *Machine) loadRequest(k string, v []byte) error {
	if len(k) != 9 {
		return row.ErrDamaged
	}
	r := row.Read(v)
	q := &request{index: binary.BigEndian.Uint64([]byte(k[1:]))}
	r.Raw(q.id[:])
	if r.Bool() {
		q.refusal = &fsm.Refusal{Code: fsm.Code(r.Uint()), Message: r.String()}
	}
	m.requests.add(q) // rows come by rising index
	return r.End()
}
