package replica

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/quipudb/quipu/proto/command/v1"
)

// Pending is a part on its way.
type Pending struct {
	p        *Proposer
	part     *Part
	alone    bool // in an entry of its own
	waits    bool // is in p.waiting
	attached bool // shares the attempt of an equal part that was on its way
	attempt  *attempt
	first    attempt // the first that is the part's own
	prep     *prep
}

// attempt is one way through the log, which several equal parts may share.
type attempt struct {
	done chan struct{} // closed when out and err are there
	out  Outcome
	err  error
}

// begin is a new attempt of the part's own. The place for the first one is not used again: who shares that attempt may still have to look at how it
// ended.
func (pd *Pending) begin() *attempt {
	a := &pd.first
	if a.done != nil {
		a = new(attempt)
	}
	a.done = make(chan struct{})
	return a
}

// Wait gives the part's answer. An error that is not an *errcode.Error of the shard's machine leaves the outcome unknown: the
// part may be sent again under the same stamp.
func (pd *Pending) Wait(ctx context.Context) (Outcome, error) {
	defer pd.release()
	for {
		select {
		case <-pd.attempt.done:
		case <-ctx.Done():
			select {
			case <-pd.attempt.done: // both: the answer is worth more, and a part that never came to a proposer has nothing to leave
			default:
				pd.abandon()
				return Outcome{}, ctx.Err()
			}
		}
		if out, ok := pd.Counted(); ok {
			return out, nil
		}
		if !errors.Is(pd.attempt.err, errAgain) {
			return Outcome{}, pd.attempt.err
		}
		pd.alone = true
		pd.p.enqueue(pd)
	}
}

// Refused is a part that never came to a proposer.
func Refused(err error) *Pending {
	pd := &Pending{attempt: &attempt{done: make(chan struct{}), err: err}}
	close(pd.attempt.done)
	return pd
}

// Done is closed when the attempt that the part is in has ended.
func (pd *Pending) Done() <-chan struct{} { return pd.attempt.done }

// Counted gives, after Done, the outcome of a part that was counted: Wait need not be called then. If it says no, Wait gives the answer,
// and may have to propose the part again before.
func (pd *Pending) Counted() (Outcome, bool) {
	if pd.attempt.err != nil {
		return Outcome{}, false
	}
	pd.release()
	out := pd.attempt.out
	out.Duplicate = out.Duplicate || pd.attached
	return out, true
}

// abandon takes a part that still waits out of the queue: its columns go back to the caller. Whoever shares the attempt begins
// one of his own.
func (pd *Pending) abandon() {
	p := pd.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if !pd.waits {
		return
	}
	pd.waits = false
	p.rows -= pd.part.Len
	p.waiting = slices.DeleteFunc(p.waiting, func(o *Pending) bool { return o == pd })
	p.settle(pd, Outcome{}, errAgain)
}

// fail ends an attempt that never came to be proposed.
func (pd *Pending) fail(err error) {
	pd.release()
	if errors.Is(err, errSeen) {
		return
	}
	pd.attempt = &attempt{done: make(chan struct{}), err: err}
	close(pd.attempt.done)
}

// prep is what can be found out about a part without the proposer's lock: the applied codes of the values that its rows use.
type prep struct {
	dict    Dict
	known   []uint32
	remap   [][]uint32 // by dimension and position in its dictionary: applied code, or one of the marks below
	unknown []unknownValue
	codes   [][]uint32
	need    command.Need
}

type unknownValue struct{ dim, position int }

// Marks of a position in remap whose code is not known. Codes stay far below (schema.CardinalityMax).
const (
	unused  = ^uint32(0)     // no row looked yet
	missing = ^uint32(0) - 1 // the value is not in the dictionary
)

var preps = sync.Pool{New: func() any { return new(prep) }}

// zeros are the codes of a column that has one value.
var zeros [1 << 16]uint32

// prepare resolves the values of the part's rows, each once.
func (pd *Pending) prepare() error {
	part := pd.part
	dict, err := pd.p.opts.Dict(part.Table.ID, part.Table.Version)
	if err != nil {
		return err
	}
	r := pd.prep
	if r == nil {
		r = preps.Get().(*prep)
		pd.prep = r
	}
	dims := len(part.Cols)
	r.dict = dict
	r.known, r.remap, r.codes = resize(r.known, dims), resize(r.remap, dims), resize(r.codes, dims)
	r.unknown = r.unknown[:0]
	r.need = command.Need{Rows: part.Len, Sum: part.sum(), Windows: part.windowCount()}
	for d := range part.Cols {
		r.resolve(d, part)
		r.known[d] = dict.Len(d) // after the look-ups: the machine goes on, and a code above known means a value of the entry's own list
	}
	return nil
}

func (r *prep) resolve(d int, part *Part) {
	col := &part.Cols[d]
	remap := resize(r.remap[d], len(col.Values))
	r.remap[d], r.codes[d] = remap, col.Codes
	if col.Codes == nil {
		r.codes[d] = zeros[:]
		if part.Rows == nil { // the builder takes the number of rows from the length of the columns
			r.codes[d] = zeros[:min(part.Len, len(zeros))]
		}
		r.look(d, 0, col, remap)
		return
	}
	if len(col.Values) <= part.Len && r.lookAll(d, col, remap) {
		return
	}
	for i := range remap {
		remap[i] = unused
	}
	if part.Rows == nil {
		for _, c := range col.Codes[:part.Len] {
			if remap[c] == unused {
				r.look(d, c, col, remap)
			}
		}
		return
	}
	for _, row := range part.Rows {
		if c := col.Codes[row]; remap[c] == unused {
			r.look(d, c, col, remap)
		}
	}
}

// lookAll resolves every value of a dictionary that is small beside the rows, without a look at them. It is false, and remap void, if one
// is not applied yet: whether the part uses it decides whether it joins the shard's dictionary.
func (r *prep) lookAll(d int, col *PartColumn, remap []uint32) bool {
	for i := range col.Values {
		v := &col.Values[i]
		if v.Null {
			remap[i] = 0
			continue
		}
		code, ok := r.dict.Lookup(d, v.Text)
		if !ok {
			return false
		}
		remap[i] = code
	}
	return true
}

func (r *prep) look(d int, position uint32, col *PartColumn, remap []uint32) {
	v := col.Values[position]
	if v.Null {
		remap[position] = 0
		return
	}
	if code, ok := r.dict.Lookup(d, v.Text); ok {
		remap[position] = code
		return
	}
	remap[position] = missing
	r.unknown = append(r.unknown, unknownValue{d, int(position)})
	r.need.NewBytes += len(v.Text) + 4
}

var errNoRoom = errors.New("replica: the entry is full")

// addTo adds the part to the entry that b builds, or says errNoRoom. The proposer's lock is held.
func (pd *Pending) addTo(b *command.Builder) error {
	part, r := pd.part, pd.prep
	g := b.Group(part.Table.ID, part.Table.Version, r.known)
	need := r.need
	for d := range r.remap {
		need.NewBytes += r.younger(g, d, part)
	}
	if !g.Room(need) {
		return errNoRoom
	}
	for d := range r.remap {
		if !g.Knows(d, r.known[d]) {
			r.recode(g, d, part)
		}
	}
	for _, u := range r.unknown {
		// The value may live longer than the batch: the entry keeps it until it is encoded.
		value := strings.Clone(part.Cols[u.dim].Values[u.position].Text)
		r.remap[u.dim][u.position] = g.Code(u.dim, value, 0)
	}
	if err := g.AddRows(command.Rows{
		Index: part.Rows, Codes: r.codes, Remap: r.remap, Counts: part.Counts, Windows: part.Windows, Window: part.Window,
	}); err != nil {
		return errNoRoom
	}
	b.Part(part.Stamp)
	return nil
}
