package server

import (
	"maps"
	"slices"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/query/catalog"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/storage/schema"
)

// rights are the roles as the system catalogs show them: those of one version of the metadata, without a question to other nodes.
type rights struct{ *meta.View }

func (n *Node) rights() catalog.Directory { return rights{n.machine.View()} }

// Roles are all roles, by name.
func (r rights) Roles() []*schema.Role {
	roles := r.View.Roles()
	out := make([]*schema.Role, len(roles))
	for i, role := range roles {
		out[i] = &role.Role
	}
	return out
}

// Granted are the grants on a table, or for id 0 on the system.
func (r rights) Granted(id schema.TableID) []catalog.Grant {
	of := r.View.Granted(id)
	out := make([]catalog.Grant, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, catalog.Grant{Role: name, Held: of[name].Held, Option: of[name].Option})
	}
	return out
}

// Needs is the privilege that reading a relation of schema quipu takes, by the rules of access.
func (r rights) Needs(relation string) schema.Privilege { return access.Relations[relation].Privilege }

// sizes are what the tables take, or nil if this node has no replica of some shard.
func (n *Node) sizes() map[schema.TableID]catalog.Size {
	out := map[schema.TableID]catalog.Size{}
	for _, id := range n.allShards() {
		sh := n.local(id)
		if sh == nil {
			return nil
		}
		sizes, err := sh.replica.Store().TableSizes()
		if err != nil {
			return nil // the shard is closing
		}
		for table, s := range sizes {
			sum := out[table]
			out[table] = catalog.Size{Cells: sum.Cells + int64(s.Cells), Bytes: sum.Bytes + int64(s.DiskBytes)}
		}
	}
	return out
}
