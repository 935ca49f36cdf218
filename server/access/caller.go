package access

import (
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Caller is who calls. It asks the newest directory each time, so that what was revoked is gone with the next question. It is
// query.Rights.
type Caller struct {
	control *Control
	Name    string    // the principal of sessions, keys and queries
	open    bool      // there was no role when it came
	token   *[32]byte // hash of the token that it came with, if it did
}

// role is that of the caller, nil while there are none.
func (c *Caller) role() (*schema.Role, error) {
	view := c.control.view()
	r := view.FindRole(c.Name)
	switch {
	case c.open && !view.Closed():
		return nil, nil
	case c.open:
		return nil, errcode.New(errcode.Unauthenticated, "there are roles by now, so that callers have to prove who they are").WithHint("connect again, with a password or a token")
	case r == nil:
		return nil, errcode.New(errcode.Unauthenticated, "role %q does not exist", c.Name)
	case !r.Login:
		return nil, errcode.New(errcode.Unauthenticated, "role %q is not permitted to log in", c.Name)
	case c.token != nil:
		if _, err := c.control.token(*c.token); err != nil {
			return r, err
		}
	}
	return r, c.control.trusted(r)
}

// Superuser reports whether the caller may do everything.
func (c *Caller) Superuser() bool {
	r, err := c.role()
	return err == nil && (r == nil || r.Superuser)
}

// has says whether the caller holds p on a table, or for id 0 on the system.
func (c *Caller) has(id schema.TableID, p schema.Privilege) (bool, error) {
	r, err := c.role()
	if err != nil {
		return false, err
	}
	if r == nil || r.Superuser {
		return true, nil
	}
	held, _ := c.control.view().Privileges(c.Name, id)
	return held.Has(p), nil
}

// Table says why p may not be done with t, or nil.
func (c *Caller) Table(t *schema.Table, p schema.Privilege) error {
	ok, err := c.has(t.ID, p)
	if err == nil && !ok {
		err = errcode.New(errcode.PermissionDenied, "permission denied for table %s", t.Name.Table).
			WithHint("GRANT %v ON %s TO %s lets it", p, sql.QuoteIdent(t.Name.Table), sql.QuoteIdent(c.Name))
	}
	return err
}

// System says why the caller lacks a privilege on the system, or nil.
func (c *Caller) System(p schema.Privilege) error {
	ok, err := c.has(0, p)
	if err == nil && !ok {
		what := "for the system"
		if p == schema.Create {
			what = "for schema public" // as tools that make tables know it
		}
		err = errcode.New(errcode.PermissionDenied, "permission denied %s", what).
			WithHint("GRANT %v ON SYSTEM TO %s lets it", p, sql.QuoteIdent(c.Name))
	}
	return err
}

// Relation says why a computed relation may not be read, or nil.
func (c *Caller) Relation(name string) error {
	if !strings.HasPrefix(name, "quipu.") {
		_, err := c.role()
		return err
	}
	return Relations[name].Check(c, nil)
}

// Statement says why a statement may not be run at all, or nil.
func (c *Caller) Statement(st sql.Statement) error { return SQL[Verb(st)].Check(c, nil) }
