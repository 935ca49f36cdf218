// Package command is the language of the Raft logs: what a leader proposes and every replica applies. Logs outlive
// releases, so the format is handwritten, versioned and never changed in place; docs/format/commands.md describes it byte
// by byte, and the golden tests hold it there.
//
// A frame is
//
//	version byte, kind byte, stamp (zigzag varint), payload …, CRC32C of all before it (4 bytes, little endian)
//
// The stamp is the leader's proposal for the group's log time, in Unix milliseconds. A frame is at most SizeMax bytes.
// Decode refuses what it does not know (ErrVersion, ErrKind): a replica that cannot read its log stops, it never skips.
//
//	data, err := command.Encode(&command.OpenSession{Timed: command.Timed{Stamp: now}, Principal: "ann"})
//	cmd, err := command.Decode(data)
//
// The one command that carries counts, Add, has a Builder, because a leader makes it from many requests at once.
package command

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Version is the format that this package writes.
const Version = 1

// Bounds of one entry.
const (
	SizeMax  = 512 << 10 // bytes of one frame
	CellsMax = 64 << 10  // cells of one Add
	PartsMax = 8 << 10   // parts of one Add
)

const frameBytesMin = 2 + 1 + 4

// Errors of Decode. They wrap a sentence that says what was found.
var (
	ErrVersion   = errors.New("unknown command version")
	ErrKind      = errors.New("unknown command kind")
	ErrChecksum  = errors.New("command checksum does not match")
	ErrMalformed = errors.New("malformed command")
	ErrSize      = errors.New("command is too large")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind says which command a frame holds. Numbers are never used again.
type Kind byte

const (
	KindTermStart      Kind = 1
	KindTick           Kind = 2
	KindAdd            Kind = 3
	KindSetTable       Kind = 4
	KindDropTable      Kind = 5
	KindDropWindows    Kind = 6
	KindExpireSessions Kind = 7
	KindKeyBegin       Kind = 8
	KindKeyFinish      Kind = 9
	KindSetSlots       Kind = 10

	KindBootstrap     Kind = 32
	KindOpenSession   Kind = 33
	KindKeepAlive     Kind = 34
	KindCloseSession  Kind = 35
	KindCreateTable   Kind = 36
	KindAlterTable    Kind = 37
	KindTruncateTable Kind = 38
	KindSetContext    Kind = 39
	KindPutImport     Kind = 40
	KindPutNode       Kind = 41
	KindLease         Kind = 42
	KindSetNodeState  Kind = 43
	KindSetReplicas   Kind = 44

	KindPutRole   Kind = 48
	KindDropRole  Kind = 49
	KindGrant     Kind = 50
	KindPutToken  Kind = 51
	KindDropToken Kind = 52

	KindOnce Kind = 56
)

var kindNames = map[Kind]string{
	KindTermStart: "TermStart", KindTick: "Tick", KindAdd: "Add", KindSetTable: "SetTable", KindDropTable: "DropTable",
	KindDropWindows: "DropWindows", KindExpireSessions: "ExpireSessions", KindKeyBegin: "KeyBegin", KindKeyFinish: "KeyFinish",
	KindSetSlots: "SetSlots", KindBootstrap: "Bootstrap", KindOpenSession: "OpenSession", KindKeepAlive: "KeepAlive",
	KindCloseSession: "CloseSession", KindCreateTable: "CreateTable", KindAlterTable: "AlterTable",
	KindTruncateTable: "TruncateTable", KindSetContext: "SetContext", KindPutImport: "PutImport", KindPutNode: "PutNode",
	KindLease: "Lease", KindSetNodeState: "SetNodeState", KindSetReplicas: "SetReplicas",
	KindPutRole: "PutRole", KindDropRole: "DropRole", KindGrant: "Grant", KindPutToken: "PutToken",
	KindDropToken: "DropToken", KindOnce: "Once",
}

// String is the command's name.
func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// Command is one of the pointer types of this package.
type Command interface {
	Kind() Kind
	At() int64       // the stamp
	SetStamp(int64)  // set by the leader just before it proposes
	encode(*encoder) // payload only
	decode(*decoder)
}

// Timed is the stamp that every command carries.
type Timed struct {
	Stamp int64 // the leader's log time, Unix milliseconds
}

// At is the stamp.
func (t *Timed) At() int64 { return t.Stamp }

// SetStamp replaces the stamp.
func (t *Timed) SetStamp(millis int64) { t.Stamp = millis }

// Encode makes the frame of c. The only error is ErrSize.
func Encode(c Command) ([]byte, error) {
	e := encoder{b: make([]byte, 0, 64)}
	e.begin(c.Kind(), c.At())
	c.encode(&e)
	if len(e.b)+4 > SizeMax {
		return nil, fmt.Errorf("%w: %v has %d bytes, the limit is %d", ErrSize, c.Kind(), len(e.b)+4, SizeMax)
	}
	return e.finish(), nil
}

// Decode reads a frame. What it returns may share memory with data, which must not change while it is used.
func Decode(data []byte) (Command, error) {
	d, kind, stamp, err := open(data)
	if err != nil {
		return nil, err
	}
	c := blank(kind)
	if c == nil {
		return nil, fmt.Errorf("%w %d: it was written by a newer release", ErrKind, byte(kind))
	}
	c.SetStamp(stamp)
	c.decode(&d)
	if err := d.close(); err != nil {
		return nil, fmt.Errorf("%w: %v: %w", ErrMalformed, kind, err)
	}
	return c, nil
}

// DecodeAdd reads a frame into a, reusing what a holds, if it is an Add; ok is false for any other kind.
func DecodeAdd(data []byte, a *Add) (ok bool, err error) {
	if len(data) < 2 || data[0] != Version || Kind(data[1]) != KindAdd {
		return false, nil
	}
	d, kind, stamp, err := open(data)
	if err != nil {
		return true, err
	}
	a.Stamp = stamp
	a.decode(&d)
	if err := d.close(); err != nil {
		return true, fmt.Errorf("%w: %v: %w", ErrMalformed, kind, err)
	}
	return true, nil
}

// Verify tests version and checksum and says which kind the frame holds, without reading the payload.
func Verify(data []byte) (Kind, error) {
	_, kind, _, err := open(data)
	return kind, err
}

// open tests a frame and gives a decoder of its payload.
func open(data []byte) (d decoder, kind Kind, stamp int64, err error) {
	switch {
	case len(data) < frameBytesMin:
		return d, 0, 0, fmt.Errorf("%w: %d bytes are less than a frame", ErrMalformed, len(data))
	case len(data) > SizeMax:
		return d, 0, 0, fmt.Errorf("%w: %d bytes, the limit is %d", ErrSize, len(data), SizeMax)
	}
	end := len(data) - 4
	// The checksum first: a version byte that was damaged must not read as a newer release. It has this place in every version.
	if got, want := crc32.Checksum(data[:end], castagnoli), binary.LittleEndian.Uint32(data[end:]); got != want {
		return d, 0, 0, fmt.Errorf("%w: the frame says %08x, its bytes give %08x", ErrChecksum, want, got)
	}
	if data[0] != Version {
		return d, 0, 0, fmt.Errorf("%w %d: this release reads version %d", ErrVersion, data[0], Version)
	}
	d.b = data[2:end]
	return d, Kind(data[1]), d.int(), nil
}

func blank(kind Kind) Command {
	switch kind {
	case KindTermStart:
		return &TermStart{}
	case KindTick:
		return &Tick{}
	case KindAdd:
		return &Add{}
	case KindSetTable:
		return &SetTable{}
	case KindDropTable:
		return &DropTable{}
	case KindDropWindows:
		return &DropWindows{}
	case KindExpireSessions:
		return &ExpireSessions{}
	case KindKeyBegin:
		return &KeyBegin{}
	case KindKeyFinish:
		return &KeyFinish{}
	case KindSetSlots:
		return &SetSlots{}
	case KindBootstrap:
		return &Bootstrap{}
	case KindOpenSession:
		return &OpenSession{}
	case KindKeepAlive:
		return &KeepAlive{}
	case KindCloseSession:
		return &CloseSession{}
	case KindCreateTable:
		return &CreateTable{}
	case KindAlterTable:
		return &AlterTable{}
	case KindTruncateTable:
		return &TruncateTable{}
	case KindSetContext:
		return &SetContext{}
	case KindPutImport:
		return &PutImport{}
	case KindPutNode:
		return &PutNode{}
	case KindLease:
		return &Lease{}
	case KindSetNodeState:
		return &SetNodeState{}
	case KindSetReplicas:
		return &SetReplicas{}
	case KindPutRole:
		return &PutRole{}
	case KindDropRole:
		return &DropRole{}
	case KindGrant:
		return &Grant{}
	case KindPutToken:
		return &PutToken{}
	case KindDropToken:
		return &DropToken{}
	case KindOnce:
		return &Once{}
	}
	return nil
}
