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
	Confirm Proto = 2 // ConfirmTerms, PREPARE and COMMIT
	Forward Proto = 3 // requests for the leader of a group
	Feed    Proto = 4 // the meta group's changes
	Bulk    Proto = 5 // partial results and snapshots
	Admin   Proto = 6
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

// The preamble opens every connection: magic (4), version (1), protocol (1), group (4, little-endian), cluster id (16).
const (
	preambleMagic   = "QPU\x01"
	preambleVersion = 1
	preambleBytes   = 26
)

var (
	errMagic   = errors.New("transport: not a quipu peer")
	errCluster = errors.New("transport: peer of another cluster")
)

type preamble struct {
	proto   Proto
	group   Group
	cluster ClusterID
}

func (p preamble) encode() []byte {
	b := make([]byte, 0, preambleBytes)
	b = append(b, preambleMagic...)
	b = append(b, preambleVersion, byte(p.proto))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.group))
	return append(b, p.cluster[:]...)
}

func readPreamble(r io.Reader) (preamble, error) {
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
	p := preamble{proto: Proto(b[5]), group: Group(binary.LittleEndian.Uint32(b[6:]))}
	copy(p.cluster[:], b[10:])
	return p, nil
}
