// Package placement decides where replicas live and who should lead. It is the controller's head without its hands: a function of what the
// meta leader knows to a short list of actions, each of which is safe by itself, may fail, and is at most one to a group. The controller
// carries them out, looks again and asks again; nothing is remembered between two calls.
//
//	for _, a := range placement.Plan(state, placement.Options{}) {
//		err := carryOut(ctx, a) // an error leaves the group as it was, or not; the next state says
//	}
//
// A replica arrives as a learner, catches up, becomes a voter, and only then is the one that it replaces removed: the number of live voters
// never falls for a repair, a drain or a move. Every move lowers the potential Σ replicas²/weight over the nodes, so that moves end, and a
// state with nothing to do stays one.
package placement

import (
	"fmt"
	"time"
)

// Node is what the controller knows of one.
type Node struct {
	ID      string
	Weight  float64       // capacity relative to others; 0 means 1. Not the load of the moment: a balance that follows it never rests
	Silent  time.Duration // since its last heartbeat
	Steady  time.Duration // that it has been heard from without a gap
	Drain   bool          // an operator wants it empty
	Removed bool          // an operator says that it never comes back
}

// Role of a replica.
type Role uint8

const (
	Learner Role = iota // gets the log and does not vote: a replica that arrives, a standby, a read replica
	Voter
)

// Replica is a group's member on one node.
type Replica struct {
	Node     string
	Role     Role
	CaughtUp bool // as its leader sees it: everything but the last moments of the log
}

// Group is one Raft group as its leader reports it.
type Group struct {
	ID          uint32
	Replicas    []Replica
	Leader      string        // "" if none is known
	Changing    bool          // a membership change or a transfer is under way
	Led         time.Duration // since the last change of leader
	Voters      int           // wanted; 0 means Options.Voters
	Learners    int           // wanted beside them: standbys of the meta group, read replicas of a shard
	FailedNodes []string      // on which an action failed lately: not chosen for new replicas
}

// State is what Plan decides on. Nodes that hold replicas and are not listed are taken for removed.
type State struct {
	Nodes  []Node
	Groups []Group
}

// Options of Plan. Zero values mean the defaults.
type Options struct {
	Voters      int           // of a group that does not say. Default 3
	SilentMax   time.Duration // a node silent for longer is down. Default 15 s: three heartbeats
	ReplaceWait time.Duration // a node down for longer is replaced. Default 10 min
	SteadyMin   time.Duration // a node gets replicas when it has been steady for as long. Default 30 s
	LeadMin     time.Duration // a leader is moved for balance when it has led for as long. Default 30 s
	Fills       int           // replicas that catch up at one time over the whole cluster. Default 4
}

func (o Options) complete() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.SilentMax, 15*time.Second)
	set(&o.ReplaceWait, 10*time.Minute)
	set(&o.SteadyMin, 30*time.Second)
	set(&o.LeadMin, 30*time.Second)
	if o.Voters == 0 {
		o.Voters = 3
	}
	if o.Fills == 0 {
		o.Fills = 4
	}
	return o
}

// Kind of an action.
type Kind uint8

const (
	AddLearner Kind = iota // Node begins to get the group's log
	Promote                // Node, a learner that has caught up, becomes a voter
	Demote                 // Node, a voter too many, becomes a learner
	Remove                 // Node leaves the group; it is not its leader
	Transfer               // Node, a voter that has caught up, is asked to lead
)

var kinds = [...]string{AddLearner: "add learner", Promote: "promote", Demote: "demote", Remove: "remove", Transfer: "transfer to"}

// String is the verb.
func (k Kind) String() string { return kinds[k] }

// Action is one step of one group.
type Action struct {
	Kind  Kind
	Group uint32
	Node  string
	Why   string // for the log and the operator
}

// String is one line.
func (a Action) String() string {
	return fmt.Sprintf("group %d: %v %s: %s", a.Group, a.Kind, a.Node, a.Why)
}

// What the meta group wants: as much of it as the nodes allow. Standbys are voters in waiting: a repair promotes one at once.
const (
	MetaVoters   = 5
	MetaStandbys = 2
)

// target is how many voters to have of those wanted when so many nodes are usable: an even number beyond two costs a copy and tolerates no
// more failures than the odd one below it. Two are worth it for the second copy.
func target(wanted, usable int) int {
	n := min(wanted, usable)
	if n > 2 && n%2 == 0 && n < wanted {
		n--
	}
	return n
}
