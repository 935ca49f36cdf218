package meta

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// View is the state of the meta group at one revision. It and everything reached from it never change.
type View struct {
	Revision    uint64 // log index as of which it is
	LogTime     int64  // Unix milliseconds
	ClusterID   [16]byte
	Incarnation uint64
	Slots       *schema.SlotMap // nil before Bootstrap
	Catalog     uint64          // revision of the last change of the catalog
	Ended       uint64          // revision at which a session last ended

	tables   map[schema.TableID]*schema.Table
	names    map[schema.Name]*schema.Table
	cutoffs  map[schema.TableID]int64
	contexts map[string][]schema.Record // newest first
	imports  map[string]*Import
	nodes    map[string]*command.Node
	states   map[string]command.NodeState // of nodes that are or were not active
	replicas map[uint32][]command.Replica // by group
	leases   map[string]*Lease
	roles    map[string]*Role
	grants   map[schema.TableID]map[string]Grant // by table and role; system for what is not of a table
	tokens   map[string]*schema.Token            // by tokenKey
	sessions sessionTable
	issued   [2]uint64 // newest session id: ordinary, durable

	tokenHashes map[[32]byte]*schema.Token // the same tokens
	grantCount  int
}

func emptyView() *View {
	return &View{
		tables: map[schema.TableID]*schema.Table{}, names: map[schema.Name]*schema.Table{}, cutoffs: map[schema.TableID]int64{},
		contexts: map[string][]schema.Record{}, imports: map[string]*Import{}, nodes: map[string]*command.Node{}, leases: map[string]*Lease{},
		states: map[string]command.NodeState{}, replicas: map[uint32][]command.Replica{},
		roles: map[string]*Role{}, grants: map[schema.TableID]map[string]Grant{}, tokens: map[string]*schema.Token{},
		tokenHashes: map[[32]byte]*schema.Token{},
	}
}

// Cluster is the cluster's id as text, "" before Bootstrap.
func (v *View) Cluster() string {
	if v.Slots == nil {
		return ""
	}
	return hex.EncodeToString(v.ClusterID[:])
}

// Table finds a table by its id.
func (v *View) Table(id schema.TableID) (*schema.Table, bool) {
	t, ok := v.tables[id]
	return t, ok
}

// TableByName finds a table by its full name.
func (v *View) TableByName(name schema.Name) (*schema.Table, bool) {
	t, ok := v.names[name]
	return t, ok
}

// Tables are all tables, by id.
func (v *View) Tables() []*schema.Table {
	all := make([]*schema.Table, 0, len(v.tables))
	for _, id := range slices.Sorted(maps.Keys(v.tables)) {
		all = append(all, v.tables[id])
	}
	return all
}

// Cutoff is the start of the oldest window of a table that is kept, if retention has dropped any.
func (v *View) Cutoff(id schema.TableID) (before int64, ok bool) {
	before, ok = v.cutoffs[id]
	return before, ok
}

// Context is the newest version of a metadata record, which may be deleted.
func (v *View) Context(name string) (schema.Record, bool) {
	h := v.contexts[name]
	if len(h) == 0 {
		return schema.Record{}, false
	}
	return h[0], true
}

// History is the versions of a metadata record that are kept, newest first.
func (v *View) History(name string) []schema.Record { return v.contexts[name] }

// Contexts are the newest versions of all records whose name begins with prefix and which are not deleted, by name.
func (v *View) Contexts(prefix string) []schema.Record {
	var all []schema.Record
	for _, name := range slices.Sorted(maps.Keys(v.contexts)) {
		if h := v.contexts[name]; strings.HasPrefix(name, prefix) && !h[0].Deleted {
			all = append(all, h[0])
		}
	}
	return all
}

// Session finds a live session.
func (v *View) Session(id uint64) (Session, bool) { return v.sessions.get(id) }

// Sessions is the number of live sessions.
func (v *View) Sessions() int { return v.sessions.n }

// Import finds the record of an import.
func (v *View) Import(id string) (*Import, bool) {
	m, ok := v.imports[id]
	return m, ok
}

// Imports are the records of all imports, by id.
func (v *View) Imports() []*Import { return sorted(v.imports) }

// Nodes are the records of all nodes, by id.
func (v *View) Nodes() []*command.Node { return sorted(v.nodes) }

// Node finds the record of a node.
func (v *View) Node(id string) (*command.Node, bool) {
	n, ok := v.nodes[id]
	return n, ok
}

// NodeState is what is wanted of a node.
func (v *View) NodeState(id string) command.NodeState { return v.states[id] }

// Replicas are the members of a group as they were last recorded: 0 is the meta group, n + 1 is shard n.
func (v *View) Replicas(group uint32) []command.Replica { return v.replicas[group] }

// Lease finds a lease. It is held only while its Deadline is not before LogTime.
func (v *View) Lease(name string) (*Lease, bool) {
	l, ok := v.leases[name]
	return l, ok
}

// Leases are those whose name begins with prefix, by name.
func (v *View) Leases(prefix string) []*Lease {
	var all []*Lease
	for _, name := range slices.Sorted(maps.Keys(v.leases)) {
		if strings.HasPrefix(name, prefix) {
			all = append(all, v.leases[name])
		}
	}
	return all
}

// Role finds a role.
func (v *View) Role(name string) (*Role, bool) {
	r, ok := v.roles[name]
	return r, ok
}

// Roles are all roles, by name.
func (v *View) Roles() []*Role { return sorted(v.roles) }

// Closed reports whether a role exists: from then on callers must prove who they are.
func (v *View) Closed() bool { return len(v.roles) > 0 }

// Token finds a token by the hash of its text. It is good only while its Expires is 0 or lies ahead.
func (v *View) Token(hash [32]byte) (*schema.Token, bool) {
	t, ok := v.tokenHashes[hash]
	return t, ok
}

// Tokens are all tokens, by role and name.
func (v *View) Tokens() []*schema.Token { return sorted(v.tokens) }

// Granted are the grants on a table by name of the role; nil if there is none. Id 0 is the system.
func (v *View) Granted(id schema.TableID) map[string]Grant { return v.grants[id] }

// Privileges is what a role holds on a table, or for id 0 on the system, and what of that it may grant on: by its own grants, those
// of the roles that it is a member of, and those to everybody. That it is a superuser is not considered.
func (v *View) Privileges(role string, id schema.TableID) (held, option schema.Privilege) {
	of := v.grants[id]
	if len(of) == 0 {
		return 0, 0
	}
	held = of[schema.Public].Held
	for _, name := range v.memberships(role) {
		held |= of[name].Held
		option |= of[name].Option
	}
	return held, option
}

// memberships are a role and every role that it is a member of, directly or not.
func (v *View) memberships(role string) []string {
	all := []string{role}
	for i := 0; i < len(all); i++ {
		if r := v.roles[all[i]]; r != nil {
			for _, group := range r.MemberOf {
				if !slices.Contains(all, group) {
					all = append(all, group)
				}
			}
		}
	}
	return all
}

func sorted[V any](m map[string]V) []V {
	all := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[k])
	}
	return all
}

// DeadSessions is what a shard must know of ended sessions: for each kind the smallest live id minus one, or the newest issued
// id when none lives, and above it the gaps between live ids. The gaps hold ids that were never a session of that kind; they
// will not become one, since ids are log indexes and all lie below a later one. It takes time in proportion to the live sessions.
func (v *View) DeadSessions() *command.ExpireSessions {
	live := v.sessions.ids()
	return &command.ExpireSessions{Ordinary: dead(live[0], v.issued[0]), Durable: dead(live[1], v.issued[1])}
}

// dead complements live ids, which are in ascending order, up to the newest issued one.
func dead(live []uint64, issued uint64) command.DeadIDs {
	if len(live) == 0 {
		return command.DeadIDs{Watermark: issued}
	}
	x := command.DeadIDs{Watermark: live[0] - 1}
	for i, id := range live {
		next := issued + 1
		if i+1 < len(live) {
			next = live[i+1]
		}
		if id+1 < next {
			x.Ranges = append(x.Ranges, command.Range{From: id + 1, To: next - 1})
		}
	}
	return x
}

// with copies a map of a view and sets one key.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	c := maps.Clone(m)
	c[k] = v
	return c
}

// without copies a map of a view and removes one key.
func without[K comparable, V any](m map[K]V, k K) map[K]V {
	c := maps.Clone(m)
	delete(c, k)
	return c
}
