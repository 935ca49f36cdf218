package replica

import (
	"io"

	"github.com/quipudb/quipu/fsm"
)

// installsMax is how many states may be installed in a row without an entry of the log after any of them.
const installsMax = 2

// installs watches the states that a leader sends. Raft can keep an entry that conflicts with the last one in a state, so that the log does not
// go on after it and the leader sends another state, for ever (hashicorp/raft#697). The cure is a new replica: the entries of this one's log
// above its state may have been acknowledged and must not be deleted while it votes.
type installs struct {
	*fsm.Bridge
	r *Replica

	// Raft's goroutine owns these.
	count int
	last  uint64 // index of the last one
}

// Restore installs a state.
func (i *installs) Restore(source io.ReadCloser) error {
	before := i.r.store.Applied().Index
	if err := i.Bridge.Restore(source); err != nil {
		return err
	}
	if i.note(before, i.r.store.Applied().Index) && i.r.o.Stuck != nil {
		i.r.log.Warn("states are installed again and again, and the log does not go on", "index", i.last)
		i.r.o.Stuck()
	}
	return nil
}

// note takes in a state that was installed, and says whether there were too many in a row.
func (i *installs) note(before, index uint64) (stuck bool) {
	if before > i.last {
		i.count = 0 // the log went on after the one before
	}
	i.count, i.last = i.count+1, index
	return i.count > installsMax
}
