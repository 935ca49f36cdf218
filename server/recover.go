package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/raftlog"
	"github.com/quipudb/quipu/storage/schema"
)

// Remnant is what the directory of a stopped node has of one group. Of the remnants of a group the newest one has the greatest last entry: by
// its term, and where terms are equal by its index. It has every acknowledged entry that any other remnant has.
type Remnant struct {
	Group               string
	Voters, Learners    []string // ids of nodes, by the last configuration in log or state
	LastTerm, LastIndex uint64   // of the last entry
	Durable             uint64   // index of the state beside the log
}

// Remnants are those of a stopped node, the meta group's first, and its id.
func Remnants(dir string) (node string, all []Remnant, err error) {
	err = inStopped(dir, func(id identity, groups []transport.Group) error {
		node = id.Node
		for _, g := range groups {
			l, err := openLeft(dir, g)
			if err != nil {
				return err
			}
			all = append(all, l.Remnant)
			if err := l.close(); err != nil {
				return err
			}
		}
		return nil
	})
	return node, all, err
}

// recoverySkip is how many empty entries a recovered group gets. Indices of the log are names of tables, sessions and keys that are given once:
// those of entries that are lost may be in use elsewhere, and must not be given again.
const recoverySkip = 1 << 16

// recoveryTerms bounds how many terms a recovered group skips.
const recoveryTerms = 1 << 20

// Recover makes a stopped node the only voter of groups that have lost their majority, so that it leads them when it is started. What the
// group had acknowledged beyond the last entry here is lost. No other node may be recovered for the same group, and none of those left out may
// ever be started with the directory that it had.
func Recover(dir string, groups []string) error {
	return inStopped(dir, func(id identity, have []transport.Group) error {
		for _, name := range groups { // all or none, as far as that can be known before
			if !slices.ContainsFunc(have, func(g transport.Group) bool { return g.String() == name }) {
				return fmt.Errorf("server: %s has no replica of group %q", dir, name)
			}
		}
		for _, g := range have {
			if !slices.Contains(groups, g.String()) {
				continue
			}
			if err := recoverGroup(dir, id, g); err != nil {
				return fmt.Errorf("server: recover group %s in %s: %w", g, dir, err)
			}
		}
		return nil
	})
}

// inStopped calls f with the groups of a node that does not run.
func inStopped(dir string, f func(id identity, groups []transport.Group) error) (err error) {
	id, ok, err := readIdentity(dir)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("server: %s is no data directory of a node: it has no %s", dir, identityFile)
	case id.Joining || id.Unborn:
		return fmt.Errorf("server: the node of %s was never a member of a cluster", dir)
	}
	held, err := lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	b, err := readBook(dir)
	if err != nil {
		return err
	}
	groups := []transport.Group{transport.Meta}
	for i := range id.Shards {
		groups = append(groups, shardGroup(i))
	}
	groups = slices.DeleteFunc(groups, func(g transport.Group) bool {
		holds, mayBeEmpty := b.holds(g)
		return !holds || mayBeEmpty
	})
	return f(id, groups)
}

// left is an open Remnant.
type left struct {
	Remnant
	log   *raftlog.Log
	store *storage.Store
	term  uint64 // the last one that the node knew
}

func (l *left) close() error { return errors.Join(l.store.Close(), l.log.Close()) }

// openLeft reads what is left of a group. A directory that is not there is not made.
func openLeft(dir string, g transport.Group) (_ *left, err error) {
	dir = filepath.Join(dir, groupDir(g))
	if _, err := os.Stat(filepath.Join(dir, raftlog.DirName)); err != nil {
		return nil, fmt.Errorf("group %s: %w", g, err)
	}
	l := &left{Remnant: Remnant{Group: g.String()}}
	if l.log, err = raftlog.Open(dir, raftlog.Options{}); err != nil {
		return nil, err
	}
	if l.store, err = storage.Open(storage.Options{Dir: dir, CheckpointEvery: -1}); err != nil {
		return nil, errors.Join(err, l.log.Close())
	}
	if err := l.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("group %s: %w", g, err), l.close())
	}
	return l, nil
}

func groupDir(g transport.Group) string {
	if g == transport.Meta {
		return "meta"
	}
	return shardDir(schema.ShardID(g - 1))
}

// read finds the last entry and the last configuration.
func (l *left) read() (err error) {
	if l.term, err = l.log.GetUint64([]byte("CurrentTerm")); err != nil {
		return err
	}
	durable := l.store.Durable()
	l.Durable, l.LastIndex, l.LastTerm = durable.Index, durable.Index, durable.Term
	c := raft.Configuration{}
	states, err := fsm.NewSnapshots(l.store).List()
	if err != nil {
		return err
	}
	if len(states) > 0 {
		c = states[0].Configuration
	}
	first, err := l.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.log.LastIndex()
	if err != nil {
		return err
	}
	for i := max(first, durable.Index+1); i <= last && first > 0; i++ {
		var e raft.Log
		if err := l.log.GetLog(i, &e); err != nil {
			return err
		}
		if e.Type == raft.LogConfiguration {
			c = raft.DecodeConfiguration(e.Data)
		}
		l.LastIndex, l.LastTerm = e.Index, e.Term
	}
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			l.Voters = append(l.Voters, string(s.ID))
		} else {
			l.Learners = append(l.Learners, string(s.ID))
		}
	}
	return nil
}

// recoverGroup writes a configuration with this node as the only voter behind the last entry: raft goes by the last one in the log, committed or
// not. Then the log is longer than any that was lost.
func recoverGroup(dir string, id identity, g transport.Group) (err error) {
	l, err := openLeft(dir, g)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if !slices.Contains(append(l.Voters, l.Learners...), id.Node) {
		return fmt.Errorf("node %s is not a member: the group has %s", id.Node, strings.Join(append(l.Voters, l.Learners...), ", "))
	}
	if last, err := l.log.LastIndex(); err != nil {
		return err
	} else if last < l.Durable { // all of it lies in the state
		if err := l.log.Reset(); err != nil {
			return err
		}
	}
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(id.Node), Address: raft.ServerAddress(id.Node)}}}
	// A term that nobody has had: what another replica has behind the last entry here, or was recovered itself by mistake, is known by its term
	// to be something else.
	term := max(l.term, l.LastTerm) + 1 + rand.Uint64N(recoveryTerms)
	if err := l.log.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return err
	}
	entries := []*raft.Log{{Index: l.LastIndex + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(alone)}}
	for i := range uint64(recoverySkip) {
		entries = append(entries, &raft.Log{Index: l.LastIndex + 2 + i, Term: term, Type: raft.LogNoop})
	}
	return l.log.StoreLogs(entries)
}
