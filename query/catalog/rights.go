package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Directory is the roles and what they may do, as of one instant.
type Directory interface {
	// Roles are all there are, by name. While there is none everybody may do everything.
	Roles() []*schema.Role
	// Granted are the grants on a table, or for id 0 on the system, by role.
	Granted(id schema.TableID) []Grant
	// Privileges are what a role holds on a table or on the system, and what of it it may grant on: with those of its memberships and of
	// everybody. That it is a superuser is not considered.
	Privileges(role string, id schema.TableID) (held, option schema.Privilege)
	// Needs is the privilege on the system that reading a relation of schema quipu takes; 0: none.
	Needs(relation string) schema.Privilege
}

// Grant is what one role, or schema.Public, was granted on one object.
type Grant struct {
	Role         string
	Held, Option schema.Privilege
}

// role is a row of pg_roles.
type role struct {
	*schema.Role
	oid int64
}

// directory is that of the cluster, or nil while everybody may do everything.
func (c *Catalog) directory() Directory {
	if c.asked {
		return c.rights
	}
	c.asked = true
	if c.o.Directory != nil {
		if d := c.o.Directory(); len(d.Roles()) > 0 {
			c.rights = d
		}
	}
	return c.rights
}

// roles are those of the cluster; where there is none, who asks, since that is who may do everything. OIDs lie above 1<<30, but for the
// owner's.
func (c *Catalog) roles() []role {
	if c.listed != nil {
		return c.listed
	}
	known := []*schema.Role{{Name: cmp.Or(c.o.Principal, firstRole), Superuser: true, Login: true, ConnectionsMax: -1}}
	if d := c.directory(); d != nil {
		known = d.Roles()
	}
	owner := owning(known)
	for _, r := range known {
		oid := hashOID("role " + r.Name)
		if r == owner {
			oid = oidOwner
		}
		c.listed = append(c.listed, role{r, oid})
	}
	return c.listed
}

// firstRole is what the first role of a cluster is called if nobody says otherwise.
const firstRole = "quipu"

// owning is the role that stands for the owner of every object: nobody owns tables here, and PostgreSQL's clients want to hear of an owner.
// It is one that can administer, the first one of the cluster where that is still there.
func owning(roles []*schema.Role) *schema.Role {
	first := roles[0]
	for _, r := range roles {
		if r.Administers() && (r.Name == firstRole || !first.Administers()) {
			first = r
		}
	}
	return first
}

// owner is the name of the role that owns everything.
func (c *Catalog) owner() string {
	list := c.roles()
	return list[slices.IndexFunc(list, func(r role) bool { return r.oid == oidOwner })].Name
}

// subject is who a question about privileges is about.
type subject struct {
	name  string // schema.Public: everybody
	super bool   // may do everything
}

// self is who asks.
func (c *Catalog) self() subject {
	if c.directory() == nil {
		return subject{c.o.Principal, true}
	}
	s, _ := c.subject(plan.TextValue(c.o.Principal)) // one that is gone by now has no rights
	return s
}

// subject reads a role that is named or given by its OID. An OID that no role has is nobody, as in PostgreSQL.
func (c *Catalog) subject(v plan.Value) (subject, error) {
	if v.Type == plan.Text && v.Text() == schema.Public || v.Type != plan.Text && v.Int() == 0 {
		return subject{name: schema.Public}, nil
	}
	for _, r := range c.roles() {
		if v.Type == plan.Text && r.Name == v.Text() || v.Type != plan.Text && r.oid == v.Int() {
			return subject{r.Name, r.Superuser}, nil
		}
	}
	switch {
	case v.Type != plan.Text:
		return subject{name: schema.Public}, nil
	case v.Text() == c.o.Principal:
		return c.self(), nil
	}
	return subject{name: schema.Public}, errcode.New(errcode.UnknownRole, "role %q does not exist", v.Text())
}

// memberships are a role and every role that it is a member of, directly or not.
func (c *Catalog) memberships(name string) []string {
	all := []string{name}
	for i := 0; i < len(all); i++ {
		for _, r := range c.roles() {
			for _, group := range r.MemberOf {
				if r.Name == all[i] && !slices.Contains(all, group) {
					all = append(all, group)
				}
			}
		}
	}
	return all
}

// enabled says whether s has the rights of a role.
func (c *Catalog) enabled(s subject, name string) bool {
	return s.super || slices.Contains(c.memberships(s.name), name)
}

// possible is what anybody can hold on r.
func (r *relation) possible() schema.Privilege {
	if r.table != nil {
		return schema.TablePrivileges
	}
	return schema.Select
}

// privileges are what s holds on a relation, and what of it s may grant on.
func (c *Catalog) privileges(s subject, r *relation) (held, option schema.Privilege) {
	d := c.directory()
	switch {
	case s.super:
		return r.possible(), r.possible()
	case d == nil:
		return 0, 0
	case r.table != nil:
		return d.Privileges(s.name, r.table.ID)
	}
	if c.system(s).Has(c.needs(r)) {
		return schema.Select, 0
	}
	return 0, 0
}

// needs is the privilege on the system that reading r takes.
func (c *Catalog) needs(r *relation) schema.Privilege {
	if d := c.directory(); d != nil && r.namespace == "quipu" {
		return d.Needs("quipu." + r.name)
	}
	return 0
}

// system are the privileges of s on the system.
func (c *Catalog) system(s subject) schema.Privilege {
	if s.super {
		return schema.SystemPrivileges
	}
	if d := c.directory(); d != nil {
		held, _ := d.Privileges(s.name, 0)
		return held
	}
	return 0
}

// grants are those on a relation, the owner's first. There are none while everybody may do everything.
func (c *Catalog) grants(r *relation) []Grant {
	d := c.directory()
	if d == nil {
		return nil
	}
	var others []Grant
	switch needs := c.needs(r); {
	case r.table != nil:
		others = slices.Clone(d.Granted(r.table.ID))
	case needs == 0:
		others = []Grant{{schema.Public, schema.Select, 0}}
	default:
		for _, g := range d.Granted(0) {
			if g.Held.Has(needs) {
				others = append(others, Grant{g.Role, schema.Select, 0})
			}
		}
	}
	others = slices.DeleteFunc(others, func(g Grant) bool { return g.Role == c.owner() })
	return append([]Grant{{c.owner(), r.possible(), r.possible()}}, others...)
}

// aclLetters are PostgreSQL's where it has the privilege, in its order. ALTER and DROP are its owner's alone; the letters are ours.
var aclLetters = []struct {
	letter byte
	p      schema.Privilege
}{{'a', schema.Insert}, {'r', schema.Select}, {'D', schema.Truncate}, {'A', schema.Alter}, {'P', schema.Drop}}

// acl is relacl: who=letters/owner, a star behind what may be granted on. NULL while everybody may do everything.
func (c *Catalog) acl(r *relation) any {
	grants := c.grants(r)
	if grants == nil {
		return nil
	}
	items := make([]string, len(grants))
	for i, g := range grants {
		letters := []byte(nil)
		for _, l := range aclLetters {
			if g.Held.Has(l.p) {
				letters = append(letters, l.letter)
			}
			if g.Held.Has(l.p) && g.Option.Has(l.p) && g.Role != grants[0].Role {
				letters = append(letters, '*')
			}
		}
		items[i] = c.aclItem(g.Role, string(letters))
	}
	return items
}

// schemaACL is nspacl: everybody uses every schema, and who may make tables makes them in public.
func (c *Catalog) schemaACL(name string) any {
	d := c.directory()
	if d == nil {
		return nil
	}
	if name != "public" {
		return []string{c.aclItem(c.owner(), "U"), c.aclItem(schema.Public, "U")}
	}
	items := []string{c.aclItem(c.owner(), "UC"), c.aclItem(schema.Public, "U")}
	for _, g := range d.Granted(0) {
		if g.Held.Has(schema.Create) && g.Role != c.owner() {
			items = append(items, c.aclItem(g.Role, "C"))
		}
	}
	return items
}

func (c *Catalog) aclItem(role, letters string) string {
	if role == schema.Public {
		role = ""
	}
	return aclName(role) + "=" + letters + "/" + aclName(c.owner())
}

// aclName quotes a name as PostgreSQL does in an aclitem.
func aclName(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && !(r >= '0' && r <= '9') && !(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z')
	}) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

func (w *writer) pgRoles() {
	for _, r := range w.c.roles() {
		w.row("oid", r.oid, "rolname", r.Name, "rolsuper", r.Superuser, "rolinherit", true, "rolcreaterole", r.Superuser, "rolcreatedb", false,
			"rolcanlogin", r.Login, "rolreplication", false, "rolconnlimit", r.ConnectionsMax, "rolbypassrls", r.Superuser, "rolpassword", hidden(w.d),
			"rolvaliduntil", r.until())
		if w.d.name == "pg_roles" {
			w.set("rolconfig", r.config())
		}
	}
}

// hidden is what pg_roles shows for a password; pg_authid shows none.
func hidden(d *definition) any {
	if d.name == "pg_roles" {
		return "********"
	}
	return nil
}

// until is when the password ends, or nil.
func (r role) until() any {
	if r.ValidUntil == 0 {
		return nil
	}
	return plan.TimeValue(time.UnixMilli(r.ValidUntil))
}

// config are the settings that sessions begin with, or nil.
func (r role) config() any {
	if len(r.Settings) == 0 {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		out = append(out, name+"="+r.Settings[name])
	}
	return out
}

func (w *writer) pgUser() {
	for _, r := range w.c.roles() {
		if r.Login {
			w.row("usename", r.Name, "usesysid", r.oid, "usecreatedb", false, "usesuper", r.Superuser, "userepl", false, "usebypassrls", r.Superuser,
				"passwd", "********", "valuntil", r.until(), "useconfig", r.config())
		}
	}
}

func (w *writer) pgAuthMembers() {
	byName := map[string]int64{}
	for _, r := range w.c.roles() {
		byName[r.Name] = r.oid
	}
	for _, r := range w.c.roles() {
		for _, of := range r.MemberOf {
			w.row("roleid", byName[of], "member", r.oid, "grantor", oidOwner, "admin_option", false)
		}
	}
}

func (w *writer) pgDBRoleSetting() {
	for _, r := range w.c.roles() {
		if config := r.config(); config != nil {
			w.row("setdatabase", 0, "setrole", r.oid, "setconfig", config)
		}
	}
}

func (w *writer) enabledRoles() {
	for _, r := range w.c.roles() {
		if w.c.enabled(w.c.self(), r.Name) {
			w.row("role_name", r.Name)
		}
	}
}

func (w *writer) applicableRoles() {
	for _, r := range w.c.roles() {
		for _, group := range r.MemberOf {
			if w.c.enabled(w.c.self(), r.Name) {
				w.row("grantee", r.Name, "role_name", group, "is_grantable", "NO")
			}
		}
	}
}

// tablePrivileges are the grants that concern who asks. Those to everybody are not shown among a role's own.
func (w *writer) tablePrivileges() {
	w.eachGrant(func(r *relation, grantee, privilege, grantable string) {
		w.row("grantor", w.c.owner(), "grantee", grantee, "table_catalog", w.c.o.Database, "table_schema", r.namespace, "table_name", r.name,
			"privilege_type", privilege, "is_grantable", grantable, "with_hierarchy", yesNo(privilege == "SELECT"))
	})
}

// columnPrivileges: a privilege on a table is one on each of its columns, where a column can have it.
func (w *writer) columnPrivileges() {
	w.eachGrant(func(r *relation, grantee, privilege, grantable string) {
		if privilege != "SELECT" && privilege != "INSERT" {
			return
		}
		for _, a := range r.attributes {
			w.row("grantor", w.c.owner(), "grantee", grantee, "table_catalog", w.c.o.Database, "table_schema", r.namespace, "table_name", r.name,
				"column_name", a.name, "privilege_type", privilege, "is_grantable", grantable)
		}
	})
}

func (w *writer) eachGrant(add func(r *relation, grantee, privilege, grantable string)) {
	own := strings.HasPrefix(w.d.name, "role_")
	list := w.c.all()
	for i := range list {
		r := &list[i]
		grants := w.c.grants(r)
		if grants == nil {
			grants = []Grant{{w.c.owner(), r.possible(), r.possible()}}
		}
		for _, g := range grants {
			everybody := g.Role == schema.Public
			if everybody && own || !everybody && !w.c.enabled(w.c.self(), g.Role) {
				continue
			}
			name := g.Role
			if everybody {
				name = "PUBLIC"
			}
			for _, l := range aclLetters {
				if g.Held.Has(l.p) {
					add(r, name, l.p.String(), yesNo(g.Option.Has(l.p)))
				}
			}
		}
	}
}

func yesNo(yes bool) string {
	if yes {
		return "YES"
	}
	return "NO"
}
