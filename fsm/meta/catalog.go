package meta

import (
	"fmt"
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

func (m *Machine) createTable(tx *storage.Tx, c *command.CreateTable, r *Result) *Result {
	t := &c.Table
	t.ID, t.Version = schema.TableID(r.Index), 1
	if err := t.Validate(); err != nil {
		return r.refuse(fsm.InvalidOption, "%v", err)
	}
	if in := m.next.names[t.Name]; in != nil {
		r.Table = in
		return r.refuse(fsm.Exists, "table %s exists already", t.Name)
	}
	if len(m.next.tables) >= TablesMax {
		return r.refuse(fsm.Quota, "there are %d tables, which is the limit", TablesMax)
	}
	m.setTable(tx, t, r)
	if role := m.next.roles[c.By]; role != nil && !role.Superuser && m.next.grantCount < GrantsMax {
		m.setGrant(tx, t.ID, c.By, Grant{Held: schema.TablePrivileges, Option: schema.TablePrivileges}, r.Index)
	}
	return r
}

// setTable enters a definition into the catalog, in the place of the one with its id.
func (m *Machine) setTable(tx *storage.Tx, t *schema.Table, r *Result) {
	if old := m.next.tables[t.ID]; old != nil && old.Name != t.Name {
		m.next.names = without(m.next.names, old.Name)
	}
	m.next.tables = with(m.next.tables, t.ID, t)
	m.next.names = with(m.next.names, t.Name, t)
	m.next.Catalog, m.marked = r.Index, true
	putTable(tx, t)
	m.changed(Change{Revision: r.Index, Kind: TableSet, Table: t, TableID: t.ID})
	r.Table = t
}

func (m *Machine) alterTable(tx *storage.Tx, c *command.AlterTable, r *Result) *Result {
	t := &c.Table
	old := m.next.tables[t.ID]
	r.Table = old
	switch {
	case old == nil:
		return r.refuse(fsm.UnknownTable, "there is no table with id %d", t.ID)
	case old.Version != t.Version:
		return r.refuse(fsm.Conflict, "table %s has version %d by now, not %d", old.Name, old.Version, t.Version)
	}
	t.Version++
	if err := t.Validate(); err != nil {
		return r.refuse(fsm.InvalidOption, "%v", err)
	}
	if err := alterable(old, t); err != nil {
		return r.refuse(fsm.InvalidOption, "table %s: %v", old.Name, err)
	}
	if in := m.next.names[t.Name]; in != nil && in.ID != t.ID {
		return r.refuse(fsm.Exists, "table %s exists already", t.Name)
	}
	m.setTable(tx, t, r)
	return r
}

// alterable says why a table cannot go from old to t: what cells and their places rest on never changes.
func alterable(old, t *schema.Table) error {
	switch {
	case len(t.Dims) < len(old.Dims):
		return fmt.Errorf("a column cannot be dropped")
	case !slices.Equal(old.PartitionBy, t.PartitionBy):
		return fmt.Errorf("the partition key is chosen when the table is made and stays")
	case old.Window != t.Window:
		return fmt.Errorf("the window is chosen when the table is made and stays")
	case old.Measures != t.Measures:
		return fmt.Errorf("the number of measures stays")
	}
	for i, d := range old.Dims {
		n := t.Dims[i]
		switch {
		case d.Type != n.Type:
			return fmt.Errorf("the type of column %q stays", d.Name)
		case n.NotNull && !d.NotNull:
			return fmt.Errorf("column %q may hold NULL and cannot become NOT NULL", d.Name)
		case len(n.Order) < len(d.Order) || !slices.Equal(d.Order, n.Order[:len(d.Order)]):
			return fmt.Errorf("values can be added to the end of the order of column %q, not taken from it or moved", d.Name)
		}
	}
	for _, n := range t.Dims[len(old.Dims):] {
		if n.NotNull && n.Default.Null {
			return fmt.Errorf("the new column %q is NOT NULL, so it needs a default for the cells there are", n.Name)
		}
	}
	return nil
}

func (m *Machine) dropTable(tx *storage.Tx, c *command.DropTable, r *Result) *Result {
	t := m.next.tables[c.ID]
	if t == nil {
		return r.refuse(fsm.UnknownTable, "there is no table with id %d", c.ID)
	}
	m.removeTable(tx, t, r.Index)
	m.moveGrants(tx, t.ID, system, r.Index)
	m.next.names = without(m.next.names, t.Name)
	r.Table = t
	return r
}

// removeTable takes an id out of the catalog, with all that is kept for it. Its name is the caller's to free or to give on.
func (m *Machine) removeTable(tx *storage.Tx, t *schema.Table, index uint64) {
	m.next.tables = without(m.next.tables, t.ID)
	m.next.Catalog, m.marked = index, true
	tx.DeleteRow(tableRow(rowTable, t.ID))
	if _, ok := m.next.cutoffs[t.ID]; ok {
		m.next.cutoffs = without(m.next.cutoffs, t.ID)
		tx.DeleteRow(tableRow(rowCutoff, t.ID))
	}
	for _, rec := range m.next.Imports() {
		if rec.Table == t.ID {
			m.next.imports = without(m.next.imports, rec.ID)
			tx.DeleteRow(nameRow(rowImport, rec.ID))
		}
	}
	m.changed(Change{Revision: index, Kind: TableDropped, TableID: t.ID})
}

// truncateTable gives the table the log index as its new id; cells of the old one are gone with it.
func (m *Machine) truncateTable(tx *storage.Tx, c *command.TruncateTable, r *Result) *Result {
	old := m.next.tables[c.ID]
	if old == nil {
		return r.refuse(fsm.UnknownTable, "there is no table with id %d", c.ID)
	}
	m.removeTable(tx, old, r.Index)
	t := old.Clone()
	t.ID, t.Version = schema.TableID(r.Index), 1
	m.setTable(tx, t, r)
	m.moveGrants(tx, old.ID, t.ID, r.Index)
	return r
}

func (m *Machine) dropWindows(tx *storage.Tx, c *command.DropWindows, r *Result) *Result {
	t := m.next.tables[c.ID]
	switch {
	case t == nil:
		return r.refuse(fsm.UnknownTable, "there is no table with id %d", c.ID)
	case t.Window == 0:
		return r.refuse(fsm.InvalidOption, "table %s has no windows", t.Name)
	}
	r.Table = t
	if before, ok := m.next.cutoffs[c.ID]; ok && before >= c.Before {
		return r
	}
	m.next.cutoffs = with(m.next.cutoffs, c.ID, c.Before)
	putCutoff(tx, c.ID, c.Before)
	m.changed(Change{Revision: r.Index, Kind: CutoffSet, TableID: c.ID, Before: c.Before})
	return r
}
