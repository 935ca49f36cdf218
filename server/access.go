package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/pgwire"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// directory is the metadata as access asks for it.
type directory struct{ *meta.View }

// FindRole gives a role, or nil.
func (d directory) FindRole(name string) *schema.Role {
	if r, ok := d.Role(name); ok {
		return &r.Role
	}
	return nil
}

// FindTable gives a table, or nil.
func (d directory) FindTable(name schema.Name) *schema.Table {
	t, _ := d.TableByName(name)
	return t
}

// TableByID gives a table, or nil.
func (d directory) TableByID(id schema.TableID) *schema.Table {
	t, _ := d.Table(id)
	return t
}

// Time is the log time.
func (d directory) Time() int64 { return d.LogTime }

func (n *Node) newControl() *access.Control {
	return access.New(func() access.Directory { return directory{n.machine.View()} }, access.Options{Now: n.cfg.Now, Heard: n.heard, Unheard: n.unheard})
}

// keepAsking waits until the view here has been the newest one, once. The only node of a cluster has nobody to hear from.
func (n *Node) keepAsking(ctx context.Context) {
	for !n.heard() {
		bounded, cancel := context.WithTimeout(ctx, joinWait)
		err := n.Refresh(bounded)
		cancel()
		if err == nil {
			close(n.newest)
			return
		}
		n.cfg.Logger.Debug("nothing is heard of the meta group", "err", err)
		if pause(ctx, hearPause) != nil {
			return
		}
	}
}

const hearPause = 100 * time.Millisecond

// heard reports whether the view here has been the newest one since the start.
func (n *Node) heard() bool {
	select {
	case <-n.newest:
		return true
	default:
		return false
	}
}

// hearMax is how long the doors of a node stay shut until it has heard from the others; then it serves what it can without them.
const hearMax = 10 * time.Second

// hearFirst waits until the view here has been the newest one, or for hearMax: a node that says that it serves should not refuse the first caller.
func (n *Node) hearFirst(ctx context.Context) {
	late := time.NewTimer(hearMax)
	defer late.Stop()
	select {
	case <-n.newest:
	case <-late.C:
		n.cfg.Logger.Warn("the node serves without having reached the leader of the meta group; it lets nobody in before it has, unless it knows of a role")
	case <-ctx.Done():
	}
}

// unheard is how long the roles and grants here may have missed changes.
func (n *Node) unheard() time.Duration {
	if r := n.replica(transport.Meta); r != nil {
		return r.Unheard()
	}
	return 0 // nobody is served before the groups are open
}

// roleTries is how often a change of a role starts anew because another one was faster.
const roleTries = 5

// CreateRole makes a role.
func (n *Node) CreateRole(ctx context.Context, principal, name string, c query.RoleChange) error {
	r := &schema.Role{Name: name, ConnectionsMax: -1}
	if err := changeRole(r, c); err != nil {
		return err
	}
	_, err := n.metaCommand(ctx, &command.PutRole{By: principal, Role: *r})
	return err
}

// AlterRole changes a role.
func (n *Node) AlterRole(ctx context.Context, principal, name string, c query.RoleChange) error {
	for try := 1; ; try++ {
		if err := n.Refresh(ctx); err != nil {
			return err
		}
		old, ok := n.machine.View().Role(name)
		if !ok {
			return errcode.New(errcode.UnknownRole, "role %q does not exist", name)
		}
		r := old.Clone()
		if err := changeRole(r, c); err != nil {
			return err
		}
		_, err := n.metaCommand(ctx, &command.PutRole{By: principal, Role: *r, IfVersion: old.Version})
		if err == nil || try == roleTries || !errors.Is(err, errcode.New(errcode.Conflict, "")) {
			return err
		}
	}
}

// changeRole makes the change. The password ends here: what goes on is its verifier.
func changeRole(r *schema.Role, c query.RoleChange) error {
	set(&r.Superuser, c.Superuser)
	set(&r.Login, c.Login)
	set(&r.ConnectionsMax, c.ConnectionsMax)
	if c.NoPassword {
		r.Verifier = schema.Verifier{}
	}
	if c.Password != nil {
		v, err := access.NewVerifier(*c.Password)
		if err != nil {
			return errcode.New(errcode.InvalidOption, "password: %w", err)
		}
		r.Verifier = v
	}
	if c.ValidUntil != nil {
		r.ValidUntil = 0
		if !c.ValidUntil.IsZero() {
			r.ValidUntil = c.ValidUntil.UnixMilli()
		}
	}
	if c.ResetAll {
		r.Settings = nil
	}
	for _, name := range c.Reset {
		delete(r.Settings, name)
	}
	if len(c.Set) > 0 {
		if r.Settings == nil {
			r.Settings = map[string]string{}
		}
		maps.Copy(r.Settings, c.Set)
	}
	r.MemberOf = slices.DeleteFunc(append(r.MemberOf, c.Join...), func(name string) bool { return slices.Contains(c.Leave, name) })
	slices.Sort(r.MemberOf)
	r.MemberOf = slices.Compact(r.MemberOf)
	return nil
}

func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

// DropRole ends a role.
func (n *Node) DropRole(ctx context.Context, principal, name string) error {
	_, err := n.metaCommand(ctx, &command.DropRole{By: principal, Name: name})
	return err
}

// Grant gives privileges or takes them away.
func (n *Node) Grant(ctx context.Context, principal string, g query.Grant) error {
	_, err := n.metaCommand(ctx, &command.Grant{By: principal, Revoke: g.Revoke, Option: g.Option, Privileges: g.Privileges, Tables: g.Tables, Roles: g.Roles})
	return err
}

// CreateToken makes a token and gives its text, of which only the hash is kept.
func (n *Node) CreateToken(ctx context.Context, principal, role, name string, ends time.Time) (string, error) {
	text, hash := access.NewToken()
	t := schema.Token{Role: role, Name: name, Hash: hash, By: principal}
	if !ends.IsZero() {
		t.Expires = ends.UnixMilli()
	}
	if _, err := n.metaCommand(ctx, &command.PutToken{Token: t}); err != nil {
		return "", err
	}
	return text, nil
}

// DropToken revokes a token.
func (n *Node) DropToken(ctx context.Context, principal, role, name string) error {
	_, err := n.metaCommand(ctx, &command.DropToken{By: principal, Role: role, Name: name})
	return err
}

// Roles are all roles, read linearizably.
func (n *Node) Roles(ctx context.Context) ([]*schema.Role, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	var out []*schema.Role
	for _, r := range n.machine.View().Roles() {
		out = append(out, &r.Role)
	}
	return out, nil
}

// Grants are all grants: those on the system, then by table.
func (n *Node) Grants(ctx context.Context) ([]query.Granted, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	v := n.machine.View()
	var out []query.Granted
	for _, t := range append([]*schema.Table{nil}, v.Tables()...) {
		id := schema.TableID(0)
		if t != nil {
			id = t.ID
		}
		of := v.Granted(id)
		for _, name := range slices.Sorted(maps.Keys(of)) {
			out = append(out, query.Granted{Role: name, Table: t, Held: of[name].Held, Option: of[name].Option})
		}
	}
	return out, nil
}

// Tokens are all tokens.
func (n *Node) Tokens(ctx context.Context) ([]*schema.Token, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	return n.machine.View().Tokens(), nil
}

// FirstRole makes a role that can administer, if there is no role at all.
func (n *Node) FirstRole(ctx context.Context, name, password string) error {
	if err := n.Refresh(ctx); err != nil || n.machine.View().Closed() {
		return err
	}
	yes := true
	err := n.CreateRole(ctx, "bootstrap", name, query.RoleChange{Superuser: &yes, Login: &yes, Password: &password})
	if err != nil {
		return fmt.Errorf("server: the first role %q could not be made: %w", name, err)
	}
	return nil
}

// wireRoles are the roles as the PostgreSQL wire asks for them.
type wireRoles struct{ *access.Control }

// Any reports whether users have to prove who they are.
func (r wireRoles) Any() bool { return r.Closed() }

// Verifier is what the password of a user is proved against.
func (r wireRoles) Verifier(_ context.Context, user string) (pgwire.Verifier, bool, error) {
	v, known := r.Control.Verifier(user)
	return v, known, nil
}

// Attempt asks whether user may try a password.
func (r wireRoles) Attempt(user string, from net.Addr) (func(tried, right bool), error) {
	remote := from.String()
	if tcp, ok := from.(*net.TCPAddr); ok {
		remote = tcp.IP.String()
	}
	return r.Control.Attempt(user, remote)
}

// Login is what the session of a user begins with.
func (r wireRoles) Login(_ context.Context, user string, proved bool) (pgwire.Login, error) {
	caller, role, err := r.Control.Login(user, proved)
	if err != nil {
		return pgwire.Login{}, err
	}
	l := pgwire.Login{Rights: caller, Superuser: caller.Superuser(), ConnectionsMax: -1}
	if role != nil {
		l.Settings, l.ConnectionsMax = query.Usable(role.Settings), int(role.ConnectionsMax)
	}
	return l, nil
}
