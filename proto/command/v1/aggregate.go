package command

import (
	"cmp"
	"math/bits"
	"slices"
)

// aggregate sums the cells of one window: an open-addressing index over dense pairs, so that emptying it touches four bytes
// a slot and sorting moves only live cells.
type aggregate struct {
	start int64
	wide  bool
	dims  int
	slots []uint32 // 1 + position; 0 is empty; a power of two long, at most half full
	shift uint
	pairs []pair   // packed: key and sum
	rows  []uint32 // wide: dims codes a cell; pairs[i].key is then the position i
	spare []pair
}

type pair struct {
	key   uint64
	delta int64
}

// slotsMin is the length of an index that begins. It keeps the memory of the longest it had, and clears only what it uses.
const slotsMin = 64

func (a *aggregate) len() int { return len(a.pairs) }

func (a *aggregate) reset(start int64, wide bool, dims int) {
	a.start, a.wide, a.dims = start, wide, dims
	a.pairs, a.rows = a.pairs[:0], a.rows[:0]
	a.index(slotsMin)
}

// index is an empty index of n slots.
func (a *aggregate) index(n int) {
	if cap(a.slots) < n {
		a.slots = make([]uint32, n)
	} else {
		a.slots = a.slots[:n]
		clear(a.slots)
	}
	a.shift = uint(64 - bits.TrailingZeros(uint(n)))
}

const golden = 0x9e3779b97f4a7c15

// add adds deltas[i] to the cell keys[i]. Whether a cell is new is a coin toss that no processor predicts, so the loop asks
// without a branch: the key stands behind the last pair before it is looked for, and an empty slot leads there.
func (a *aggregate) add(keys []uint64, deltas []int64) {
	a.reserve(len(keys))
	slots, pairs, shift, n := a.slots, a.pairs[:cap(a.pairs)], a.shift, len(a.pairs)
	mask := uint64(len(slots) - 1)
	deltas = deltas[:len(keys)]
	for j, key := range keys {
		pairs[n] = pair{key: key}
		i := key * golden >> shift & mask
		at := place(slots[i], n)
		for pairs[at].key != key {
			i = (i + 1) & mask
			at = place(slots[i], n)
		}
		slots[i] = uint32(at + 1)
		pairs[at].delta += deltas[j]
		if at == n {
			n++
		}
	}
	a.pairs = pairs[:n]
}

// place is the position that a slot names, or empty.
func place(slot uint32, empty int) int {
	at := int(slot) - 1
	if slot == 0 {
		at = empty
	}
	return at
}

// reserve makes room for n more cells in index and pairs.
func (a *aggregate) reserve(n int) {
	n += len(a.pairs)
	if cap(a.pairs) < n {
		a.pairs = slices.Grow(a.pairs, n-len(a.pairs))
	}
	size := len(a.slots)
	for size < 2*n {
		size *= 2
	}
	if size > len(a.slots) {
		a.grow(size)
	}
}

func (a *aggregate) addWide(codes []uint32, delta int64) {
	a.reserve(1)
	mask := uint64(len(a.slots) - 1)
	for i := hashRow(codes) >> a.shift; ; i = (i + 1) & mask {
		at := a.slots[i&mask]
		if at == 0 {
			a.rows = append(a.rows, codes...)
			a.pairs = append(a.pairs, pair{uint64(len(a.pairs)), delta})
			a.slots[i&mask] = uint32(len(a.pairs))
			return
		}
		if slices.Equal(a.row(int(at-1)), codes) {
			a.pairs[at-1].delta += delta
			return
		}
	}
}

func (a *aggregate) row(i int) []uint32 { return a.rows[i*a.dims : (i+1)*a.dims] }

func hashRow(codes []uint32) uint64 {
	h := uint64(len(codes))
	for _, c := range codes {
		h = (bits.RotateLeft64(h, 29) ^ uint64(c)) * golden
	}
	return h * golden
}

// grow enters all cells into an index of size slots.
func (a *aggregate) grow(size int) {
	a.index(size)
	mask := uint64(size - 1)
	for n := range a.pairs {
		h := a.pairs[n].key * golden
		if a.wide {
			h = hashRow(a.row(n))
		}
		i := h >> a.shift
		for a.slots[i&mask] != 0 {
			i++
		}
		a.slots[i&mask] = uint32(n + 1)
	}
}

// sorted orders the cells, after which the index is void. Cells whose sum is 0 are left out.
func (a *aggregate) sorted(width int) []pair {
	a.pairs = slices.DeleteFunc(a.pairs, func(p pair) bool { return p.delta == 0 })
	if a.wide {
		slices.SortFunc(a.pairs, func(x, y pair) int { return compareRows(a.row(int(x.key)), a.row(int(y.key))) })
		return a.pairs
	}
	a.pairs, a.spare = radixSort(a.pairs, a.spare, width)
	return a.pairs
}

// Digits of the radix sort. Few pairs do not pay for clearing and summing the counters of long digits.
const (
	shortDigit = 8
	longDigit  = 11
	longPays   = 4096
	radixPays  = 48
)

// radixSort sorts p by its keys of the given width, least digit first: about 2 ns a pair and digit where a comparison sort
// takes 46 ns a pair. It returns the sorted slice and the other one, for the next call.
func radixSort(p, other []pair, width int) (sorted, spare []pair) {
	if len(p) < radixPays {
		slices.SortFunc(p, func(x, y pair) int { return cmp.Compare(x.key, y.key) })
		return p, other
	}
	if cap(other) < len(p) {
		other = make([]pair, cap(p))
	}
	other = other[:len(p)]
	digit := uint(shortDigit)
	if len(p) >= longPays {
		digit = longDigit
	}
	var count [1 << longDigit]uint32
	for shift := uint(0); shift < uint(width); shift += digit {
		if scatter(other, p, count[:1<<digit], shift) {
			p, other = other, p
		}
	}
	return p, other
}

// scatter sorts src into dst by the digit of the keys at shift, stably. It is false, and dst unchanged, if that digit is the same in all
// keys. count has a place for each value of the digit.
func scatter(dst, src []pair, count []uint32, shift uint) bool {
	clear(count)
	mask := uint64(len(count) - 1)
	for i := range src {
		count[src[i].key>>shift&mask]++
	}
	if int(count[src[0].key>>shift&mask]) == len(src) {
		return false
	}
	sum := uint32(0)
	for i, c := range count {
		count[i], sum = sum, sum+c
	}
	for i := range src {
		d := src[i].key >> shift & mask
		dst[count[d]] = src[i]
		count[d]++
	}
	return true
}
