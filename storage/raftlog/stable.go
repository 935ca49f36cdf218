package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The keys that raft uses, and the one that this package puts a vote under.
const (
	keyTerm       = "CurrentTerm"
	keyVote       = "quipu/vote" // term (8 bytes) and candidate
	voteTerm      = "LastVoteTerm"
	voteCandidate = "LastVoteCand"
)

// ErrNotFound is a key that was never set. Raft tells it by this text.
var ErrNotFound = errors.New("not found")

// HasVoted reports whether the stable store knows a term or a vote. A group whose configuration names this node as a voter must not
// start if it does not.
func (l *Log) HasVoted() (bool, error) {
	if e := l.failure.Load(); e != nil {
		return false, *e
	}
	_, term := l.stable.get(keyTerm)
	_, vote := l.stable.get(keyVote)
	return term || vote, nil
}

// Set keeps a value, durably once it returns. The candidate of a vote is written together with the term that SetUint64 got before.
func (l *Log) Set(key, value []byte) error {
	name := string(key)
	if name == voteCandidate {
		name, value = keyVote, append(binary.LittleEndian.AppendUint64(nil, l.voteTerm.Load()), value...)
	}
	if e := l.failure.Load(); e != nil {
		return *e
	}
	if err := l.stable.set(name, bytes.Clone(value)); err != nil {
		return l.fail(l.named(err))
	}
	return nil
}

// Get is the value of a key, or ErrNotFound.
func (l *Log) Get(key []byte) ([]byte, error) {
	if string(key) == voteCandidate {
		vote, err := l.number(keyVote)
		if err != nil {
			return nil, err
		}
		return bytes.Clone(vote[8:]), nil
	}
	v, err := l.get(string(key))
	return bytes.Clone(v), err
}

// SetUint64 is Set of a number. The term of a vote waits in memory for the candidate.
func (l *Log) SetUint64(key []byte, value uint64) error {
	if string(key) == voteTerm {
		l.voteTerm.Store(value)
		return nil
	}
	return l.Set(key, binary.LittleEndian.AppendUint64(nil, value))
}

// GetUint64 is Get of a number.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	name := string(key)
	if name == voteTerm {
		name = keyVote
	}
	v, err := l.number(name)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(v), nil
}

// number is a value that begins with eight bytes of a number.
func (l *Log) number(name string) ([]byte, error) {
	v, err := l.get(name)
	if err == nil && len(v) < 8 {
		return nil, l.fail(errors.Join(ErrCorrupt, l.named(errors.New("the value of "+name+" is too short for a number"))))
	}
	return v, err
}

func (l *Log) get(name string) ([]byte, error) {
	if e := l.failure.Load(); e != nil {
		return nil, *e
	}
	v, ok := l.stable.get(name)
	if !ok {
		return nil, ErrNotFound
	}
	return v, nil
}
