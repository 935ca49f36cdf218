package transport

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/quipudb/quipu/storage/schema"
)

// Proto is what a connection carries after its preamble.
type Proto byte

// The protocols of the peer port.
const (
	Raft    Proto = 1 // hashicorp/raft's network transport
	Confirm Proto = 2 // PREPARE and COMMIT
	Forward Proto = 3 // requests for the leader of a group
	Feed    Proto = 4 // the meta group's changes
	Bulk    Proto = 5 // partial results and snapshots
	Admin   Proto = 6 // membership: confirmations of terms, members of groups, reports
	Join    Proto = 7 // a node that does not know its cluster yet; the one protocol whose cluster id is not compared
)

// Group names one Raft group on the wire and in logs: the meta group is 0, shard n is n+1.
type Group uint32

// Meta is the group of the catalog, the sessions and the shard map.
const Meta Group = 0

// Shard is the group of the shard id.
func Shard(id schema.ShardID) Group { return Group(id) + 1 }

// String is meta or shard/<n>, which is also the group's path in a data directory (with "shards" for "shard").
func (g Group) String() string {
	if g == Meta {
		return "meta"
	}
	return fmt.Sprintf("shard/%d", uint32(g)-1)
}

// ClusterID is random and made at bootstrap; nodes of different clusters never talk to each other.
type ClusterID [16]byte

// String is 32 hexadecimal digits.
func (c ClusterID) String() string { return hex.EncodeToString(c[:]) }

// ParseClusterID reads what String wrote.
func ParseClusterID(s string) (ClusterID, error) {
	var c ClusterID
	if len(s) != 2*len(c) {
		return c, fmt.Errorf("cluster id %q is not 32 hexadecimal digits", s)
	}
	if _, err := hex.Decode(c[:], []byte(s)); err != nil {
		return c, fmt.Errorf("cluster id %q is not 32 hexadecimal digits", s)
	}
	return c, nil
}

// The preamble opens every connection: magic (4), version (1), protocol (1), group (4, little-endian), cluster id (16), then the id of
// the node that is meant and that of the node that dials, each after its length (1). An empty id names no node.
//
// The node that is meant must be the one that answers: an address may have become another node's, and what that one acknowledged would
// be taken for the word of the first.
const (
	preambleMagic   = "QPU\x01"
	preambleVersion = 2
	preambleBytes   = 26
	nodeBytesMax    = 64
)

var (
	errMagic   = errors.New("transport: not a quipu peer")
	errCluster = errors.New("transport: peer of another cluster")
)

type preamble struct {
	proto    Proto
	group    Group
	cluster  ClusterID
	to, from string
}

func (p preamble) encode() []byte {
	b := make([]byte, 0, preambleBytes+2+len(p.to)+len(p.from))
	b = append(b, preambleMagic...)
	b = append(b, preambleVersion, byte(p.proto))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.group))
	b = append(b, p.cluster[:]...)
	b = append(append(b, byte(len(p.to))), p.to...)
	return append(append(b, byte(len(p.from))), p.from...)
}

func readPreamble(r io.Reader) (p preamble, err error) {
	var b [preambleBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return preamble{}, fmt.Errorf("transport: preamble: %w", err)
	}
	if string(b[:4]) != preambleMagic {
		return preamble{}, errMagic
	}
	if b[4] != preambleVersion {
		return preamble{}, fmt.Errorf("transport: peer speaks version %d of the preamble, this node %d", b[4], preambleVersion)
	}
	p = preamble{proto: Proto(b[5]), group: Group(binary.LittleEndian.Uint32(b[6:]))}
	copy(p.cluster[:], b[10:])
	if p.to, err = readNode(r); err != nil {
		return preamble{}, err
	}
	p.from, err = readNode(r)
	return p, err
}

func readNode(r io.Reader) (string, error) {
	var b [1 + nodeBytesMax]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", fmt.Errorf("transport: preamble: %w", err)
	}
	if b[0] > nodeBytesMax {
		return "", fmt.Errorf("transport: a node id of %d bytes, the limit is %d", b[0], nodeBytesMax)
	}
	if _, err := io.ReadFull(r, b[1:1+b[0]]); err != nil {
		return "", fmt.Errorf("transport: preamble: %w", err)
	}
	return string(b[1 : 1+b[0]]), nil
}
