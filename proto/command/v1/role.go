package command

import "github.com/quipudb/quipu/storage/schema"

// PutRole makes a role or replaces it, if its version is still IfVersion (0: it does not exist). By is who asks.
type PutRole struct {
	Timed
	By        string
	Role      schema.Role
	IfVersion uint64
}

func (*PutRole) Kind() Kind { return KindPutRole }

func (c *PutRole) encode(e *encoder) {
	e.str(c.By)
	e.role(&c.Role)
	e.uint(c.IfVersion)
}

func (c *PutRole) decode(d *decoder) {
	c.By = d.str()
	d.role(&c.Role)
	c.IfVersion = d.uint()
}

func (e *encoder) role(r *schema.Role) {
	e.str(r.Name)
	e.flag(r.Superuser)
	e.flag(r.Login)
	e.flag(r.HasPassword())
	if v := &r.Verifier; r.HasPassword() {
		e.uint(uint64(v.Iterations))
		e.bytes(v.Salt)
		e.bytes(v.StoredKey)
		e.bytes(v.ServerKey)
	}
	e.int(r.ValidUntil)
	e.int(r.ConnectionsMax)
	e.pairs(r.Settings)
	e.names(r.MemberOf)
}

func (d *decoder) role(r *schema.Role) {
	r.Name, r.Superuser, r.Login = d.str(), d.flag(), d.flag()
	if d.flag() {
		n := d.uint32()
		if n == 0 || n > 1<<31-1 {
			d.fail(errRange)
		}
		r.Verifier = schema.Verifier{Iterations: int(n), Salt: d.bytes(), StoredKey: d.bytes(), ServerKey: d.bytes()}
	}
	r.ValidUntil, r.ConnectionsMax, r.Settings, r.MemberOf = d.int(), d.int(), d.pairs(), d.names()
}

func (e *encoder) names(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.str(s)
	}
}

func (d *decoder) names() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.str()
	}
	return list
}

// DropRole ends a role with its grants, tokens, memberships and sessions.
type DropRole struct {
	Timed
	By   string
	Name string
}

func (*DropRole) Kind() Kind          { return KindDropRole }
func (c *DropRole) encode(e *encoder) { e.str(c.By); e.str(c.Name) }
func (c *DropRole) decode(d *decoder) { c.By, c.Name = d.str(), d.str() }

// Grant gives privileges to roles or takes them away: on tables, or on the system if it names none.
type Grant struct {
	Timed
	By         string
	Revoke     bool
	Option     bool // with the right to grant them on; of a Revoke: take that right alone
	Privileges schema.Privilege
	Tables     []schema.TableID
	Roles      []string // schema.Public stands for all
}

func (*Grant) Kind() Kind { return KindGrant }

func (c *Grant) encode(e *encoder) {
	e.str(c.By)
	e.flag(c.Revoke)
	e.flag(c.Option)
	e.uint(uint64(c.Privileges))
	e.uint(uint64(len(c.Tables)))
	for _, id := range c.Tables {
		e.uint(uint64(id))
	}
	e.names(c.Roles)
}

func (c *Grant) decode(d *decoder) {
	c.By, c.Revoke, c.Option, c.Privileges = d.str(), d.flag(), d.flag(), schema.Privilege(d.uint32())
	if n := d.count(1); n > 0 {
		c.Tables = make([]schema.TableID, n)
		for i := range c.Tables {
			c.Tables[i] = schema.TableID(d.uint())
		}
	}
	c.Roles = d.names()
}

// PutToken makes a token of a role. Token.Created is the machine's to set.
type PutToken struct {
	Timed
	Token schema.Token
}

func (*PutToken) Kind() Kind { return KindPutToken }

func (c *PutToken) encode(e *encoder) {
	e.str(c.Token.Role)
	e.str(c.Token.Name)
	e.b = append(e.b, c.Token.Hash[:]...)
	e.int(c.Token.Created)
	e.int(c.Token.Expires)
	e.str(c.Token.By)
}

func (c *PutToken) decode(d *decoder) {
	c.Token.Role, c.Token.Name = d.str(), d.str()
	d.array(c.Token.Hash[:])
	c.Token.Created, c.Token.Expires, c.Token.By = d.int(), d.int(), d.str()
}

// DropToken revokes a token.
type DropToken struct {
	Timed
	By   string
	Role string
	Name string
}

func (*DropToken) Kind() Kind          { return KindDropToken }
func (c *DropToken) encode(e *encoder) { e.str(c.By); e.str(c.Role); e.str(c.Name) }
func (c *DropToken) decode(d *decoder) { c.By, c.Role, c.Name = d.str(), d.str(), d.str() }
