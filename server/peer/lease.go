package peer

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rounds"
)

// leases are the snapshots that this node holds for others. Each ends with its time, with its release, or with the connection that opened
// it, but not while a fragment runs on it.
type leases struct {
	life time.Duration
	max  int

	mu     sync.Mutex // guards the fields below and those of every lease
	byID   map[uint64]*lease
	next   uint64 // begins at random: a handle of this node's earlier life names nothing
	closed bool
}

type lease struct {
	snap  rounds.Snapshot
	lent  bool // somebody here holds the snapshot, and ends the lease
	ends  time.Time
	timer *time.Timer
	conn  *connection
	users int
}

// connection is one peer's, while it lasts.
type connection struct{ gone bool } // gone is guarded by leases.mu

func newLeases(life time.Duration, limit int) *leases {
	return &leases{life: life, max: limit, byID: map[uint64]*lease{}, next: rand.Uint64() >> 1}
}

// add takes a snapshot in for a connection. If it cannot, it releases the snapshot.
func (l *leases) add(snap rounds.Snapshot, conn *connection) (uint64, error) {
	handle, err := l.enter(&lease{snap: snap, conn: conn})
	if err != nil {
		snap.Release()
	}
	return handle, err
}

// lend gives a snapshot a handle until it is released. The snapshot stays the caller's.
func (l *leases) lend(snap rounds.Snapshot) (uint64, error) {
	return l.enter(&lease{snap: snap, lent: true})
}

func (l *leases) enter(x *lease) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return 0, errcode.New(errcode.Closing, "the node is stopping")
	case x.conn != nil && x.conn.gone:
		return 0, errcode.New(errcode.Unavailable, "the connection was lost")
	case len(l.byID) >= l.max:
		return 0, errcode.New(errcode.Busy, "the node holds %d snapshots for queries of other nodes", l.max).After(l.life / 100)
	}
	l.next++
	handle := l.next
	l.byID[handle] = x
	if !x.lent {
		x.ends, x.timer = time.Now().Add(l.life), time.AfterFunc(l.life, func() { l.expire(handle) })
	}
	return handle, nil
}

// touch gives the lease its whole time again. mu is held.
func (x *lease) touch(life time.Duration) {
	if !x.lent {
		x.ends = time.Now().Add(life)
		x.timer.Reset(life)
	}
}

// expire ends a lease whose time is over.
func (l *leases) expire(handle uint64) {
	l.drop(func(drop func(uint64, *lease)) {
		if x := l.byID[handle]; x != nil && x.users == 0 && !time.Now().Before(x.ends) {
			drop(handle, x)
		}
	})
}

// use gives the snapshot to a fragment, until done is called.
func (l *leases) use(handle uint64) (snap rounds.Snapshot, done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.byID[handle]
	if x == nil {
		return nil, nil, errcode.New(errcode.SnapshotTooOld, "the snapshot of the query is gone: its lease of %v ended, or the connection between the nodes was lost", l.life).
			WithHint("run the query again")
	}
	x.users++
	x.touch(l.life)
	return x.snap, sync.OnceFunc(func() { l.done(handle, x) }), nil
}

func (l *leases) done(handle uint64, x *lease) {
	l.mu.Lock()
	x.users--
	held := l.byID[handle] == x
	if held {
		x.touch(l.life)
	}
	free := x.users == 0 && (!held || x.conn != nil && x.conn.gone)
	if free {
		l.remove(handle, x)
	}
	l.mu.Unlock()
	if free {
		x.free()
	}
}

// free gives the snapshot back, unless it is somebody else's.
func (x *lease) free() {
	if !x.lent {
		x.snap.Release()
	}
}

// remove takes a lease out. mu is held.
func (l *leases) remove(handle uint64, x *lease) {
	if x.timer != nil {
		x.timer.Stop()
	}
	if l.byID[handle] == x {
		delete(l.byID, handle)
	}
}

// renew gives leases their whole time again, and says which are gone.
func (l *leases) renew(handles []uint64) (gone []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range handles {
		if x := l.byID[h]; x != nil {
			x.touch(l.life)
		} else {
			gone = append(gone, h)
		}
	}
	return gone
}

// release ends leases. One that a fragment works on ends with the fragment.
func (l *leases) release(handles []uint64) {
	l.drop(func(drop func(uint64, *lease)) {
		for _, h := range handles {
			if x := l.byID[h]; x != nil {
				drop(h, x)
			}
		}
	})
}

// lost ends the leases of a connection that is no more.
func (l *leases) lost(conn *connection) {
	l.drop(func(drop func(uint64, *lease)) {
		conn.gone = true
		for h, x := range l.byID { // any order: they do not depend on each other
			if x.conn == conn && x.users == 0 {
				drop(h, x)
			}
		}
	})
}

// close ends all.
func (l *leases) close() {
	l.drop(func(drop func(uint64, *lease)) {
		l.closed = true
		for h, x := range l.byID {
			drop(h, x)
		}
	})
}

// drop takes out what pick chooses, and then frees what nobody uses.
func (l *leases) drop(pick func(drop func(uint64, *lease))) {
	var free []*lease
	l.mu.Lock()
	pick(func(h uint64, x *lease) {
		l.remove(h, x)
		if x.users == 0 {
			free = append(free, x)
		}
	})
	l.mu.Unlock()
	for _, x := range free {
		x.free()
	}
}

// len is the number of leases.
func (l *leases) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byID)
}
