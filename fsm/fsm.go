// Package fsm is the contract of Quipu's replicated state machines and the one bridge from it to hashicorp/raft.
//
// A machine is a function of (state, command). Its state lives in a storage.Store; what it keeps beside that is a cache
// which Load makes anew. Time arrives in commands (Clock), nothing else comes from outside, and nothing depends on the
// order of a Go map. A bad command is a result that every replica computes alike; a broken invariant, or a command that
// this release cannot read, panics, and the bridge turns that into a stop of the node: a replica that guesses has diverged.
//
//	bridge, err := fsm.NewBridge(counter.New(), store, fsm.Options{Halt: halt})
//	r, err := raft.NewRaft(config, bridge, log, stable, fsm.NewSnapshots(store), transport)
//	future := r.Apply(data, 0)
//	result := future.Response().(*counter.AddResult)
package fsm

import (
	"errors"
	"time"

	"github.com/quipudb/quipu/storage"
)

// Entry is one command of the log.
type Entry struct {
	Index, Term uint64
	Data        []byte // as proto/command makes it; valid during Apply only
}

// Result is what a machine says of an entry, the same on every replica. It keeps nothing of the entry's Data.
type Result any

// Machine is one kind of replicated state. The bridge calls it from one goroutine at a time.
type Machine interface {
	// Load reads the state anew: at the start, and after a state from elsewhere was installed.
	Load(tx *storage.Tx) error
	// Apply changes the state by one command, or refuses it without trace. It panics if it cannot read the command.
	Apply(tx *storage.Tx, e Entry) Result
	// Settle ends a step of one or more entries: what the machine held back goes to tx, what others may see is published.
	Settle(tx *storage.Tx)
}

// Answers that are not a machine's.
var (
	// ErrHalted is the answer to every entry after the machine stopped. Whether the entry takes effect is unknown.
	ErrHalted = errors.New("fsm: the node has stopped applying its log")
	// ErrSkipped is the answer to an entry that the state already had. Raft does not send any; if it does, somebody should know.
	ErrSkipped = errors.New("fsm: the state already has this entry")
)

// Code says what became of a command. The numbers are stored in sessions and never change their meaning.
type Code uint8

const (
	OK             Code = 0
	SessionExpired Code = 1
	WrongShard     Code = 2
	Stale          Code = 3
	WindowFull     Code = 4
	SchemaChanged  Code = 5
	UnknownTable   Code = 6
	ValueInvalid   Code = 7
	Cardinality    Code = 8
	Overflow       Code = 9
	BelowZero      Code = 10
	Late           Code = 11
	Early          Code = 12
	NotNull        Code = 13
	EntryRefused   Code = 14 // nothing wrong with the part itself: propose it alone
	Conflict       Code = 15
	Exists         Code = 16
	NotFound       Code = 17
	Quota          Code = 18
	KeyReused      Code = 19
	SessionForeign Code = 20
	InvalidOption  Code = 21

	PermissionDenied Code = 32
	UnknownRole      Code = 33
	RoleExists       Code = 34
)

var codeNames = [...]string{
	OK: "OK", SessionExpired: "SESSION_EXPIRED", WrongShard: "WRONG_SHARD", Stale: "STALE", WindowFull: "WINDOW_FULL",
	SchemaChanged: "SCHEMA_CHANGED", UnknownTable: "UNKNOWN_TABLE", ValueInvalid: "VALUE_INVALID", Cardinality: "CARDINALITY",
	Overflow: "OVERFLOW", BelowZero: "BELOW_ZERO", Late: "LATE", Early: "EARLY", NotNull: "NOT_NULL", EntryRefused: "ENTRY_REFUSED",
	Conflict: "CONFLICT", Exists: "EXISTS", NotFound: "NOT_FOUND", Quota: "QUOTA", KeyReused: "KEY_REUSED",
	SessionForeign: "SESSION_FOREIGN", InvalidOption: "INVALID_OPTION", PermissionDenied: "PERMISSION_DENIED",
	UnknownRole: "UNKNOWN_ROLE", RoleExists: "ROLE_EXISTS",
}

// String is the name of the code in server/errcode, which has a row for each except OK and ENTRY_REFUSED.
func (c Code) String() string {
	if int(c) < len(codeNames) && codeNames[c] != "" {
		return codeNames[c]
	}
	return "CODE"
}

// Data reports whether c refuses the data itself, so that the same part can never be accepted later under its stamp.
func (c Code) Data() bool {
	switch c {
	case ValueInvalid, Cardinality, Overflow, BelowZero, Late, Early, NotNull:
		return true
	}
	return false
}

// Refusal is a command that a machine refused.
type Refusal struct {
	Code    Code
	Message string
}

// Error is code and message.
func (r *Refusal) Error() string { return r.Code.String() + ": " + r.Message }

// StepMax is how far one entry moves log time.
const StepMax = time.Hour

// Clock is the log time of a group, in Unix milliseconds: part of the state, moved by stamps alone.
type Clock struct{ Now int64 }

// Advance takes in a stamp: time never goes back, and one entry moves it by StepMax at most, so that one wrong clock does
// little harm. The first stamp of a group sets it. It returns by how much the stamp was ahead; after a gap longer than a
// third of its time to live, whatever expires gets a full time to live again.
func (c *Clock) Advance(stamp int64) (gap int64) {
	switch {
	case stamp <= c.Now:
		return 0
	case c.Now == 0:
		c.Now = stamp
		return 0
	}
	gap = stamp - c.Now
	c.Now += min(gap, StepMax.Milliseconds())
	return gap
}
