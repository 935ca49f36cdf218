package raftlog

import "fmt"

// DeleteRange deletes the entries from first to last, both included: the oldest, the newest, or all. The space of oldest ones comes back
// by whole segments, and after a crash some of them may be there again; that newest ones are deleted is durable once it returns.
func (l *Log) DeleteRange(first, last uint64) error {
	gone, err := l.deleteRange(first, last)
	if err == nil {
		err = l.drop(gone, 0) // appends go on beside it
	}
	if err != nil {
		return l.fail(l.named(err))
	}
	return nil
}

// deleteRange gives the segments that have become useless.
func (l *Log) deleteRange(first, last uint64) ([]*segment, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	oldest, newest, err := l.span()
	switch {
	case err != nil:
		return nil, err
	case oldest == 0 || first > newest || last < oldest || last < first:
		return nil, nil
	case first <= oldest && last >= newest:
		return nil, l.deleteAll(newest)
	case first <= oldest:
		return l.deleteOldest(last), nil
	case last >= newest:
		return nil, l.deleteNewest(first)
	}
	return nil, fmt.Errorf("entries %d to %d are asked to be deleted from the middle of %d to %d", first, last, oldest, newest)
}

// Reset deletes all entries, and keeps term and vote. It is for a log that ends before the durable state begins.
func (l *Log) Reset() error {
	first, last, err := l.span()
	if err != nil {
		return err
	}
	return l.DeleteRange(first, last)
}

// deleteAll puts a segment in place that begins the log anew. That alone makes the others void, all at once.
func (l *Log) deleteAll(last uint64) error {
	l.mu.Lock()
	l.first, l.last, l.recent = 0, 0, recent{}
	l.mu.Unlock()
	_, err := l.begin(last+1, 0, true)
	return err
}

func (l *Log) deleteOldest(last uint64) (gone []*segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = last + 1
	n := 0
	for n+1 < len(l.segments) && l.segments[n+1].first <= l.first {
		n++
	}
	gone, l.segments = l.segments[:n:n], l.segments[n:]
	return gone
}

// deleteNewest puts a segment in place where the rest of the log ends. That alone makes void what stands behind, in one older segment or in
// several.
func (l *Log) deleteNewest(first uint64) error {
	l.mu.Lock()
	l.last = first - 1
	l.recent.cut(first)
	n := len(l.segments)
	for l.segments[n-1].first > first {
		n--
	}
	gone := l.segments[n:]
	l.segments = l.segments[:n:n]
	l.mu.Unlock()
	if _, err := l.begin(first, 0, false); err != nil {
		return err
	}
	return l.drop(gone, 0)
}
