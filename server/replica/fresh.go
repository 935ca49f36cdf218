package replica

import (
	"slices"
	"time"
)

// Fresh is how far a replica has come, as it knows itself.
type Fresh struct {
	Applied uint64 // index of its state
	Commit  uint64 // the highest index that it knows to be committed
	// Age is how long ago everything committed was in the state, as far as a replica can know. A leader's state is at most as old as the last
	// messages that a majority has answered. A follower that has applied all that it knows to be committed is at most as old as the last word
	// of its leader on what is committed; one that lags behind is as old as the last entry that it has applied, by that entry's stamp.
	Age   time.Duration
	Leads bool
}

// Fresh takes a look.
func (r *Replica) Fresh() Fresh {
	// In this order: what is committed after the look makes the state younger than it says, and never older.
	told, confirmed := r.told(), r.confirmed()
	term := r.raft.CurrentTerm() // of that word, or a later one
	f := Fresh{Commit: r.raft.CommitIndex()}
	applied := r.store.Applied()
	f.Applied = applied.Index
	if _, err := r.Leading(); err == nil {
		if f.Leads, f.Age = true, ageUnknown; !confirmed.IsZero() {
			f.Age = time.Since(confirmed)
		}
		return f
	}
	stamp := r.o.Now()
	if r.o.LogTime != nil {
		stamp = time.UnixMilli(r.o.LogTime())
	}
	f.Age = age(told, byStamp(r.o.Now(), stamp), applied.Term == term, f.Applied >= f.Commit)
	return f
}

// age is how old the state of a follower is. A leader knows what is committed, and tells it, from the first entry of its term on: what it says
// before that leaves out what earlier leaders acknowledged last, so that its word counts only for a state that has an entry of the term.
func age(told time.Time, byStamp time.Duration, ofTerm, all bool) time.Duration {
	switch {
	case told.IsZero() || !ofTerm:
		return byStamp
	case all:
		return time.Since(told)
	}
	return max(time.Since(told), byStamp)
}

const (
	skewMax    = 500 * time.Millisecond    // that clocks which are looked after may differ
	ageUnknown = 10 * 365 * 24 * time.Hour // beyond every bound, and room to add to it
)

// byStamp is how old an entry is by its stamp. One that lies ahead of the own clock was stamped by a clock that runs ahead, up to 5 s beyond the
// others, or the own one is behind: then the stamp does not say.
func byStamp(now, stamp time.Time) time.Duration {
	switch age := now.Sub(stamp); {
	case age >= -skewMax:
		return max(0, age)
	case age >= -aheadMax*time.Millisecond:
		return aheadMax * time.Millisecond
	}
	return ageUnknown
}

// told is a time at which all that was committed then was here, as a leader has said since.
func (r *Replica) told() time.Time {
	if t, ok := r.o.Transport.(interface{ Told() time.Time }); ok {
		return t.Told()
	}
	return time.Time{}
}

// confirmed is a time since which a majority of the voters, with this one if it is one, has confirmed the term in which this replica may lead; zero
// if none did. A leader that was paused, or cut off, does not know that there is another one.
func (r *Replica) confirmed() time.Time {
	t, ok := r.o.Transport.(interface {
		Confirmed(term uint64, followers []string, many int) time.Time
	})
	voters := r.voters()
	others := slices.DeleteFunc(slices.Clone(voters), func(node string) bool { return node == r.o.NodeID })
	many := len(voters)/2 + 1 - (len(voters) - len(others))
	if !ok || many <= 0 {
		return time.Now()
	}
	return t.Confirmed(r.raft.CurrentTerm(), others, many)
}

// Unheard is how long this replica has not heard from a leader; 0 while it leads itself. One that has heard from none since the start counts
// from there.
func (r *Replica) Unheard() time.Duration {
	if _, err := r.Leading(); err == nil {
		return 0
	}
	heard := r.raft.LastContact()
	if heard.IsZero() {
		heard = r.opened
	}
	return time.Since(heard)
}
