package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/storage/schema"
)

// wire is a connection of a role.
func (g *guild) wire(role string) *pgconn.PgConn {
	g.t.Helper()
	c, err := pgconn.Connect(g.t.Context(), g.dsn(role, password(role)))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close(g.t.Context()) })
	return c
}

// rows gives the rows of a query: columns by a bar, rows by a comma.
func (g *guild) rows(c *pgconn.PgConn, text string) string {
	g.t.Helper()
	r := c.ExecParams(g.t.Context(), text, nil, nil, nil, nil).Read()
	if r.Err != nil {
		return r.Err.Error()
	}
	lines := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		fields := make([]string, len(row))
		for k, f := range row {
			if fields[k] = string(f); f == nil {
				fields[k] = "NULL"
			}
		}
		lines[i] = strings.Join(fields, "|")
	}
	return strings.Join(lines, ", ")
}

// TestPrivilegeFunctions compares what has_table_privilege says with what the rules let a role do: of itself, and of any role by its name
// and by its OID.
func TestPrivilegeFunctions(t *testing.T) {
	g := newGuild(t)
	root := g.wire("root")
	for _, role := range g.roles() {
		if role == anybody {
			continue
		}
		own := g.wire(role)
		check := func(relation, privilege string, want bool) {
			t.Helper()
			answer := map[bool]string{true: "t", false: "f"}[want]
			for of, got := range map[string]string{
				"itself":  g.rows(own, fmt.Sprintf("SELECT has_table_privilege('%s', '%s')", relation, privilege)),
				"by name": g.rows(root, fmt.Sprintf("SELECT has_table_privilege('%s', '%s', '%s')", role, relation, privilege)),
				"by OID":  g.rows(root, fmt.Sprintf("SELECT has_table_privilege(oid, '%s'::regclass, lower('%s')) FROM pg_roles WHERE rolname = '%s'", relation, privilege, role)),
			} {
				if got != answer {
					t.Errorf("has_table_privilege of %s, %s, on %s %s: %s, want %s", role, of, privilege, relation, got, answer)
				}
			}
		}
		for _, name := range schema.TablePrivileges.Names() {
			p, _ := schema.PrivilegeByName(name)
			check("t", name, role == "root" || holders()[role] == p)
			check("t", name+" WITH GRANT OPTION", role == "root")
		}
		check("t", "UPDATE, REFERENCES, TRIGGER", false)
		check("t", "DELETE", role == "root" || holders()[role].Has(schema.Truncate|schema.Select))
		check("pg_class", "SELECT", true)
		check("pg_class", "INSERT", false)
		for name, rule := range access.Relations {
			check(name, "SELECT", allowed(rule, role))
		}
		if got, want := g.rows(own, "SELECT has_schema_privilege('public', 'CREATE')"), map[bool]string{true: "t", false: "f"}[role == "root" || role == "may_create"]; got != want {
			t.Errorf("CREATE on public as %s: %s, want %s", role, got, want)
		}
		seen := role == "root" || schema.TablePrivileges.Has(holders()[role]) && holders()[role] != 0
		if got, want := g.rows(own, "SELECT count(*) FROM information_schema.tables WHERE table_name = 't'"), map[bool]string{true: "1", false: "0"}[seen]; got != want {
			t.Errorf("information_schema.tables as %s: %s, want %s", role, got, want)
		}
	}
}

// TestRightsInTheCatalogs: what pg_catalog and information_schema show of roles and grants, and the errors of the functions.
func TestRightsInTheCatalogs(t *testing.T) {
	g := newGuild(t)
	root := g.wire("root")
	for _, text := range []string{
		"CREATE ROLE readers", "CREATE ROLE \"Ann-1\" LOGIN PASSWORD 'a' CONNECTION LIMIT 3 VALID UNTIL '2031-02-03'", "GRANT readers TO \"Ann-1\"",
		"ALTER ROLE \"Ann-1\" SET statement_timeout = '5s'", "CREATE TABLE u (x text, y int8)", "GRANT SELECT, INSERT ON u TO readers", "GRANT SELECT ON u TO may_drop WITH GRANT OPTION",
		"CREATE TABLE everybodys (x text)", "GRANT SELECT ON everybodys TO public", "GRANT CREATE ON SYSTEM TO readers",
	} {
		if err := g.simple(root, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	nothing := g.wire("nothing")
	for _, tc := range []struct {
		as   *pgconn.PgConn
		text string
		want string
	}{
		{root, "SELECT relname, relacl::text, pg_get_userbyid(relowner) FROM pg_class WHERE relname IN ('u', 'everybodys') ORDER BY 1",
			`everybodys|{root=arDAP/root,=r/root}|root, u|{root=arDAP/root,may_drop=r*/root,readers=ar/root}|root`},
		{root, "SELECT relacl::text FROM pg_class WHERE oid IN ('pg_class'::regclass, 'quipu.nodes'::regclass) ORDER BY oid", "{root=r/root,=r/root}, {root=r/root,may_monitor=r/root}"},
		{root, "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'", "{root=UC/root,=U/root,may_create=C/root,readers=C/root}"},
		{root, "SELECT rolname, rolcanlogin, rolconnlimit, rolvaliduntil, rolconfig::text FROM pg_roles WHERE rolname IN ('readers', 'Ann-1') ORDER BY 1",
			"Ann-1|t|3|2031-02-03 00:00:00+00|{statement_timeout=5s}, readers|f|-1|NULL|NULL"},
		{root, "SELECT count(*) FROM pg_roles WHERE rolname = 'quipu'", "0"}, // nobody is called that here
		{root, "SELECT pg_has_role('Ann-1', 'readers', 'USAGE'), pg_has_role('readers', 'Ann-1', 'MEMBER'), pg_has_role('readers', 'MEMBER')", "t|f|t"},
		{root, "SELECT has_table_privilege('Ann-1', 'u', 'INSERT'), has_column_privilege('Ann-1', 'u', 'y', 'SELECT'), has_any_column_privilege('Ann-1', 'u', 'UPDATE')", "t|t|f"},
		{root, "SELECT has_table_privilege('may_drop', 'u', 'SELECT WITH GRANT OPTION'), has_table_privilege('readers', 'u', 'SELECT WITH GRANT OPTION')", "t|f"},
		{root, "SELECT has_table_privilege('public', 'everybodys', 'SELECT'), has_table_privilege('public', 'u', 'SELECT')", "t|f"},
		{root, "SELECT has_table_privilege(99, 'SELECT'), has_column_privilege('u', 9::int2, 'SELECT')", "NULL|NULL"},
		{root, "SELECT has_table_privilege('nobody', 'u', 'SELECT')", `ERROR: role "nobody" does not exist (SQLSTATE 42704)`},
		{root, "SELECT has_table_privilege('v', 'SELECT')", `ERROR: relation "v" does not exist (SQLSTATE 42P01)`},
		{root, "SELECT has_table_privilege('u', 'LOOK')", `ERROR: unrecognized privilege type: "LOOK" (SQLSTATE 22023)`},
		{root, "SELECT has_column_privilege('u', 'z', 'SELECT')", `ERROR: column "z" of relation "u" does not exist (SQLSTATE 42703)`},
		{nothing, "SELECT has_table_privilege('u', 'SELECT'), has_table_privilege('everybodys', 'SELECT'), has_database_privilege('quipu', 'CONNECT')", "f|t|t"},
		{nothing, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace", "everybodys t u"},
		{nothing, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'", "everybodys"},
		{nothing, "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public'", "everybodys"},
		{nothing, "SELECT grantee, table_name, privilege_type FROM information_schema.table_privileges WHERE table_schema = 'public'", "PUBLIC|everybodys|SELECT"},
		{root, "SELECT grantee, privilege_type, is_grantable FROM information_schema.role_table_grants WHERE table_name = 'u' AND grantee <> 'root' ORDER BY 1, 2",
			"may_drop|SELECT|YES, readers|INSERT|NO, readers|SELECT|NO"},
		{root, "SELECT grantee, role_name FROM information_schema.applicable_roles", "Ann-1|readers"},
		{nothing, "SELECT role_name FROM information_schema.enabled_roles", "nothing"},
	} {
		if got := g.rows(tc.as, tc.text); got != tc.want {
			t.Errorf("%s\n%s, want\n%s", tc.text, got, tc.want)
		}
	}
}

// TestSizes: a table that has been written to disk takes room there, for who may read it.
func TestSizes(t *testing.T) {
	g := newGuild(t)
	root, nothing := g.wire("root"), g.wire("nothing")
	if err := g.simple(root, "INSERT INTO t (x) SELECT 'value ' || g FROM generate_series(1, 5000) g"); err != nil {
		if err = g.simple(root, "INSERT INTO t (x) VALUES "+strings.TrimSuffix(strings.Repeat("('a'), ('b'), ", 100), ", ")); err != nil {
			t.Fatal(err)
		}
	}
	for _, sh := range g.Node.held() {
		if err := sh.replica.Store().Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const ask = "SELECT pg_table_size('t') > 0, pg_total_relation_size('t'::regclass) = pg_relation_size('t'), reltuples > 0, pg_database_size('quipu') >= pg_table_size('t') FROM pg_class WHERE relname = 't'"
	if got := g.rows(root, ask); got != "t|t|t|t" {
		t.Error(got)
	}
	if got := g.rows(nothing, "SELECT pg_table_size('t'), reltuples, pg_database_size('quipu') > 0 FROM pg_class WHERE relname = 't'"); got != "NULL|-1|t" {
		t.Error(got)
	}
	if got := g.rows(root, "SELECT pg_table_size(99), pg_table_size('pg_class'), pg_indexes_size('t')"); got != "NULL|0|0" {
		t.Error(got)
	}
}

// A cursor shows nothing that a SELECT would not.
func TestCursorObeysTheRights(t *testing.T) {
	g := newGuild(t)
	if err := g.simple(g.wire("root"), "BEGIN READ ONLY; DECLARE c CURSOR FOR SELECT count(*) FROM t; FETCH c; COMMIT"); err != nil {
		t.Errorf("as root: %v", err)
	}
	if err := g.simple(g.wire("nothing"), "BEGIN READ ONLY; DECLARE c CURSOR FOR SELECT count(*) FROM t; FETCH c; COMMIT"); !strings.Contains(fmt.Sprint(err), "42501") {
		t.Errorf("as a role without rights: %v", err)
	}
}
