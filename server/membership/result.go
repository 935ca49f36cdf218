package membership

import (
	"fmt"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// EncodeResult is what became of a command, for the node that asked for it.
func EncodeResult(r *meta.Result) (*peerv1.ProposeMetaResponse, error) {
	m := &peerv1.ProposeMetaResponse{Index: r.Index, Session: r.Session.ID, Principal: r.Session.Principal, Durable: r.Session.Durable, Ended: r.Ended}
	if r.Refusal != nil {
		m.Refusal, m.Message = uint32(r.Refusal.Code), r.Refusal.Message
	}
	var err error
	if r.Table != nil {
		if m.Table, err = command.Encode(&command.SetTable{Table: *r.Table}); err != nil {
			return nil, err
		}
	}
	if r.Import != nil {
		if m.Import, err = command.Encode(&command.PutImport{Principal: r.Import.Principal, Import: r.Import.Import, IfVersion: r.Import.Version}); err != nil {
			return nil, err
		}
	}
	if r.Role != nil {
		if m.Role, err = command.Encode(&command.PutRole{Role: r.Role.Role, IfVersion: r.Role.Version}); err != nil {
			return nil, err
		}
	}
	if c := r.Record; c != nil {
		m.Record = &peerv1.ContextRecord{Name: c.Name, Version: c.Version, Revision: c.Revision, Values: c.Values, Deleted: c.Deleted, ModifiedBy: c.ModifiedBy, ModifiedAtMs: c.ModifiedAt}
	}
	if l := r.Lease; l != nil {
		m.Lease = &peerv1.LeaseRecord{Name: l.Name, Holder: l.Holder, Fence: l.Fence, TtlMs: l.TTL, DeadlineMs: l.Deadline}
	}
	return m, nil
}

func decodeResult(m *peerv1.ProposeMetaResponse) (*meta.Result, error) {
	r := &meta.Result{Index: m.Index, Session: meta.Session{ID: m.Session, Principal: m.Principal, Durable: m.Durable}, Ended: m.Ended}
	if m.Refusal != 0 {
		r.Refusal = &fsm.Refusal{Code: fsm.Code(m.Refusal), Message: m.Message}
	}
	if len(m.Table) > 0 {
		t, err := frame[*command.SetTable](m.Table)
		if err != nil {
			return nil, err
		}
		r.Table = &t.Table
	}
	if len(m.Import) > 0 {
		i, err := frame[*command.PutImport](m.Import)
		if err != nil {
			return nil, err
		}
		r.Import = &meta.Import{Import: i.Import, Version: i.IfVersion, Principal: i.Principal}
	}
	if len(m.Role) > 0 {
		p, err := frame[*command.PutRole](m.Role)
		if err != nil {
			return nil, err
		}
		r.Role = &meta.Role{Role: p.Role, Version: p.IfVersion}
	}
	if c := m.Record; c != nil {
		r.Record = &schema.Record{Name: c.Name, Version: c.Version, Revision: c.Revision, Values: c.Values, Deleted: c.Deleted, ModifiedBy: c.ModifiedBy, ModifiedAt: c.ModifiedAtMs}
	}
	if l := m.Lease; l != nil {
		r.Lease = &meta.Lease{Name: l.Name, Holder: l.Holder, Fence: l.Fence, TTL: l.TtlMs, Deadline: l.DeadlineMs}
	}
	return r, nil
}

func frame[C command.Command](b []byte) (C, error) {
	var none C
	c, err := command.Decode(b)
	if err != nil {
		return none, fmt.Errorf("membership: the meta leader's answer: %w", err)
	}
	typed, ok := c.(C)
	if !ok {
		return none, fmt.Errorf("membership: the meta leader answered with a %v", c.Kind())
	}
	return typed, nil
}
