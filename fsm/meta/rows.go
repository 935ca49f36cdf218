package meta

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/row"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// First bytes of the keys of this machine's rows. docs/format/machines.md describes keys and values. What has a command of its
// own is kept as that command's frame.
const (
	rowClock    = 1
	rowIdentity = 2 // a Bootstrap
	rowTable    = 3 // a SetTable
	rowCutoff   = 4 // a DropWindows
	rowContext  = 5
	rowSession  = 6
	rowMarks    = 7
	rowImport   = 8 // a PutImport, whose IfVersion is the version that it has
	rowNode     = 9 // a PutNode
	rowLease    = 10
	rowState    = 11 // a SetNodeState
	rowReplicas = 12 // a SetReplicas
	rowRequest  = 13
	rowRole     = 16 // a PutRole, whose IfVersion is the version that it has
	rowGrant    = 17
	rowToken    = 18 // a PutToken
)

var errUnknownRow = errors.New("a row of an unknown kind: the state was written by a newer release")

// Load reads the machine's rows. Changes before them are gone from the feed.
func (m *Machine) Load(tx *storage.Tx) error {
	m.clock, m.next = fsm.Clock{}, *emptyView()
	m.deadlines, m.durables, m.ends = map[uint64]int64{}, map[string]int{}, nil
	m.changes, m.moved, m.marked, m.requests = nil, false, false, requests{}
	for k, v := range tx.Rows(nil) {
		if err := m.loadRow(k, v); err != nil {
			return fmt.Errorf("row %x: %w", k, err)
		}
	}
	m.Settle(tx)
	m.feed.reset(tx.Applied().Index)
	return nil
}

func (m *Machine) loadRow(k string, v []byte) error {
	switch k[0] {
	case rowClock:
		r := row.Read(v)
		m.clock.Now = r.Int()
		return r.End()
	case rowMarks:
		r := row.Read(v)
		m.next.issued[0], m.next.issued[1], m.next.Catalog, m.next.Ended = r.Uint(), r.Uint(), r.Uint(), r.Uint()
		return r.End()
	case rowContext:
		return m.loadContext(k, v)
	case rowSession:
		return m.loadSession(k, v)
	case rowLease:
		return m.loadLease(v)
	case rowGrant:
		return m.loadGrant(k, v)
	case rowRequest:
		return m.loadRequest(k, v)
	case rowIdentity, rowTable, rowCutoff, rowImport, rowNode, rowState, rowReplicas, rowRole, rowToken:
		c, err := command.Decode(slices.Clone(v))
		if err != nil {
			return err
		}
		return m.loadFrame(c)
	}
	return errUnknownRow
}

func (m *Machine) loadFrame(c command.Command) error {
	switch c := c.(type) {
	case *command.Bootstrap:
		m.setIdentity(c)
	case *command.SetTable:
		m.next.tables[c.Table.ID], m.next.names[c.Table.Name] = &c.Table, &c.Table
	case *command.DropWindows:
		m.next.cutoffs[c.ID] = c.Before
	case *command.PutImport:
		m.next.imports[c.Import.ID] = &Import{Import: c.Import, Version: c.IfVersion, Principal: c.Principal}
	case *command.PutNode:
		m.next.nodes[c.Node.ID] = &c.Node
	case *command.SetNodeState:
		m.next.states[c.ID] = c.State
	case *command.SetReplicas:
		m.next.replicas[c.Group] = c.Replicas
	case *command.PutRole:
		m.next.roles[c.Role.Name] = &Role{Role: c.Role, Version: c.IfVersion}
	case *command.PutToken:
		t := &c.Token
		m.next.tokens[tokenKey(t.Role, t.Name)], m.next.tokenHashes[t.Hash] = t, t
		if t.Expires != 0 {
			heap.Push(&m.ends, ending{at: t.Expires, token: tokenKey(t.Role, t.Name)})
		}
	default:
		return fmt.Errorf("%w: it holds a %v", row.ErrDamaged, c.Kind())
	}
	return nil
}

// putFrame keeps a command. It fits: it came in a frame of that size or holds less.
func putFrame(tx *storage.Tx, key []byte, c command.Command) {
	b, err := command.Encode(c)
	if err != nil {
		panic(err)
	}
	tx.PutRow(key, b)
}

func tableRow(kind byte, id schema.TableID) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(id))
}

func nameRow(kind byte, name string) []byte { return append([]byte{kind}, name...) }

func putIdentity(tx *storage.Tx, c *command.Bootstrap) { putFrame(tx, []byte{rowIdentity}, c) }

func putTable(tx *storage.Tx, t *schema.Table) {
	putFrame(tx, tableRow(rowTable, t.ID), &command.SetTable{Table: *t})
}

func putCutoff(tx *storage.Tx, id schema.TableID, before int64) {
	putFrame(tx, tableRow(rowCutoff, id), &command.DropWindows{ID: id, Before: before})
}

func putImport(tx *storage.Tx, m *Import) {
	putFrame(tx, nameRow(rowImport, m.ID), &command.PutImport{Principal: m.Principal, Import: m.Import, IfVersion: m.Version})
}

func putNode(tx *storage.Tx, n *command.Node) {
	putFrame(tx, nameRow(rowNode, n.ID), &command.PutNode{Node: *n})
}

func putNodeState(tx *storage.Tx, c *command.SetNodeState) { putFrame(tx, nameRow(rowState, c.ID), c) }

func putReplicas(tx *storage.Tx, c *command.SetReplicas) {
	putFrame(tx, binary.BigEndian.AppendUint64([]byte{rowReplicas}, uint64(c.Group)), c)
}

func putRole(tx *storage.Tx, r *Role) {
	putFrame(tx, nameRow(rowRole, r.Name), &command.PutRole{Role: r.Role, IfVersion: r.Version})
}

func putToken(tx *storage.Tx, t *schema.Token) {
	putFrame(tx, tokenRow(t), &command.PutToken{Token: *t})
}

func tokenRow(t *schema.Token) []byte { return nameRow(rowToken, tokenKey(t.Role, t.Name)) }

func grantRow(id schema.TableID, role string) []byte { return append(tableRow(rowGrant, id), role...) }

func putGrant(tx *storage.Tx, id schema.TableID, role string, g Grant) {
	w := row.Write()
	w.Uint(uint64(g.Held))
	w.Uint(uint64(g.Option))
	tx.PutRow(grantRow(id, role), w)
}

func (m *Machine) loadGrant(k string, v []byte) error {
	if len(k) < 10 {
		return row.ErrDamaged
	}
	r := row.Read(v)
	id, g := schema.TableID(binary.BigEndian.Uint64([]byte(k[1:9]))), Grant{Held: schema.Privilege(r.Uint()), Option: schema.Privilege(r.Uint())}
	if m.next.grants[id] == nil {
		m.next.grants[id] = map[string]Grant{}
	}
	m.next.grants[id][k[9:]] = g
	m.next.grantCount++
	return r.End()
}

func putClock(tx *storage.Tx, c fsm.Clock) {
	w := row.Write()
	w.Int(c.Now)
	tx.PutRow([]byte{rowClock}, w)
}

// putMarks keeps the revisions that no other row tells: of the newest session of each kind, which may have ended, of the last
// change of the catalog, and of the last end of a session.
func putMarks(tx *storage.Tx, v *View) {
	w := row.Write()
	for _, mark := range []uint64{v.issued[0], v.issued[1], v.Catalog, v.Ended} {
		w.Uint(mark)
	}
	tx.PutRow([]byte{rowMarks}, w)
}

// contextRow orders the versions of a record. A name has at most 255 bytes.
func contextRow(name string, version uint64) []byte {
	k := append([]byte{rowContext, byte(len(name))}, name...)
	return binary.BigEndian.AppendUint64(k, version)
}

func putContext(tx *storage.Tx, rec *schema.Record) {
	w := row.Write()
	w.Uint(rec.Revision)
	w.Bool(rec.Deleted)
	w.String(rec.ModifiedBy)
	w.Int(rec.ModifiedAt)
	w.Uint(uint64(len(rec.Values)))
	for _, k := range slices.Sorted(maps.Keys(rec.Values)) {
		w.String(k)
		w.String(rec.Values[k])
	}
	tx.PutRow(contextRow(rec.Name, rec.Version), w)
}

func (m *Machine) loadContext(k string, v []byte) error {
	if len(k) < 10 || len(k) != 10+int(k[1]) {
		return row.ErrDamaged
	}
	r := row.Read(v)
	rec := schema.Record{Name: k[2 : len(k)-8], Version: binary.BigEndian.Uint64([]byte(k[len(k)-8:]))}
	rec.Revision, rec.Deleted, rec.ModifiedBy, rec.ModifiedAt = r.Uint(), r.Bool(), r.String(), r.Int()
	n := r.Count(2)
	if !rec.Deleted {
		rec.Values = make(map[string]string, n)
	}
	for range n {
		name := r.String()
		rec.Values[name] = r.String()
	}
	m.next.contexts[rec.Name] = slices.Insert(m.next.contexts[rec.Name], 0, rec) // rows come by rising version
	return r.End()
}

func sessionRow(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{rowSession}, id) }

func putSession(tx *storage.Tx, s Session, deadline int64) {
	w := row.Write()
	w.Bool(s.Durable)
	w.String(s.Principal)
	w.Int(deadline)
	tx.PutRow(sessionRow(s.ID), w)
}

func (m *Machine) loadSession(k string, v []byte) error {
	if len(k) != 9 {
		return row.ErrDamaged
	}
	r := row.Read(v)
	s := Session{ID: binary.BigEndian.Uint64([]byte(k[1:])), Durable: r.Bool(), Principal: r.String()}
	m.deadlines[s.ID] = r.Int()
	m.next.sessions.load(s)
	if s.Durable {
		m.durables[s.Principal]++
	}
	heap.Push(&m.ends, ending{at: m.deadlines[s.ID], session: s.ID})
	return r.End()
}

func putLease(tx *storage.Tx, l *Lease) {
	w := row.Write()
	w.String(l.Name)
	w.String(l.Holder)
	w.Uint(l.Fence)
	w.Int(l.TTL)
	w.Int(l.Deadline)
	tx.PutRow(nameRow(rowLease, l.Name), w)
}

func (m *Machine) loadLease(v []byte) error {
	r := row.Read(v)
	l := &Lease{Name: r.String(), Holder: r.String(), Fence: r.Uint(), TTL: r.Int(), Deadline: r.Int()}
	m.next.leases[l.Name] = l
	heap.Push(&m.ends, endingOf(l))
	return r.End()
}
