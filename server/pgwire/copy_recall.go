package pgwire

import "hash/maphash"

// recall finds what belongs to a text that was seen before. Texts are equal if their bytes are; hashes only say where to look, and have
// a seed of their own, so that nobody can send texts that all fall together. Its owner empties it when it has grown to its bounds.
type recall[T any] struct {
	seed  maphash.Seed
	slots []recallSlot // a power of two long, at most half full
	items []recallItem[T]
	text  []byte // of all items
}

type recallSlot struct {
	hash uint32
	item uint32 // 1 + place in items; 0: empty
}

type recallItem[T any] struct {
	from, to uint32 // in text
	is       T
}

// recallSlotsMin is the length of an index that begins.
const recallSlotsMin = 256

func newRecall[T any]() recall[T] {
	return recall[T]{seed: maphash.MakeSeed(), slots: make([]recallSlot, recallSlotsMin)}
}

func (r *recall[T]) hash(text []byte) uint32 { return uint32(maphash.Bytes(r.seed, text)) }

// find gives the place of a text among the items, −1 if it is not there.
func (r *recall[T]) find(hash uint32, text []byte) int {
	mask := uint32(len(r.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := r.slots[i]
		if s.item == 0 {
			return -1
		}
		if s.hash == hash {
			if it := &r.items[s.item-1]; string(r.text[it.from:it.to]) == string(text) {
				return int(s.item - 1)
			}
		}
	}
}

// add puts in a text that is not there, and gives its place. It keeps no reference to the text.
func (r *recall[T]) add(hash uint32, text []byte, is T) int {
	if 2*len(r.items) >= len(r.slots) {
		r.grow()
	}
	from := uint32(len(r.text))
	r.text = append(r.text, text...)
	r.items = append(r.items, recallItem[T]{from, from + uint32(len(text)), is})
	r.place(recallSlot{hash, uint32(len(r.items))})
	return len(r.items) - 1
}

func (r *recall[T]) place(s recallSlot) {
	mask := uint32(len(r.slots) - 1)
	i := s.hash & mask
	for r.slots[i].item != 0 {
		i = (i + 1) & mask
	}
	r.slots[i] = s
}

func (r *recall[T]) grow() {
	old := r.slots
	r.slots = make([]recallSlot, 2*len(old))
	for _, s := range old {
		if s.item != 0 {
			r.place(s)
		}
	}
}

// empty forgets everything and keeps the memory.
func (r *recall[T]) empty() {
	clear(r.slots)
	clear(r.items)
	r.items, r.text = r.items[:0], r.text[:0]
}
