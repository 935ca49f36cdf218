package raftlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The keys that raft uses, and the one that this package puts a vote under.
var (
	keyTerm = []byte("CurrentTerm")
	keyVote = []byte("quipu/vote")
)

const (
	voteTerm      = "LastVoteTerm"
	voteCandidate = "LastVoteCand"

	notFound = "not found" // raft tells a missing key by this text
)

// ErrNotFound is a key that was never set.
var ErrNotFound = errors.New(notFound)

// Set keeps a value, durably once it returns. The candidate of a vote is written together with the term that SetUint64 got before.
func (l *Log) Set(key, value []byte) error {
	if string(key) == voteCandidate {
		vote := binary.LittleEndian.AppendUint64(nil, l.voteTerm.Load())
		key, value = keyVote, append(vote, value...)
	}
	sealed := binary.LittleEndian.AppendUint32(append([]byte(nil), value...), stableSum(key, value))
	return l.write(func() error { return l.store.Set(key, sealed) })
}

// Get is the value of a key, or ErrNotFound.
func (l *Log) Get(key []byte) ([]byte, error) {
	if string(key) == voteCandidate {
		vote, err := l.vote()
		if err != nil {
			return nil, err
		}
		return vote[8:], nil
	}
	return l.get(key)
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
	get := l.get
	if string(key) == voteTerm {
		get = func([]byte) ([]byte, error) { return l.vote() }
	}
	v, err := get(key)
	if err != nil {
		return 0, err
	}
	if len(v) < 8 {
		return 0, l.fail(l.damagedKey(key))
	}
	return binary.LittleEndian.Uint64(v), nil
}

// vote is the term (8 bytes) and the candidate of the last vote.
func (l *Log) vote() ([]byte, error) {
	v, err := l.get(keyVote)
	if err == nil && len(v) < 8 {
		return nil, l.fail(l.damagedKey(keyVote))
	}
	return v, err
}

func (l *Log) get(key []byte) (value []byte, err error) {
	err = l.read(func() error {
		v, err := l.store.Get(key)
		if err != nil {
			if err.Error() == notFound {
				return ErrNotFound
			}
			return err
		}
		n := len(v) - crc32.Size
		if n < 0 || stableSum(key, v[:n]) != binary.LittleEndian.Uint32(v[n:]) {
			return l.fail(l.damagedKey(key))
		}
		value = v[:n]
		return nil
	})
	return value, err
}

func (l *Log) damagedKey(key []byte) error {
	return errors.Join(ErrCorrupt, l.named(errors.New("value of "+string(key)+" fails its checksum")))
}

func stableSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}
