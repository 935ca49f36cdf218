package counter

import (
	"container/heap"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// Bounds of idempotency keys.
const (
	KeyBytesMax          = 255        // of a key, and of the name of its principal
	KeyResponseMax       = 64 << 10   // bytes of a stored response
	KeyTTLMax            = 30 * dayMS // milliseconds
	KeyTTLDefault        = dayMS
	keyTTLMin            = 60_000
	keysMax              = 1 << 20
	dayMS          int64 = 86_400_000
	// keyTail is how long windows under a key outlive its record. A part names the end of its record, and a shard refuses it
	// from an hour after that on, whether it had a window for it or not: so a window that was dropped is never made again,
	// however the clocks of shards differ.
	keyTail = 3_600_000
)

// keyRecord is an idempotency key on its home shard.
type keyRecord struct {
	id         uint64 // log index of the first KeyBegin
	bodyHash   [32]byte
	mapVersion uint64
	expires    int64 // log time
	ttl        int64
	done       bool
	response   []byte
}

// KeyResult is what became of a KeyBegin or KeyFinish.
type KeyResult struct {
	Index      uint64 // log index of the entry
	Refusal    *fsm.Refusal
	ID         uint64 // the Session of parts under this key
	New        bool   // there was no record: this is the first request
	Done       bool   // Response is the answer of the first request
	Response   []byte
	MapVersion uint64 // the slot map that the first request was split under
	Expires    int64  // the Expires of parts under this key
}

func (m *Machine) keyBegin(tx *storage.Tx, index uint64, c *command.KeyBegin) *KeyResult {
	if len(c.Key) == 0 || len(c.Key) > KeyBytesMax || len(c.Principal) > KeyBytesMax {
		return &KeyResult{Index: index, Refusal: refuse(fsm.InvalidOption, "an idempotency key has 1 to %d bytes, this one has %d", KeyBytesMax, len(c.Key))}
	}
	row := keyRow(c.Principal, c.Key)
	rec := m.keys[string(row)]
	switch {
	case rec != nil && rec.bodyHash != c.BodyHash:
		return &KeyResult{Index: index, Refusal: refuse(fsm.KeyReused, "the key %q was used for another request; it is free again when its record ends", c.Key)}
	case rec == nil && len(m.keys) >= keysMax:
		return &KeyResult{Index: index, Refusal: refuse(fsm.Quota, "the shard remembers %d keys, which is the limit", keysMax)}
	}
	isNew := rec == nil
	if isNew {
		ttl := c.TTL
		if ttl == 0 {
			ttl = KeyTTLDefault
		}
		ttl = min(max(ttl, keyTTLMin), KeyTTLMax)
		rec = &keyRecord{id: index, bodyHash: c.BodyHash, mapVersion: c.MapVersion, ttl: ttl, expires: m.clock.Now + ttl}
		m.keys[string(row)] = rec
		m.deadlines.push(deadline{at: rec.expires, record: string(row)})
		rec.put(tx, row)
	}
	return &KeyResult{Index: index, ID: rec.id, New: isNew, Done: rec.done, Response: rec.response, MapVersion: rec.mapVersion, Expires: rec.expires}
}

func (m *Machine) keyFinish(tx *storage.Tx, c *command.KeyFinish) *KeyResult {
	row := keyRow(c.Principal, c.Key)
	rec := m.keys[string(row)]
	switch {
	case rec == nil || rec.id != c.ID:
		return &KeyResult{Refusal: refuse(fsm.NotFound, "there is no record %d of the key %q: it has ended", c.ID, c.Key)}
	case len(c.Response) > KeyResponseMax:
		return &KeyResult{Refusal: refuse(fsm.InvalidOption, "a response of %d bytes is above the limit of %d", len(c.Response), KeyResponseMax)}
	case !rec.done:
		rec.done, rec.response = true, append([]byte(nil), c.Response...)
		rec.put(tx, row)
	}
	return &KeyResult{ID: rec.id, Done: true, Response: rec.response, MapVersion: rec.mapVersion, Expires: rec.expires}
}

// keyExpiry is when the window of a part may go; 0 for sessions, which meta ends.
func (m *Machine) keyExpiry(p *command.Part) int64 {
	if p.Kind != command.Key {
		return 0
	}
	return p.Expires
}

// partDead reports whether a part without a window comes too late to get one.
func (m *Machine) partDead(p *command.Part) bool {
	if p.Kind == command.Key {
		return p.Expires < m.clock.Now-keyTail
	}
	return m.dead(p.Kind, p.Session)
}

// expireKeys ends records and windows under keys that are due.
func (m *Machine) expireKeys(tx *storage.Tx) {
	for len(m.deadlines) > 0 && m.deadlines[0].due() < m.clock.Now {
		d := heap.Pop(&m.deadlines).(deadline)
		if d.record != "" {
			if rec := m.keys[d.record]; rec != nil && rec.expires == d.at {
				delete(m.keys, d.record)
				tx.DeleteRow([]byte(d.record))
			}
			continue
		}
		m.windowsMu.Lock()
		if w := m.windows[d.window]; w != nil && w.expires == d.at {
			m.drop(tx, d.window, w)
		}
		m.windowsMu.Unlock()
	}
}

// grace gives records and windows under keys a full time to live again after a gap in log time that is longer than a third of
// it: nobody could have used them meanwhile, or a clock was wrong.
func (m *Machine) grace(tx *storage.Tx, gap int64) {
	if gap <= keyTTLMin/3 || len(m.deadlines) == 0 {
		return
	}
	var next deadlines
	for row, rec := range m.keys { // any order: each record for itself
		if gap > rec.ttl/3 {
			rec.expires = max(rec.expires, m.clock.Now+rec.ttl)
			rec.put(tx, []byte(row))
		}
		next = append(next, deadline{at: rec.expires, record: row})
	}
	m.windowsMu.Lock()
	defer m.windowsMu.Unlock()
	for k, w := range m.windows { // any order: each window for itself
		if k.space != keySpace {
			continue
		}
		if gap > KeyTTLDefault/3 {
			w.expires = max(w.expires, m.clock.Now+KeyTTLDefault)
			m.touch(w)
		}
		next = append(next, deadline{at: w.expires, window: k})
	}
	heap.Init(&next)
	m.deadlines = next
}

// deadline is when a record or a window under a key may end. One whose time was moved has another deadline for that.
type deadline struct {
	at     int64
	record string // row of the record; "" for a window
	window windowKey
}

func (d deadline) due() int64 {
	if d.record == "" {
		return d.at + keyTail
	}
	return d.at
}

// deadlines is a heap by due time. Equal times may end in any order: what ends does not depend on it.
type deadlines []deadline

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].due() < h[j].due() }
func (h deadlines) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlines) Push(x any)        { *h = append(*h, x.(deadline)) }
func (h *deadlines) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (h *deadlines) push(d deadline) { heap.Push(h, d) }
