package command

import (
	"errors"
	"math/bits"

	"github.com/quipudb/quipu/storage/schema"
)

// PartKind says in which namespace a part's session id counts.
type PartKind byte

const (
	Ordinary PartKind = 1 // a session that lives ten minutes after its last keepalive
	Durable  PartKind = 2 // a session that lives thirty days, for spools and imports
	Key      PartKind = 3 // the record of an Idempotency-Key, on the shard that is the key's home
)

// Part is the stamp of one request's share: the unit of exactly-once and of refusal.
type Part struct {
	Kind       PartKind
	Session    uint64         // session id, or the id of the key's record
	Home       schema.ShardID // the shard that owned the part's slots when the request was split first; never changes on retry
	Seq        uint64         // counted per session, from 1
	AckUpTo    uint64         // every number at or below it has been answered by Home or was never sent to it
	MapVersion uint64         // the slot map that the request was split under
	KeyShard   schema.ShardID // Key only: the shard that issued Session
	Expires    int64          // Key only: when the key's record ends, in the log time of KeyShard, Unix milliseconds
}

// Add adds counts to cells, once for all parts together: equal cells of the parts are summed, so it is applied whole or not
// at all.
type Add struct {
	Timed
	Parts  []Part
	Groups []Group
}

// Group is the cells of one version of one table.
type Group struct {
	Table   schema.TableID
	Version uint64
	Dims    []Codes
	cells   []byte // as on the wire; Scan reads it
}

// Codes is how a group names the values of one dimension: entry code 0 is NULL, 1 to Known are codes that were applied when
// the entry was made, and Known+1+i is New[i].
type Codes struct {
	Known uint32
	New   []string
}

// Max is the highest entry code.
func (c *Codes) Max() uint32 { return c.Known + uint32(len(c.New)) }

// Width is the number of bits that an entry code takes.
func (c *Codes) Width() int { return bits.Len32(c.Max()) }

var (
	errPart     = errors.New("a part has an unknown kind")
	errMeasures = errors.New("a cell has more than one measure: it was written by a newer release")
	errCodes    = errors.New("a dimension has more than 2³²−1 codes")
	errDims     = errors.New("a group has no dimension or more than the limit")
)

func (*Add) Kind() Kind { return KindAdd }

func (p *Part) encode(e *encoder) {
	e.byte(byte(p.Kind))
	e.uint(p.Session)
	e.uint(uint64(p.Home))
	e.uint(p.Seq)
	e.uint(p.AckUpTo)
	e.uint(p.MapVersion)
	if p.Kind == Key {
		e.uint(uint64(p.KeyShard))
		e.int(p.Expires)
	}
}

func (p *Part) decode(d *decoder) {
	*p = Part{Kind: PartKind(d.byte()), Session: d.uint(), Home: schema.ShardID(d.uint32()), Seq: d.uint(), AckUpTo: d.uint(), MapVersion: d.uint()}
	switch p.Kind {
	case Ordinary, Durable:
	case Key:
		p.KeyShard, p.Expires = schema.ShardID(d.uint32()), d.int()
	default:
		d.fail(errPart)
	}
}

func (g *Group) encode(e *encoder) {
	e.uint(uint64(g.Table))
	e.uint(g.Version)
	e.byte(1) // measures of a cell
	e.byte(byte(len(g.Dims)))
	for i := range g.Dims {
		c := &g.Dims[i]
		e.uint(uint64(c.Known))
		e.uint(uint64(len(c.New)))
		for _, v := range c.New {
			e.str(v)
		}
	}
	e.bytes(g.cells)
}

func (g *Group) decode(d *decoder) {
	g.Table, g.Version = schema.TableID(d.uint()), d.uint()
	if d.byte() != 1 {
		d.fail(errMeasures)
	}
	n := int(d.byte())
	if n == 0 || n > schema.DimensionsMax {
		d.fail(errDims)
		return
	}
	g.Dims = resize(g.Dims, n)
	for i := range g.Dims {
		c := &g.Dims[i]
		c.Known = d.uint32()
		count := d.count(1)
		if uint64(c.Known)+uint64(count) > 1<<32-1 {
			d.fail(errCodes)
			count = 0
		}
		c.New = resize(c.New, count)
		for j := range c.New {
			c.New[j] = d.str()
		}
	}
	g.cells = d.bytes()
}

func (a *Add) encode(e *encoder) {
	e.uint(uint64(len(a.Parts)))
	for i := range a.Parts {
		a.Parts[i].encode(e)
	}
	e.uint(uint64(len(a.Groups)))
	for i := range a.Groups {
		a.Groups[i].encode(e)
	}
}

func (a *Add) decode(d *decoder) {
	n := d.count(6)
	if n > PartsMax {
		d.fail(errRange)
		n = 0
	}
	a.Parts = resize(a.Parts, n)
	for i := range a.Parts {
		a.Parts[i].decode(d)
	}
	a.Groups = resize(a.Groups, d.count(7))
	for i := range a.Groups {
		a.Groups[i].decode(d)
	}
}

// resize gives s the length n and keeps what its items hold, so that decoding again into one Add reuses its memory.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make([]T, n-cap(s))...)
}
