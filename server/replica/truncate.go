package replica

import "fmt"

// guarded is the log as raft truncates it. What the state holds was committed, and no leader that the group elected has anything else in its place:
// a log that must be cut below that is another group's by now. It was recovered elsewhere from an older replica, and a replica that followed it
// would have counts that the others have not.
type guarded struct {
	Log
	r *Replica
}

// IsMonotonic says that there are no gaps.
func (guarded) IsMonotonic() bool { return true }

// DeleteRange deletes the oldest entries, which are in the state, or the newest ones, if they are not.
func (g guarded) DeleteRange(low, high uint64) error {
	first, err := g.FirstIndex()
	if err != nil {
		return err
	}
	last, err := g.LastIndex()
	if err != nil {
		return err
	}
	if applied := g.r.store.Applied().Index; low > first && high >= last && low <= applied {
		err := fmt.Errorf("replica: %s has entries of the group up to %d in its state, and the leader has others from %d on: quipu recover was used on an older replica "+
			"than this one, or on two. To keep what is here, end the node that leads for good and use it on this one; to do without, remove this node "+
			"(quipu node remove) and let it join with an empty data directory", g.Path(), applied, low)
		g.r.halt(err)
		return err
	}
	return g.Log.DeleteRange(low, high)
}
