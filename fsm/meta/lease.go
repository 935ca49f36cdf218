package meta

import (
	"container/heap"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// Bounds of a lease's time to live, in milliseconds of log time.
const (
	leaseTTLMin = 1_000
	leaseTTLMax = 24 * 3_600_000
)

// Lease is a name that one holder has for a time. Fence is the log index at which it was acquired: whoever guards something by
// the lease refuses a smaller fence than the largest that it has seen.
type Lease struct {
	Name     string
	Holder   string
	Fence    uint64
	TTL      int64 // milliseconds
	Deadline int64 // log time, Unix milliseconds
}

func (m *Machine) lease(tx *storage.Tx, c *command.Lease, r *Result) *Result {
	if err := validName(c.Name); err != nil {
		return r.refuse(fsm.InvalidOption, "lease: %v", err)
	}
	current := m.next.leases[c.Name] // what ended is not in it
	r.Lease = current
	switch c.Op {
	case command.Acquire:
		return m.acquire(tx, c, current, r)
	case command.Renew:
		if current == nil || current.Fence != c.Fence || current.Holder != c.Holder {
			return r.refuse(fsm.Conflict, "lease %q with fence %d has ended", c.Name, c.Fence)
		}
		next := *current
		next.TTL = clampTTL(c.TTL)
		next.Deadline = max(current.Deadline, m.clock.Now+next.TTL)
		m.setLease(tx, &next)
		r.Lease = &next
	case command.Release:
		if current == nil || current.Fence != c.Fence || current.Holder != c.Holder {
			return r.refuse(fsm.NotFound, "lease %q with fence %d has ended", c.Name, c.Fence)
		}
		m.dropLease(tx, c.Name, r.Index)
		r.Lease = nil
	}
	return r
}

func (m *Machine) acquire(tx *storage.Tx, c *command.Lease, current *Lease, r *Result) *Result {
	if current != nil && current.Holder != c.Holder {
		return r.refuse(fsm.Conflict, "lease %q is held by %q", c.Name, current.Holder)
	}
	if current == nil && len(m.next.leases) >= LeasesMax {
		return r.refuse(fsm.Quota, "%d leases are held, which is the limit", LeasesMax)
	}
	next := &Lease{Name: c.Name, Holder: c.Holder, Fence: r.Index, TTL: clampTTL(c.TTL)}
	next.Deadline = m.clock.Now + next.TTL
	m.setLease(tx, next)
	m.changed(Change{Revision: r.Index, Kind: LeaseSet, Name: c.Name})
	r.Lease = next
	return r
}

func clampTTL(ttl int64) int64 { return min(max(ttl, leaseTTLMin), leaseTTLMax) }

func (m *Machine) setLease(tx *storage.Tx, l *Lease) {
	if old := m.next.leases[l.Name]; old == nil || old.Fence != l.Fence {
		heap.Push(&m.ends, endingOf(l))
	}
	m.next.leases = with(m.next.leases, l.Name, l)
	putLease(tx, l)
}

func (m *Machine) dropLease(tx *storage.Tx, name string, index uint64) {
	m.next.leases = without(m.next.leases, name)
	tx.DeleteRow(nameRow(rowLease, name))
	m.changed(Change{Revision: index, Kind: LeaseSet, Name: name})
}

func endingOf(l *Lease) ending { return ending{at: l.Deadline, lease: l.Name, fence: l.Fence} }

// endLease ends a lease unless it lives longer by now.
func (m *Machine) endLease(tx *storage.Tx, e ending, index uint64) {
	l := m.next.leases[e.lease]
	switch {
	case l == nil || l.Fence != e.fence:
	case l.Deadline >= m.clock.Now:
		heap.Push(&m.ends, endingOf(l))
	default:
		m.dropLease(tx, l.Name, index)
	}
}
