package pgwire

import "bytes"

// lines takes rows out of the data of a COPY and counts those that stood there before by their bytes alone: a row of a database of counts
// is rarely the first of its kind. The others go to the reader of the format, which is the only one that looks into them.
//
// Where a row begins, its bytes up to the first line break decide what it is, unless the break is within quotes or behind a backslash. So a
// line is remembered only when the reader took it for a whole row, and the same bytes are the same row wherever a row begins.
type lines struct {
	format rowReader
	binary bool // rows are not ended by line breaks
	b      *rowBatch
	most   int // lines that are remembered

	known  recall[line]
	values []*seenValue // of the lines' dimensions, as many a line as b has; nil is NULL
	batch  uint32       // number of what is gathered: a new one with every batch, and for each window that rows fall into by the clock
	open   []uint32     // places of known lines that have a row in it

	// The guard: where hardly a line comes again, looking for it is dearer than reading it.
	found, missed int
	rest          int // rows that are read without a look
	restNext      int
}

// line is what is known of one.
type line struct {
	batch uint32 // in which it has a row
	row   uint32
	more  uint32 // times that it came beyond the first one there
	count int64
	when  int64 // it happened, in Unix milliseconds; 0: when it comes
}

// rowReader reads the rows of a format.
type rowReader interface {
	// one takes the first row of data, or what stands in the place of one, into b. It gives the length, with the end; 0 if it is not complete.
	one(data []byte, last bool, b *rowBatch) (n int, err error)
}

// Bounds of what is remembered of lines.
const (
	linesMax      = 1 << 16
	lineValuesMax = 1 << 19 // of all
	lineBytesMax  = 4 << 20 // of all
	lineLengthMax = 4 << 10 // of one
	lineCountMax  = 1 << 40 // times batchRowsMax, it is an int64
)

// The guard rests when of so many rows fewer than an eighth were known, and each time twice as long.
const (
	guardRows = 1 << 13
	restMin   = 1 << 17
	restMax   = 1 << 20
)

func newLines(f copyFormat, b *rowBatch) *lines {
	l := &lines{binary: f.kind == copyBinary, b: b, known: newRecall[line](), batch: 1, restNext: restMin}
	l.most = min(linesMax, lineValuesMax/max(1, len(b.dims)))
	switch f.kind {
	case copyBinary:
		l.format = &binaryReader{}
	case copyCSV:
		l.format = newCSVReader(f, b.in)
	default:
		l.format = &textReader{f: f}
	}
	b.lines = l
	return l
}

// read takes the complete rows of data, stops when the batch is full, and gives how many bytes it took. last says that nothing follows.
func (l *lines) read(data []byte, last bool) (taken int, err error) {
	for taken < len(data) && !l.b.ended && !l.b.full() {
		var n int
		if l.rest > 0 {
			l.rest--
			n, err = l.format.one(data[taken:], last, l.b)
		} else {
			n, err = l.look(data[taken:], last)
		}
		if n == 0 || err != nil {
			return taken, err
		}
		taken += n
	}
	if l.b.ended {
		return len(data), nil
	}
	return taken, nil
}

// look counts known lines up to the first that is not, and has that one read.
func (l *lines) look(data []byte, last bool) (taken int, err error) {
	b := l.b
	for !b.full() && taken < len(data) {
		n := l.extent(data[taken:])
		text := data[taken : taken+n]
		hash := l.known.hash(text)
		at := -1
		if n > 0 {
			at = l.known.find(hash, text)
		}
		if at < 0 {
			n, err = l.learn(data[taken:], n, hash, last)
			return taken + n, err
		}
		if k := &l.known.items[at].is; k.batch == l.batch {
			k.more++
			b.taken++
		} else {
			l.again(uint32(at))
		}
		l.found++
		b.line++
		taken += n
	}
	return taken, nil
}

// extent is the length of what may be the first row of data; 0 if it has no end yet.
func (l *lines) extent(data []byte) int {
	if l.binary {
		_, n := binaryRow(data)
		return max(n, 0)
	}
	return bytes.IndexByte(data, '\n') + 1
}

// learn has a row read, and remembers its first n bytes if they were all of it.
func (l *lines) learn(data []byte, n int, hash uint32, last bool) (int, error) {
	b := l.b
	before := b.taken
	took, err := l.format.one(data, last, b)
	if took == 0 || err != nil {
		return 0, err
	}
	l.missed++
	l.judge()
	at := b.rows() - 1
	if took != n || n > lineLengthMax || b.taken == before || b.next.Counts[at] > lineCountMax || b.next.Counts[at] < -lineCountMax {
		return took, nil
	}
	if len(l.known.items) >= l.most || len(l.known.text)+n > lineBytesMax {
		l.settle()
		l.known.empty()
		l.values = l.values[:0]
	}
	place := l.known.add(hash, data[:n], line{batch: l.batch, row: uint32(at), count: b.next.Counts[at], when: b.when})
	l.values = append(l.values, b.values...)
	l.open = append(l.open, uint32(place))
	return took, nil
}

// judge lets the look-ups rest if they find too little.
func (l *lines) judge() {
	if l.found+l.missed < guardRows {
		return
	}
	if 7*l.found < l.missed {
		l.rest, l.restNext = l.restNext, min(2*l.restNext, restMax)
	} else {
		l.restNext = restMin
	}
	l.found, l.missed = 0, 0
}

// again gives a line a row that has none among those that are gathered.
func (l *lines) again(place uint32) {
	k, b := &l.known.items[place].is, l.b
	k.batch, k.row, k.more = l.batch, uint32(b.rows()), 0
	b.add(k.count, k.when)
	n := len(b.dims)
	for i, v := range l.values[int(place)*n:][:n] {
		b.put(b.dims[i], v)
	}
	b.end()
	l.open = append(l.open, place)
}

// settle writes down how often the lines came, so that rows of the same lines begin anew.
func (l *lines) settle() {
	b := l.b
	for _, place := range l.open {
		if k := &l.known.items[place].is; k.more > 0 {
			b.repeat(int(k.row), k.more)
		}
	}
	l.open = l.open[:0]
	l.batch++
}
