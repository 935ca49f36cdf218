package command

import "fmt"

// Once is a command of the meta group that may be proposed more than once and takes effect at most once: who asks for it and does not learn
// what became of it proposes it again, under the same ID.
type Once struct {
	Timed
	ID      [16]byte // random
	Since   uint64   // a log index that was applied before the first proposal. How far behind it the command still counts is the machine's
	Command Command  // whose stamp does not count
}

func (*Once) Kind() Kind { return KindOnce }

func (c *Once) encode(e *encoder) {
	e.b = append(e.b, c.ID[:]...)
	e.uint(c.Since)
	e.byte(byte(c.Command.Kind()))
	c.Command.encode(e)
}

func (c *Once) decode(d *decoder) {
	d.array(c.ID[:])
	c.Since = d.uint()
	kind := Kind(d.byte())
	if kind == KindOnce {
		d.fail(errRange)
	}
	if c.Command = blank(kind); c.Command == nil {
		d.fail(fmt.Errorf("%w %d", ErrKind, byte(kind)))
		return
	}
	c.Command.decode(d)
}
