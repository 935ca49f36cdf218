package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Privilege is a set of things that a role may do: with one table, or with the system as a whole. The numbers are stored.
type Privilege uint32

// Privileges on a table.
const (
	Select   Privilege = 1 << 0
	Insert   Privilege = 1 << 1 // counts of either sign
	Truncate Privilege = 1 << 2
	Alter    Privilege = 1 << 3
	Drop     Privilege = 1 << 4
)

// Privileges on the system.
const (
	Create        Privilege = 1 << 16 // tables; who makes one has every privilege on it
	Monitor       Privilege = 1 << 17 // state of the node and its metrics
	ReadContexts  Privilege = 1 << 18
	WriteContexts Privilege = 1 << 19
)

// All that can be granted.
const (
	TablePrivileges  = Select | Insert | Truncate | Alter | Drop
	SystemPrivileges = Create | Monitor | ReadContexts | WriteContexts
)

var privilegeNames = []struct {
	p    Privilege
	name string
}{
	{Select, "SELECT"}, {Insert, "INSERT"}, {Truncate, "TRUNCATE"}, {Alter, "ALTER"}, {Drop, "DROP"},
	{Create, "CREATE"}, {Monitor, "MONITOR"}, {ReadContexts, "READ_CONTEXTS"}, {WriteContexts, "WRITE_CONTEXTS"},
}

// PrivilegeByName finds one privilege by its name in any case.
func PrivilegeByName(name string) (Privilege, bool) {
	for _, n := range privilegeNames {
		if strings.EqualFold(n.name, name) {
			return n.p, true
		}
	}
	return 0, false
}

// Names are the names of the privileges in p, in a fixed order.
func (p Privilege) Names() []string {
	var out []string
	for _, n := range privilegeNames {
		if p&n.p != 0 {
			out = append(out, n.name)
		}
	}
	return out
}

// String joins the names.
func (p Privilege) String() string { return strings.Join(p.Names(), ", ") }

// Has reports whether p holds all of q.
func (p Privilege) Has(q Privilege) bool { return p&q == q }

// Public is the name that stands for every role in a grant.
const Public = "public"

// Role is who may connect and be granted something.
type Role struct {
	Name           string
	Superuser      bool // may do everything
	Login          bool
	Verifier       Verifier          // of the password; the zero value: none
	ValidUntil     int64             // of the password, Unix milliseconds; 0: it does not end
	ConnectionsMax int64             // of the PostgreSQL wire on one node; -1: no bound of its own
	Settings       map[string]string // that a session begins with
	MemberOf       []string          // ascending; the role has their privileges too
}

// Bounds of a role.
const (
	RoleNameMax          = 63 // bytes, as PostgreSQL's
	RoleSettingsMax      = 64
	RoleSettingsBytesMax = 16 << 10
	RoleMembershipsMax   = 64
)

// ValidRoleName says what is wrong with a name for a role, or nil.
func ValidRoleName(name string) error {
	switch {
	case name == "" || len(name) > RoleNameMax:
		return fmt.Errorf("the name of a role has 1 to %d bytes, %q has %d", RoleNameMax, name, len(name))
	case !utf8.ValidString(name):
		return errors.New("the name of the role is not valid UTF-8")
	case name == Public || name == "none" || strings.HasPrefix(name, "pg_") || strings.HasPrefix(name, "node/"):
		return fmt.Errorf("role name %q is reserved", name)
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f || c == ':' { // a colon ends the name where name and password travel together (RFC 7617)
			return fmt.Errorf("the name of a role cannot hold %q", c)
		}
	}
	return nil
}

// Validate says what is wrong with r by itself, or nil. Every replica refuses what it refuses.
func (r *Role) Validate() error {
	if err := ValidRoleName(r.Name); err != nil {
		return err
	}
	if r.HasPassword() {
		if err := r.Verifier.Validate(); err != nil {
			return err
		}
	}
	size := 0
	for k, v := range r.Settings { // any order: a sum
		size += len(k) + len(v)
	}
	switch {
	case r.ConnectionsMax < -1 || r.ConnectionsMax > 1<<31:
		return fmt.Errorf("invalid connection limit: %d", r.ConnectionsMax)
	case r.ValidUntil < 0:
		return errors.New("the password would end before 1970")
	case len(r.Settings) > RoleSettingsMax || size > RoleSettingsBytesMax:
		return fmt.Errorf("%d settings of %d bytes are above the limit of %d settings and %d bytes", len(r.Settings), size, RoleSettingsMax, RoleSettingsBytesMax)
	case len(r.MemberOf) > RoleMembershipsMax:
		return fmt.Errorf("a role is a member of at most %d others", RoleMembershipsMax)
	case !slices.IsSorted(r.MemberOf) || len(slices.Compact(slices.Clone(r.MemberOf))) != len(r.MemberOf):
		return errors.New("the roles that a role is a member of are not in order")
	}
	return nil
}

// Clone copies r deeply, but for its verifier, which never changes.
func (r *Role) Clone() *Role {
	c := *r
	c.Settings, c.MemberOf = maps.Clone(r.Settings), slices.Clone(r.MemberOf)
	return &c
}

// HasPassword reports whether r has a password.
func (r *Role) HasPassword() bool { return r.Verifier.Iterations != 0 }

// Administers reports whether r can log in with a password that does not end and do everything: what a cluster always keeps one of.
func (r *Role) Administers() bool {
	return r.Superuser && r.Login && r.HasPassword() && r.ValidUntil == 0
}

// Verifier is what SCRAM-SHA-256 keeps of a password (RFC 5802, RFC 7677). The password cannot be found from it but by trying.
type Verifier struct {
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// Bounds of a verifier: fewer iterations make trying cheap, more make a login a burden.
const (
	IterationsMin = 4096
	IterationsMax = 1_000_000
	saltBytesMin  = 8
	saltBytesMax  = 64
	keyBytes      = 32 // SHA-256
)

// Validate says what is wrong with v, or nil.
func (v *Verifier) Validate() error {
	switch {
	case v.Iterations < IterationsMin || v.Iterations > IterationsMax:
		return fmt.Errorf("a password verifier has %d to %d iterations, not %d", IterationsMin, IterationsMax, v.Iterations)
	case len(v.Salt) < saltBytesMin || len(v.Salt) > saltBytesMax:
		return fmt.Errorf("the salt of a password verifier has %d to %d bytes, not %d", saltBytesMin, saltBytesMax, len(v.Salt))
	case len(v.StoredKey) != keyBytes || len(v.ServerKey) != keyBytes:
		return fmt.Errorf("the keys of a password verifier have %d bytes each", keyBytes)
	}
	return nil
}

// Token lets programs in under the name of a role. Only the hash of its text is kept.
type Token struct {
	Role    string
	Name    string // among the tokens of the role
	Hash    [32]byte
	Created int64  // log time, Unix milliseconds
	Expires int64  // likewise; 0: it does not end
	By      string // who made it
}
