package query

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Roles keeps roles, grants and tokens. principal is who asks: the keeper decides whether it may.
type Roles interface {
	CreateRole(ctx context.Context, principal, name string, c RoleChange) error
	AlterRole(ctx context.Context, principal, name string, c RoleChange) error
	DropRole(ctx context.Context, principal, name string) error
	Grant(ctx context.Context, principal string, g Grant) error
	// CreateToken makes a token and gives its text, which nobody can learn later. ends is 0 for one that does not.
	CreateToken(ctx context.Context, principal, role, name string, ends time.Time) (text string, err error)
	DropToken(ctx context.Context, principal, role, name string) error

	// Roles, Grants and Tokens are all there are, in a fixed order.
	Roles(ctx context.Context) ([]*schema.Role, error)
	Grants(ctx context.Context) ([]Granted, error)
	Tokens(ctx context.Context) ([]*schema.Token, error)
}

// RoleChange is what a statement changes of a role; nil fields stay.
type RoleChange struct {
	Superuser      *bool
	Login          *bool
	Password       *string // as it was written, or a SCRAM-SHA-256 verifier as PostgreSQL writes it; it goes no further than the door
	NoPassword     bool
	ValidUntil     *time.Time // the zero time: it does not end
	ConnectionsMax *int64

	Set      map[string]string // settings
	Reset    []string
	ResetAll bool

	Join, Leave []string // roles that it becomes a member of, or stops to be
}

// Grant gives privileges, or takes them away.
type Grant struct {
	Revoke     bool
	Option     bool
	Privileges schema.Privilege
	Tables     []schema.TableID // none: the system
	Roles      []string
}

// Granted is what one role holds on one table.
type Granted struct {
	Role         string
	Table        *schema.Table // nil: the system
	Held, Option schema.Privilege
}

// roles runs a statement about roles.
func (s *session) roles(ctx context.Context, st sql.Statement, sink Sink) error {
	if s.e.o.Roles == nil {
		return errcode.New(errcode.NotSupported, "this server keeps no roles").At(sql.CharPos(s.r.SQL, st.At()))
	}
	to, who := s.e.o.Roles, s.r.Principal
	switch st := st.(type) {
	case *sql.CreateRole:
		c, err := s.roleChange(st.Options)
		if err == nil {
			err = to.CreateRole(ctx, who, s.role(st.Name), c)
		}
		if st.IfNotExists && isCode(err, errcode.RoleExists) {
			err = nil
		}
		return s.finish(sink, "CREATE ROLE", err, st.Name.Pos)
	case *sql.AlterRole:
		c, err := s.roleChange(st.Options)
		if err == nil && st.Setting != nil {
			c, err = s.roleSetting(st.Setting)
		}
		if err == nil {
			err = to.AlterRole(ctx, who, s.role(st.Name), c)
		}
		return s.finish(sink, "ALTER ROLE", err, st.Name.Pos)
	case *sql.DropRole:
		for _, n := range st.Names {
			if err := to.DropRole(ctx, who, s.role(n)); err != nil && !(st.IfExists && isCode(err, errcode.UnknownRole)) {
				return s.at1(err, n.Pos)
			}
		}
		return s.done(sink, "DROP ROLE")
	case *sql.Grant:
		return s.grant(ctx, st, sink)
	case *sql.CreateToken:
		return s.createToken(ctx, st, sink)
	case *sql.DropToken:
		err := to.DropToken(ctx, who, s.role(st.Role), st.Name.Name)
		if st.IfExists && isCode(err, errcode.NotFound) {
			err = nil
		}
		return s.finish(sink, "DROP TOKEN", err, st.Name.Pos)
	}
	return nil
}

func isCode(err error, code errcode.Code) bool {
	return err != nil && errcode.From(err).Code == code
}

func (s *session) finish(sink Sink, tag string, err error, pos sql.Pos) error {
	if err != nil {
		return s.at1(err, pos)
	}
	return s.done(sink, tag)
}

// role is the name of a role as it was written; some words mean who asks.
func (s *session) role(id sql.Ident) string {
	switch id.Name {
	case "current_user", "current_role", "session_user":
		return s.r.Principal
	}
	return id.Name
}

func (s *session) roleNames(ids []sql.Ident) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = s.role(id)
	}
	return out
}

// roleChange reads the options of CREATE and ALTER ROLE.
func (s *session) roleChange(options []sql.RoleOption) (c RoleChange, err error) {
	yes, no := true, false
	for _, o := range options {
		switch o.Name {
		case "superuser":
			c.Superuser = &yes
		case "nosuperuser":
			c.Superuser = &no
		case "login":
			c.Login = &yes
		case "nologin":
			c.Login = &no
		case "password":
			if o.Value.Kind == sql.NullLiteral {
				c.NoPassword = true
				break
			}
			if o.Value.Text == "" {
				return c, s.at(errcode.New(errcode.InvalidOption, "the password is empty").WithHint("PASSWORD NULL leaves a role without one"), o.Value.Pos)
			}
			c.Password = &o.Value.Text
		case "connection limit":
			n, err := strconv.ParseInt(o.Value.Text, 10, 32)
			if err != nil || n < -1 {
				return c, s.at(errcode.New(errcode.InvalidOption, "invalid connection limit: %s", o.Value.Text), o.Value.Pos)
			}
			c.ConnectionsMax = &n
		case "valid until":
			t, err := s.untilTime(o.Value)
			if err != nil {
				return c, err
			}
			c.ValidUntil = &t
		case "createrole", "createdb", "replication", "bypassrls":
			return c, s.at(errcode.New(errcode.NotSupported, "attribute %s is not supported", strings.ToUpper(o.Name)).
				WithHint("SUPERUSER administers roles; GRANT CREATE ON SYSTEM lets a role make tables"), o.Pos)
		} // the others say what is so anyway
	}
	return c, nil
}

// untilTime reads a time; 'infinity' is the zero one.
func (s *session) untilTime(l *sql.Literal) (time.Time, error) {
	if strings.EqualFold(strings.TrimSpace(l.Text), "infinity") {
		return time.Time{}, nil
	}
	v, err := plan.Convert(plan.TextValue(l.Text), plan.Timestamptz)
	if err != nil {
		return time.Time{}, s.at(err, l.Pos)
	}
	return time.UnixMicro(v.Int()), nil
}

// roleSetting reads SET and RESET of ALTER ROLE. The setting is tested as SET tests it.
func (s *session) roleSetting(st sql.Statement) (c RoleChange, err error) {
	switch st := st.(type) {
	case *sql.Set:
		if st.Values == nil {
			c.Reset = []string{strings.ToLower(st.Name)}
			_, err = find(c.Reset[0])
			break
		}
		value, err := s.settingValue(st)
		if err != nil {
			return c, err
		}
		c.Set = settings{}
		if err := settings(c.Set).set(st.Name, value); err != nil {
			return c, s.at(err, st.Pos)
		}
	case *sql.Reset:
		if c.ResetAll = st.Name == "all"; !c.ResetAll {
			c.Reset = []string{strings.ToLower(st.Name)}
		}
	}
	if err != nil {
		return c, s.at(err, st.At())
	}
	return c, nil
}

func (s *session) grant(ctx context.Context, st *sql.Grant, sink Sink) error {
	tag := "GRANT"
	if st.Revoke {
		tag = "REVOKE"
	}
	if len(st.Tables) == 0 && !st.AllTables && st.Object == "" {
		return s.grantRoles(ctx, st, sink)
	}
	g := Grant{Revoke: st.Revoke, Option: st.Option, Roles: s.roleNames(st.Roles)}
	all := schema.TablePrivileges
	if st.Object != "" {
		all = schema.SystemPrivileges
	}
	for _, id := range st.Privileges {
		p, ok := schema.PrivilegeByName(id.Name)
		switch {
		case !st.Revoke && (st.Object == "schema" && id.Name == "usage" || st.Object == "database" && id.Name == "connect"):
			continue // every role has that, and scripts for PostgreSQL grant it
		case id.Name == "all":
			p = all
		case !ok:
			return s.at(errcode.New(errcode.SyntaxError, "unrecognized privilege type %q", id.Name).WithHint("the privileges here are %v", all), id.Pos)
		case !all.Has(p):
			return s.at(errcode.New(errcode.InvalidOption, "invalid privilege type %v", p).WithHint("the privileges here are %v", all), id.Pos)
		}
		// Schemas and databases have the one privilege that PostgreSQL's tools ask for: making tables.
		if st.Object == "schema" || st.Object == "database" {
			if p &= schema.Create; p == 0 {
				return s.at(errcode.New(errcode.InvalidOption, "invalid privilege type %s for a %s", strings.ToUpper(id.Name), st.Object).
					WithHint("CREATE can be granted there, the others ON SYSTEM"), id.Pos)
			}
		}
		g.Privileges |= p
	}
	err := s.bound(ctx, func(b *plan.Binder) error {
		g.Tables = nil
		for _, n := range st.Tables {
			t, err := b.Table(n, 0)
			if err != nil {
				return err
			}
			g.Tables = append(g.Tables, t.ID)
		}
		if st.AllTables {
			g.Tables = tablesOf(b.Catalog.Tables(b.Database), st.Objects)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if st.AllTables && len(g.Tables) == 0 || g.Privileges == 0 {
		return s.done(sink, tag)
	}
	return s.finish(sink, tag, s.e.o.Roles.Grant(ctx, s.r.Principal, g), st.Pos)
}

func tablesOf(tables []*schema.Table, schemas []sql.Ident) (ids []schema.TableID) {
	for _, t := range tables {
		if slices.ContainsFunc(schemas, func(id sql.Ident) bool { return id.Name == t.Name.Schema }) {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// grantRoles makes roles members of others, one after the other.
func (s *session) grantRoles(ctx context.Context, st *sql.Grant, sink Sink) error {
	if st.Option {
		return s.at(errcode.New(errcode.NotSupported, "ADMIN OPTION is not supported").WithHint("SUPERUSER administers roles"), st.Pos)
	}
	for _, member := range st.Roles {
		c := RoleChange{Join: s.roleNames(st.Privileges)}
		if st.Revoke {
			c = RoleChange{Leave: c.Join}
		}
		if err := s.e.o.Roles.AlterRole(ctx, s.r.Principal, s.role(member), c); err != nil {
			return s.at1(err, member.Pos)
		}
	}
	if st.Revoke {
		return s.done(sink, "REVOKE ROLE")
	}
	return s.done(sink, "GRANT ROLE")
}

func (s *session) createToken(ctx context.Context, st *sql.CreateToken, sink Sink) error {
	var ends time.Time
	switch {
	case st.Until != nil:
		t, err := s.untilTime(st.Until)
		if err != nil {
			return err
		}
		ends = t
	case st.For != nil:
		var ok bool
		if ends, ok = plan.After(s.now, st.For.Text); !ok {
			return s.at(errcode.New(errcode.InvalidOption, "invalid span %q", st.For.Text).WithHint("give one such as '90 days'"), st.For.Pos)
		}
	}
	role := s.role(st.Role)
	text, err := s.e.o.Roles.CreateToken(ctx, s.r.Principal, role, st.Name.Name, ends)
	if err != nil {
		return s.at1(err, st.Name.Pos)
	}
	if err := sink.Columns(createTokenColumns); err != nil {
		return err
	}
	row := []plan.Value{plan.TextValue(role), plan.TextValue(st.Name.Name), plan.TextValue(text), plan.TextValue(timeText(ends))}
	if err := sink.Row(row); err != nil {
		return err
	}
	return s.end(sink, &End{Tag: "CREATE TOKEN", Rows: 1})
}

var createTokenColumns = textColumns("role", "name", "token", "ends")

func timeText(t time.Time) string {
	if t.IsZero() {
		return "infinity"
	}
	return t.UTC().Format("2006-01-02 15:04:05+00")
}

func millisText(ms int64) string {
	if ms == 0 {
		return "infinity"
	}
	return timeText(time.UnixMilli(ms))
}

func (s *session) keeper() (Roles, error) {
	if s.e.o.Roles == nil {
		return nil, errcode.New(errcode.NotSupported, "this server keeps no roles")
	}
	return s.e.o.Roles, nil
}

// showRoles lists roles to everybody, as PostgreSQL does.
func (s *session) showRoles(ctx context.Context, sink Sink) error {
	return listOf(ctx, s, sink, textColumns("role", "attributes", "valid_until", "member_of", "settings"), Roles.Roles, func(r *schema.Role) []string {
		var is []string
		for _, a := range []struct {
			on   bool
			name string
		}{{r.Superuser, "SUPERUSER"}, {r.Login, "LOGIN"}, {!r.Login, "NOLOGIN"}, {r.HasPassword(), "PASSWORD"}} {
			if a.on {
				is = append(is, a.name)
			}
		}
		if r.ConnectionsMax >= 0 {
			is = append(is, "CONNECTION LIMIT "+strconv.FormatInt(r.ConnectionsMax, 10))
		}
		var set []string
		for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
			set = append(set, name+"="+r.Settings[name])
		}
		return []string{r.Name, strings.Join(is, ", "), millisText(r.ValidUntil), strings.Join(r.MemberOf, ", "), strings.Join(set, ", ")}
	})
}

func (s *session) showGrants(ctx context.Context, sink Sink) error {
	return listOf(ctx, s, sink, textColumns("role", "object", "privileges", "may_grant"), Roles.Grants, func(g Granted) []string {
		object := "SYSTEM"
		if g.Table != nil {
			object = g.Table.Name.Table
			if g.Table.Name.Schema != "public" {
				object = g.Table.Name.Schema + "." + object
			}
		}
		return []string{g.Role, object, g.Held.String(), g.Option.String()}
	})
}

// showTokens lists the principal's own tokens, or all to who may see them.
func (s *session) showTokens(ctx context.Context, sink Sink) error {
	all := s.allowed(&sql.CreateToken{}) == nil
	return listOf(ctx, s, sink, textColumns("role", "name", "made", "ends", "made_by"), Roles.Tokens, func(t *schema.Token) []string {
		if !all && t.Role != s.r.Principal {
			return nil
		}
		return []string{t.Role, t.Name, millisText(t.Created), millisText(t.Expires), t.By}
	})
}

// listOf gives a row for each item for which row gives texts.
func listOf[T any](ctx context.Context, s *session, sink Sink, cols []plan.Column, items func(Roles, context.Context) ([]T, error), row func(T) []string) error {
	from, err := s.keeper()
	if err != nil {
		return err
	}
	list, err := items(from, ctx)
	if err != nil {
		return err
	}
	return s.list(sink, cols, func(put func(...string) error) error {
		for _, item := range list {
			if texts := row(item); texts != nil {
				if err := put(texts...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func textColumns(names ...string) []plan.Column {
	var cols []plan.Column
	for _, n := range names {
		cols = append(cols, plan.Column{Name: n, Type: plan.Text})
	}
	return cols
}
