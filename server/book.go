package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/quipudb/quipu/server/transport"
)

// book is cluster.json: what a node of several must know before its groups tell it. Which groups it is a member of decides what it opens
// at a start, and which of them may be empty; where the other nodes were decides whom it can ask. A directory without the file is that of
// a cluster of one, which has every group.
type book struct {
	dir string

	mu    sync.Mutex // guards the fields below
	known bool       // the file is there
	text  bookText
}

type bookText struct {
	Format int                        `json:"format"`
	Groups map[string]membershipState `json:"groups"` // by the group's name, such as shard/3
	Nodes  map[string]string          `json:"nodes"`  // peer addresses by node id
}

// membershipState says how far a replica has come.
type membershipState string

const (
	fresh  membershipState = "new"    // made, and never known to have heard from its group: it may be empty
	member membershipState = "member" // has a term: empty it would be a voter without memory
)

const bookFile = "cluster.json"

func readBook(dir string) (*book, error) {
	b := &book{dir: dir, text: bookText{Format: formatVersion, Groups: map[string]membershipState{}, Nodes: map[string]string{}}}
	path := filepath.Join(dir, bookFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	b.known = true
	if err := json.Unmarshal(text, &b.text); err != nil {
		return nil, fmt.Errorf("server: %s is damaged: %w", path, err)
	}
	if b.text.Format != formatVersion || b.text.Groups == nil || b.text.Nodes == nil {
		return nil, otherFormat(path, b.text.Format)
	}
	return b, nil
}

// update changes the book and makes it durable, if the change says that there is one.
func (b *book) update(change func(*bookText) bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := bookText{Format: b.text.Format, Groups: maps.Clone(b.text.Groups), Nodes: maps.Clone(b.text.Nodes)}
	if !change(&next) {
		return nil
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(b.dir, bookFile, append(text, '\n')); err != nil {
		return err
	}
	b.text, b.known = next, true
	return nil
}

// complete writes down the groups of a cluster of one, before it becomes one of several.
func (b *book) complete(shards int) error {
	if b.isKnown() {
		return nil
	}
	return b.update(func(t *bookText) bool {
		t.Groups[transport.Meta.String()] = member
		for i := range shards {
			t.Groups[shardGroup(i).String()] = member
		}
		return true
	})
}

func (b *book) isKnown() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

// holds says whether this node is a member of a group, and whether its replica may be empty.
func (b *book) holds(g transport.Group) (holds, mayBeEmpty bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known {
		return true, false
	}
	m, ok := b.text.Groups[g.String()]
	return ok, m == fresh
}

func (b *book) set(g transport.Group, m membershipState) error {
	return b.update(func(t *bookText) bool {
		if t.Groups[g.String()] == m {
			return false
		}
		t.Groups[g.String()] = m
		return true
	})
}

func (b *book) drop(g transport.Group) error {
	return b.update(func(t *bookText) bool {
		_, ok := t.Groups[g.String()]
		delete(t.Groups, g.String())
		return ok
	})
}

// addresses are those of the other nodes, as they were last known.
func (b *book) address(node string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Nodes[node]
}

// nodes are the ids of the nodes in the book.
func (b *book) nodes() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.text.Nodes)
}

// setNodes replaces the addresses.
func (b *book) setNodes(nodes map[string]string) error {
	return b.update(func(t *bookText) bool {
		if maps.Equal(t.Nodes, nodes) {
			return false
		}
		t.Nodes = nodes
		return true
	})
}
