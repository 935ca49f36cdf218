package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// formatVersion of a data directory. docs/format/node.md says what it means.
const formatVersion = 2

// otherFormat is the error for a directory of another format than ours.
func otherFormat(path string, format int) error {
	use := "the release that wrote it"
	if format > formatVersion {
		use += ", or a newer one"
	}
	return fmt.Errorf("server: %s says format %d; this program reads format %d and changes nothing (use %s)", path, format, formatVersion, use)
}

// identity is node.json: who the node is and which cluster it belongs to.
type identity struct {
	Format  int    `json:"format"`
	Node    string `json:"node"`
	Cluster string `json:"cluster"` // 32 hexadecimal digits
	Shards  int    `json:"shards"`
	Unborn  bool   `json:"unborn,omitempty"`  // the bootstrap has not ended: groups may be missing, and nothing was ever acknowledged
	Joining bool   `json:"joining,omitempty"` // no cluster has answered yet: cluster and shards are not known
}

const identityFile = "node.json"

// readIdentity gives ok = false for a directory without one: a new node.
func readIdentity(dir string) (id identity, ok bool, err error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return identity{}, false, fmt.Errorf("server: %s is damaged: %w", path, err)
	}
	if id.Format != formatVersion {
		return identity{}, false, otherFormat(path, id.Format)
	}
	if id.Joining && id.Node != "" {
		return id, true, nil
	}
	if id.Node == "" || len(id.Cluster) != 32 || id.Shards < 1 || id.Shards > shardsMax {
		return identity{}, false, fmt.Errorf("server: %s is damaged: node, cluster or shards are missing", path)
	}
	return id, true, nil
}

// newIdentity is that of a new cluster of one node.
func newIdentity(shards int) identity {
	var cluster [16]byte
	rand.Read(cluster[:])
	return identity{Format: formatVersion, Node: newNodeID(), Cluster: hex.EncodeToString(cluster[:]), Shards: shards, Unborn: true}
}

// joiningIdentity is that of a new node that is to join a cluster. It chooses its id itself and keeps it, so that asking twice is harmless.
func joiningIdentity() identity {
	return identity{Format: formatVersion, Node: newNodeID(), Joining: true}
}

func newNodeID() string {
	var node [4]byte
	rand.Read(node[:])
	return "n-" + hex.EncodeToString(node[:])
}

// write makes the identity durable: file, then name, then directory.
func (id identity) write(dir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(dir, identityFile, append(b, '\n'))
}

// writeFile replaces a file of a directory, durably or not at all.
func writeFile(dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock keeps other processes out of the directory until it is closed.
func lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		f.Close()
		return nil, fmt.Errorf("server: data directory %s is in use by process %s; stop it first, or use another directory", dir, strings.TrimSpace(string(holder[:n])))
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
