package meta

import (
	"container/heap"
	"maps"
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Role is one version of a role.
type Role struct {
	schema.Role
	Version uint64
}

// administers reports whether by may change roles and what they may do. While there is no role, everybody may.
func (m *Machine) administers(by string) bool {
	role := m.next.roles[by]
	return len(m.next.roles) == 0 || role != nil && role.Superuser
}

// putRole makes a role or replaces it. The first one opens the door for the others and closes it to everybody else: it must be
// able to administer, and from then on there is always one that can.
func (m *Machine) putRole(tx *storage.Tx, c *command.PutRole, r *Result) *Result {
	next := &Role{Role: c.Role, Version: 1}
	old := m.next.roles[next.Name]
	r.Role = old
	if old != nil {
		next.Version = old.Version + 1
	}
	if err := next.Validate(); err != nil {
		return r.refuse(fsm.InvalidOption, "%v", err)
	}
	switch {
	case old == nil && c.IfVersion != 0:
		return r.refuse(fsm.UnknownRole, "role %q does not exist", next.Name)
	case !m.administers(c.By) && !(c.By == next.Name && old != nil && ownChange(&old.Role, &next.Role)):
		return r.refuse(fsm.PermissionDenied, "permission denied to alter role")
	case old != nil && c.IfVersion == 0:
		return r.refuse(fsm.RoleExists, "role %q already exists", next.Name)
	case old != nil && c.IfVersion != old.Version:
		return r.refuse(fsm.Conflict, "role %q has version %d by now, not %d", next.Name, old.Version, c.IfVersion)
	case len(m.next.roles) == 0 && !next.Administers():
		return r.refuse(fsm.InvalidOption, "the first role must be able to administer: it needs SUPERUSER, LOGIN and a PASSWORD without an end")
	case old == nil && len(m.next.roles) >= RolesMax:
		return r.refuse(fsm.Quota, "there are %d roles, which is the limit", RolesMax)
	case old != nil && old.Administers() && !next.Administers() && m.administrators() == 1:
		return r.refuse(fsm.InvalidOption, "role %q is the last one that can administer (SUPERUSER, LOGIN and a PASSWORD without an end)", next.Name)
	}
	for _, group := range next.MemberOf {
		if m.next.roles[group] == nil {
			return r.refuse(fsm.UnknownRole, "role %q does not exist", group)
		}
		if group == next.Name || slices.Contains(m.next.memberships(group), next.Name) {
			return r.refuse(fsm.InvalidOption, "role %q is a member of role %q", group, next.Name)
		}
	}
	m.setRole(tx, next, r.Index)
	r.Role = next
	return r
}

// ownChange reports whether b differs from a only in what a role may change of itself: its password and its settings.
func ownChange(a, b *schema.Role) bool {
	return a.Superuser == b.Superuser && a.Login == b.Login && a.ValidUntil == b.ValidUntil && a.ConnectionsMax == b.ConnectionsMax &&
		slices.Equal(a.MemberOf, b.MemberOf) && a.HasPassword() == b.HasPassword()
}

func (m *Machine) administrators() (n int) {
	for _, role := range m.next.roles { // any order: a count
		if role.Administers() {
			n++
		}
	}
	return n
}

func (m *Machine) setRole(tx *storage.Tx, role *Role, index uint64) {
	m.next.roles = with(m.next.roles, role.Name, role)
	putRole(tx, role)
	m.changed(Change{Revision: index, Kind: RoleSet, Name: role.Name})
}

// dropRole ends a role and all that is kept for it.
func (m *Machine) dropRole(tx *storage.Tx, c *command.DropRole, r *Result) *Result {
	old := m.next.roles[c.Name]
	switch {
	case !m.administers(c.By):
		return r.refuse(fsm.PermissionDenied, "permission denied to drop role")
	case old == nil:
		return r.refuse(fsm.UnknownRole, "role %q does not exist", c.Name)
	case c.By == c.Name:
		return r.refuse(fsm.InvalidOption, "current user cannot be dropped")
	case old.Administers() && m.administrators() == 1:
		return r.refuse(fsm.InvalidOption, "role %q is the last one that can administer", c.Name)
	}
	for _, t := range sorted(m.next.tokens) {
		if t.Role == c.Name {
			m.removeToken(tx, t, r.Index)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.next.grants)) {
		m.setGrant(tx, id, c.Name, Grant{}, r.Index)
	}
	for _, member := range sorted(m.next.roles) {
		if at, ok := slices.BinarySearch(member.MemberOf, c.Name); ok {
			next := &Role{Role: *member.Clone(), Version: member.Version + 1}
			next.MemberOf = slices.Delete(next.MemberOf, at, at+1)
			m.setRole(tx, next, r.Index)
		}
	}
	ids := m.next.sessions.ids()
	for _, id := range slices.Concat(ids[0], ids[1]) { // a role that is made later under this name must not go on with them
		if s, _ := m.next.sessions.get(id); s.Principal == c.Name {
			m.end(tx, s, r.Index)
		}
	}
	m.next.roles = without(m.next.roles, c.Name)
	tx.DeleteRow(nameRow(rowRole, c.Name))
	m.changed(Change{Revision: r.Index, Kind: RoleSet, Name: c.Name})
	return r
}

// Grant is what one role, or schema.Public, was granted on one table or on the system.
type Grant struct {
	Held   schema.Privilege
	Option schema.Privilege // of Held, what it may grant on
}

// system stands for the system among the ids of tables, which begin at 1.
const system schema.TableID = 0

func (m *Machine) grant(tx *storage.Tx, c *command.Grant, r *Result) *Result {
	ids, all := c.Tables, schema.TablePrivileges
	if len(ids) == 0 {
		ids, all = []schema.TableID{system}, schema.SystemPrivileges
	}
	if c.Privileges == 0 || !all.Has(c.Privileges) {
		return r.refuse(fsm.InvalidOption, "privileges %#x are not of the kind of object", uint32(c.Privileges))
	}
	for _, id := range ids {
		t := m.next.tables[id]
		switch {
		case id != system && t == nil:
			return r.refuse(fsm.UnknownTable, "there is no table with id %d", id)
		case m.administers(c.By):
		case id == system:
			return r.refuse(fsm.PermissionDenied, "permission denied for the system")
		default:
			if _, option := m.next.Privileges(c.By, id); !option.Has(c.Privileges) {
				return r.refuse(fsm.PermissionDenied, "permission denied for table %s", t.Name.Table)
			}
		}
	}
	for _, name := range c.Roles {
		if name != schema.Public && m.next.roles[name] == nil {
			return r.refuse(fsm.UnknownRole, "role %q does not exist", name)
		}
		if name == schema.Public && c.Option && !c.Revoke {
			return r.refuse(fsm.InvalidOption, "grant options can only be granted to roles")
		}
	}
	if !c.Revoke && m.next.grantCount+len(ids)*len(c.Roles) > GrantsMax {
		return r.refuse(fsm.Quota, "there are %d grants, the limit is %d; grant to a role that others are members of", m.next.grantCount, GrantsMax)
	}
	for _, id := range ids {
		for _, name := range c.Roles {
			m.setGrant(tx, id, name, m.next.grants[id][name].after(c), r.Index)
		}
	}
	return r
}

// after is g as c leaves it.
func (g Grant) after(c *command.Grant) Grant {
	switch {
	case c.Revoke && !c.Option:
		g.Held &^= c.Privileges
		g.Option &^= c.Privileges
	case c.Revoke:
		g.Option &^= c.Privileges
	default:
		g.Held |= c.Privileges
		if c.Option {
			g.Option |= c.Privileges
		}
	}
	return g
}

// setGrant replaces what a role holds on a table; the zero Grant is nothing.
func (m *Machine) setGrant(tx *storage.Tx, id schema.TableID, name string, g Grant, index uint64) {
	old, had := m.next.grants[id][name]
	if old == g {
		return
	}
	of := m.next.grants[id]
	switch {
	case g != Grant{}:
		if of == nil {
			of = map[string]Grant{}
		}
		of = with(of, name, g)
		if !had {
			m.next.grantCount++
		}
		putGrant(tx, id, name, g)
	case had:
		of = without(of, name)
		m.next.grantCount--
		tx.DeleteRow(grantRow(id, name))
	}
	if len(of) == 0 {
		m.next.grants = without(m.next.grants, id)
	} else {
		m.next.grants = with(m.next.grants, id, of)
	}
	m.changed(Change{Revision: index, Kind: GrantSet, TableID: id, Name: name})
}

// moveGrants takes the grants of a table to the id that it goes on under; to = system drops them.
func (m *Machine) moveGrants(tx *storage.Tx, from, to schema.TableID, index uint64) {
	of := m.next.grants[from]
	for _, name := range slices.Sorted(maps.Keys(of)) {
		m.setGrant(tx, from, name, Grant{}, index)
		if to != system {
			m.setGrant(tx, to, name, of[name], index)
		}
	}
}

func (m *Machine) putToken(tx *storage.Tx, c *command.PutToken, r *Result) *Result {
	t := &c.Token
	t.Created = m.clock.Now
	if err := validName(t.Name); err != nil {
		return r.refuse(fsm.InvalidOption, "token: %v", err)
	}
	_, known := m.next.tokenHashes[t.Hash]
	switch {
	case !m.administers(t.By) || len(m.next.roles) == 0:
		return r.refuse(fsm.PermissionDenied, "permission denied to create token")
	case m.next.roles[t.Role] == nil:
		return r.refuse(fsm.UnknownRole, "role %q does not exist", t.Role)
	case m.next.tokens[tokenKey(t.Role, t.Name)] != nil || known:
		return r.refuse(fsm.Exists, "token %q of role %q already exists", t.Name, t.Role)
	case t.Expires != 0 && t.Expires <= m.clock.Now:
		return r.refuse(fsm.InvalidOption, "the token would have ended already")
	case len(m.next.tokens) >= TokensMax:
		return r.refuse(fsm.Quota, "there are %d tokens, which is the limit; drop some", TokensMax)
	}
	m.setToken(t)
	putToken(tx, t)
	m.changed(Change{Revision: r.Index, Kind: TokenSet, Name: t.Role})
	return r
}

// tokenKey names a token. The name of a role has no control characters.
func tokenKey(role, name string) string { return role + "\x00" + name }

func (m *Machine) setToken(t *schema.Token) {
	m.next.tokens = with(m.next.tokens, tokenKey(t.Role, t.Name), t)
	m.next.tokenHashes = with(m.next.tokenHashes, t.Hash, t)
	if t.Expires != 0 {
		heap.Push(&m.ends, ending{at: t.Expires, token: tokenKey(t.Role, t.Name)})
	}
}

func (m *Machine) dropToken(tx *storage.Tx, c *command.DropToken, r *Result) *Result {
	t := m.next.tokens[tokenKey(c.Role, c.Name)]
	switch {
	case !m.administers(c.By):
		return r.refuse(fsm.PermissionDenied, "permission denied to drop token")
	case t == nil:
		return r.refuse(fsm.NotFound, "there is no token %q of role %q", c.Name, c.Role)
	}
	m.removeToken(tx, t, r.Index)
	return r
}

func (m *Machine) removeToken(tx *storage.Tx, t *schema.Token, index uint64) {
	m.next.tokens = without(m.next.tokens, tokenKey(t.Role, t.Name))
	m.next.tokenHashes = without(m.next.tokenHashes, t.Hash)
	tx.DeleteRow(tokenRow(t))
	m.changed(Change{Revision: index, Kind: TokenSet, Name: t.Role})
}

// endToken ends a token whose time is up, unless another one has its name by now.
func (m *Machine) endToken(tx *storage.Tx, e ending, index uint64) {
	if t := m.next.tokens[e.token]; t != nil && t.Expires == e.at {
		m.removeToken(tx, t, index)
	}
}
