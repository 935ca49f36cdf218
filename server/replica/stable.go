package replica

// stable is the log as raft keeps its term in it. Raft panics when a term cannot be kept, and would take every other node of the process
// with it; the log has halted this node by then. So raft is told that all is well. The term that it goes on with is in memory only, and
// nothing rests on it: a vote is a write of its own, and fails, and so does every entry.
type stable struct{ Log }

const currentTerm = "CurrentTerm" // raft's key

// SetUint64 keeps a number, and says so of a term even when the disk has failed.
func (s stable) SetUint64(key []byte, value uint64) error {
	err := s.Log.SetUint64(key, value)
	if err != nil && string(key) == currentTerm {
		return nil
	}
	return err
}
