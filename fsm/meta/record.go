package meta

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Bounds of a metadata record, and of names.
const (
	HistoryMax     = 100 // versions of one record that are kept
	valuesMax      = 256
	valuesBytesMax = 64 << 10
	nameBytesMax   = 255
)

func validName(name string) error {
	switch {
	case name == "" || len(name) > nameBytesMax:
		return fmt.Errorf("a name has 1 to %d bytes, this one has %d", nameBytesMax, len(name))
	case !utf8.ValidString(name):
		return errors.New("the name is not valid UTF-8")
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("the name %q holds a control character", name)
		}
	}
	return nil
}

// setContext writes the next version of a record. Versions go on after a deletion.
func (m *Machine) setContext(tx *storage.Tx, c *command.SetContext, r *Result) *Result {
	if err := validName(c.Name); err != nil {
		return r.refuse(fsm.InvalidOption, "context: %v", err)
	}
	history := m.next.contexts[c.Name]
	var last schema.Record
	exists := uint64(0) // version of the live record
	if len(history) > 0 {
		last = history[0]
		if !last.Deleted {
			exists = last.Version
			r.Record = &last
		}
	}
	switch {
	case c.IfVersion != command.AnyVersion && c.IfVersion != exists:
		return r.refuse(fsm.Conflict, "context %q has version %d, not %d", c.Name, exists, c.IfVersion)
	case c.Delete && exists == 0:
		return r.refuse(fsm.NotFound, "there is no context %q", c.Name)
	case len(history) == 0 && len(m.next.contexts) >= ContextsMax:
		return r.refuse(fsm.Quota, "there are %d contexts, which is the limit", ContextsMax)
	}
	values, refusal := contextValues(c, history)
	if refusal != nil {
		r.Refusal = refusal
		return r
	}
	next := schema.Record{Name: c.Name, Version: last.Version + 1, Revision: r.Index, Values: values, Deleted: c.Delete, ModifiedBy: c.By, ModifiedAt: m.clock.Now}
	keep := min(len(history), HistoryMax-1)
	for _, old := range history[keep:] {
		tx.DeleteRow(contextRow(c.Name, old.Version))
	}
	m.next.contexts = with(m.next.contexts, c.Name, append([]schema.Record{next}, history[:keep]...))
	putContext(tx, &next)
	m.changed(Change{Revision: r.Index, Kind: ContextSet, Record: &next, Name: c.Name})
	r.Record = &next
	return r
}

func contextValues(c *command.SetContext, history []schema.Record) (map[string]string, *fsm.Refusal) {
	if c.Delete {
		return nil, nil
	}
	if c.RevertTo != 0 {
		for i := range history {
			if history[i].Version == c.RevertTo && !history[i].Deleted {
				return history[i].Values, nil
			}
		}
		return nil, &fsm.Refusal{Code: fsm.NotFound, Message: fmt.Sprintf("context %q has no version %d to return to; the last %d are kept", c.Name, c.RevertTo, HistoryMax)}
	}
	if err := validValues(c.Values); err != nil {
		return nil, &fsm.Refusal{Code: fsm.InvalidOption, Message: fmt.Sprintf("context %q: %v", c.Name, err)}
	}
	return c.Values, nil
}

// validValues tests sizes, and the values that collectors act on.
func validValues(values map[string]string) error {
	size := 0
	for k, v := range values { // any order: a sum
		size += len(k) + len(v)
	}
	if len(values) > valuesMax || size > valuesBytesMax {
		return fmt.Errorf("%d values of %d bytes are above the limit of %d values and %d bytes", len(values), size, valuesMax, valuesBytesMax)
	}
	if s, ok := values["sample_rate"]; ok {
		if f, err := strconv.ParseFloat(s, 64); err != nil || !(f >= 0 && f <= 1) {
			return fmt.Errorf("sample_rate is a number from 0 to 1, not %q", s)
		}
	}
	if s, ok := values["window_sec"]; ok {
		if n, err := strconv.ParseUint(s, 10, 31); err != nil || n == 0 {
			return fmt.Errorf("window_sec is a whole number of seconds above 0, not %q", s)
		}
	}
	return nil
}

// Import is one version of the record of a file's import.
type Import struct {
	command.Import
	Version   uint64
	Principal string
}

func (m *Machine) putImport(tx *storage.Tx, c *command.PutImport, r *Result) *Result {
	if err := validName(c.Import.ID); err != nil {
		return r.refuse(fsm.InvalidOption, "import: %v", err)
	}
	old := m.next.imports[c.Import.ID]
	r.Import = old
	version := uint64(0)
	if old != nil {
		version = old.Version
	}
	switch {
	case m.next.tables[c.Import.Table] == nil:
		return r.refuse(fsm.UnknownTable, "there is no table with id %d", c.Import.Table)
	case version != c.IfVersion:
		return r.refuse(fsm.Conflict, "import %q has version %d, not %d", c.Import.ID, version, c.IfVersion)
	case old != nil && !c.Again && (old.Table != c.Import.Table || old.FileHash != c.Import.FileHash || old.Mapping != c.Import.Mapping || old.Chunking != c.Import.Chunking || old.Session != c.Import.Session):
		return r.refuse(fsm.Conflict, "import %q was begun with another file, mapping, chunking or session", c.Import.ID)
	case old == nil && len(m.next.imports) >= ImportsMax:
		return r.refuse(fsm.Quota, "there are records of %d imports, which is the limit", ImportsMax)
	}
	next := &Import{Import: c.Import, Version: version + 1, Principal: c.Principal}
	m.next.imports = with(m.next.imports, next.ID, next)
	putImport(tx, next)
	m.changed(Change{Revision: r.Index, Kind: ImportSet, Name: next.ID})
	r.Import = next
	return r
}
