package sql

import (
	"strconv"
	"strings"
)

func (p *printer) statement(s Statement) {
	switch s := s.(type) {
	case *Query:
		p.query(s)
	case *Insert:
		p.insert(s)
	case *Delete:
		p.delete(s)
	case *Copy:
		p.copy(s)
	case *CreateTable:
		p.createTable(s)
	case *AlterTable:
		p.alterTable(s)
	case *DropTable:
		p.put("DROP TABLE ")
		p.when(s.IfExists, "IF EXISTS ")
		p.names(s.Names)
	case *Truncate:
		p.put("TRUNCATE TABLE ")
		p.names(s.Names)
	case *Explain:
		p.explain(s)
	case *CreateRole, *AlterRole, *DropRole, *Grant, *CreateToken, *DropToken:
		p.roleStatement(s)
	default:
		p.session(s)
	}
}

func (p *printer) insert(s *Insert) {
	p.with(s.With)
	p.put("INSERT INTO ", s.Table.String())
	if s.Alias.Name != "" {
		p.put(" AS ")
		p.name(s.Alias.Name)
	}
	p.columns(" ", s.Columns)
	if s.Source == nil {
		p.put(" DEFAULT VALUES")
	} else {
		p.put(" ")
		p.query(s.Source)
	}
	if s.Conflict != nil {
		p.put(" ON CONFLICT ")
		if len(s.Conflict.Columns) > 0 {
			p.columns("", s.Conflict.Columns)
			p.put(" ")
		}
		p.put("DO NOTHING")
	}
	p.returning(s.Returning)
}

func (p *printer) returning(list []SelectItem) {
	if len(list) > 0 {
		p.put(" RETURNING")
		p.items(list)
	}
}

func (p *printer) delete(s *Delete) {
	p.with(s.With)
	p.put("DELETE FROM ", s.Table.String())
	if s.Alias.Name != "" {
		p.put(" AS ")
		p.name(s.Alias.Name)
	}
	if s.Where != nil {
		p.put(" WHERE ")
		p.expr(s.Where, 0)
	}
	p.returning(s.Returning)
}

func (p *printer) copy(s *Copy) {
	p.put("COPY ")
	if s.Query != nil {
		p.put("(")
		p.query(s.Query)
		p.put(")")
	} else {
		p.put(s.Table.String())
		p.columns(" ", s.Columns)
	}
	if s.From {
		p.put(" FROM STDIN")
	} else {
		p.put(" TO STDOUT")
	}
	if len(s.Options) > 0 {
		p.put(" WITH ")
		p.options(s.Options, " ")
	}
	if s.Where != nil {
		p.put(" WHERE ")
		p.expr(s.Where, 0)
	}
}

func (p *printer) createTable(s *CreateTable) {
	p.put("CREATE TABLE ")
	p.when(s.IfNotExists, "IF NOT EXISTS ")
	p.put(s.Name.String(), " (")
	for i, c := range s.Columns {
		p.comma(i)
		p.columnDef(c)
	}
	p.put(")")
	if len(s.Options) > 0 {
		p.put(" WITH ")
		p.options(s.Options, " = ")
	}
}

func (p *printer) columnDef(c ColumnDef) {
	p.name(c.Name)
	p.put(" ")
	p.typeName(c.Type)
	if len(c.Order) > 0 {
		p.put(" ORDER (")
		for i, v := range c.Order {
			p.comma(i)
			p.literal(&v)
		}
		p.put(")")
	}
	p.when(c.NotNull, " NOT NULL")
	if c.Default != nil {
		p.put(" DEFAULT ")
		p.expr(c.Default, powerOperator)
	}
}

func (p *printer) alterTable(s *AlterTable) {
	p.put("ALTER TABLE ")
	p.when(s.IfExists, "IF EXISTS ")
	p.put(s.Name.String())
	for i, a := range s.Actions {
		p.when(i > 0, ",")
		switch a := a.(type) {
		case *SetOptions:
			p.put(" SET ")
			p.options(a.Options, " = ")
		case *ResetOptions:
			p.put(" RESET (")
			for i, n := range a.Names {
				p.comma(i)
				p.dotted(n.Name)
			}
			p.put(")")
		case *AddColumn:
			p.put(" ADD COLUMN ")
			p.when(a.IfNotExists, "IF NOT EXISTS ")
			p.columnDef(a.Column)
		}
	}
}

func (p *printer) explain(s *Explain) {
	var words []string
	if s.Analyze {
		words = append(words, "ANALYZE")
	}
	if s.Verbose {
		words = append(words, "VERBOSE")
	}
	if s.Format == "json" {
		words = append(words, "FORMAT JSON")
	}
	p.put("EXPLAIN ")
	if len(words)+len(s.Options) > 0 {
		p.put("(", strings.Join(words, ", "))
		if len(s.Options) > 0 {
			var inner printer
			inner.options(s.Options, " ")
			p.when(len(words) > 0, ", ")
			p.put(strings.TrimPrefix(inner.b.String(), "("), " ")
		} else {
			p.put(") ")
		}
	}
	p.statement(s.Statement)
}

// session writes the statements about settings and transactions.
func (p *printer) session(s Statement) {
	switch s := s.(type) {
	case *Set:
		p.put("SET ")
		p.when(s.Local, "LOCAL ")
		p.setting(s)
	case *SetTransaction:
		p.put("SET ")
		p.when(s.Session, "SESSION CHARACTERISTICS AS ")
		p.put("TRANSACTION")
		p.txModes(s.Modes)
		p.when(s.Modes == TxModes{}, " NOT DEFERRABLE")
	case *Show:
		p.put("SHOW ")
		p.dotted(s.Name)
	case *Reset:
		p.put("RESET ")
		p.dotted(s.Name)
	case *Transaction:
		p.transaction(s)
	case *Discard:
		p.put("DISCARD ", strings.ToUpper(s.What))
	case *Prepare:
		p.prepare(s)
	case *Execute:
		p.put("EXECUTE ")
		p.name(s.Name)
		if len(s.Args) > 0 {
			p.put("(")
			p.list(s.Args)
			p.put(")")
		}
	case *Deallocate:
		p.put("DEALLOCATE PREPARE ")
		p.nameOr(s.Name, "ALL")
	case *Declare:
		p.put("DECLARE ")
		p.name(s.Name)
		p.when(s.Binary, " BINARY")
		p.when(s.Scroll != "", " "+strings.ToUpper(s.Scroll))
		p.put(" CURSOR ")
		p.when(s.Hold, "WITH HOLD ")
		p.put("FOR ")
		p.statement(s.Query)
	case *Fetch:
		p.fetch(s)
	case *Close:
		p.put("CLOSE ")
		p.nameOr(s.Name, "ALL")
	case *Unlisten:
		p.put("UNLISTEN ")
		p.nameOr(s.Name, "*")
	}
}

func (p *printer) prepare(s *Prepare) {
	p.put("PREPARE ")
	p.name(s.Name)
	sep := "("
	for _, t := range s.Types {
		p.put(sep)
		p.typeName(t)
		sep = ", "
	}
	p.when(len(s.Types) > 0, ")")
	p.put(" AS ")
	p.statement(s.Statement)
}

func (p *printer) fetch(s *Fetch) {
	if s.Move {
		p.put("MOVE ")
	} else {
		p.put("FETCH ")
	}
	p.put(strings.ToUpper(s.Direction), " ")
	if s.All {
		p.put("ALL")
	} else {
		p.put(strconv.FormatInt(s.Count, 10))
	}
	p.put(" FROM ")
	p.name(s.Name)
}

func (p *printer) nameOr(name, otherwise string) {
	if name == "" {
		p.put(otherwise)
		return
	}
	p.name(name)
}

func (p *printer) setting(s *Set) {
	first, rest, _ := strings.Cut(s.Name, ".")
	switch first {
	case "names", "local", "session", "transaction", "role", "time":
		p.put(`"`, first, `"`) // behind SET they begin something else
	default:
		p.word(first)
	}
	if rest != "" {
		p.put(".")
		p.dotted(rest)
	}
	p.put(" = ")
	if s.Values == nil {
		p.put("DEFAULT")
		return
	}
	p.list(s.Values)
}

func (p *printer) txModes(m TxModes) {
	sep := " "
	if m.Isolation != "" {
		p.put(sep, "ISOLATION LEVEL ", strings.ToUpper(m.Isolation))
		sep = ", "
	}
	switch m.Access {
	case ReadOnly:
		p.put(sep, "READ ONLY")
		sep = ", "
	case ReadWrite:
		p.put(sep, "READ WRITE")
		sep = ", "
	}
	p.when(m.Deferrable, sep+"DEFERRABLE")
}

func (p *printer) transaction(s *Transaction) {
	if s.Start {
		p.put("START TRANSACTION")
		p.txModes(s.Modes)
		return
	}
	p.put([...]string{Begin: "BEGIN", Commit: "COMMIT", Rollback: "ROLLBACK", Savepoint: "SAVEPOINT ",
		Release: "RELEASE SAVEPOINT ", RollbackTo: "ROLLBACK TO SAVEPOINT "}[s.Kind])
	if s.Name != "" {
		p.name(s.Name)
	}
	p.txModes(s.Modes)
	p.when(s.Chain, " AND CHAIN")
}

func (p *printer) roleStatement(s Statement) {
	switch s := s.(type) {
	case *CreateRole:
		p.put("CREATE ROLE ")
		p.when(s.IfNotExists, "IF NOT EXISTS ")
		p.role(s.Name)
		p.roleOptions(s.Options)
	case *AlterRole:
		p.put("ALTER ROLE ")
		p.role(s.Name)
		p.roleOptions(s.Options)
		switch set := s.Setting.(type) {
		case *Set:
			p.put(" SET ")
			p.setting(set)
		case *Reset:
			p.put(" ")
			p.session(set)
		}
	case *DropRole:
		p.put("DROP ROLE ")
		p.when(s.IfExists, "IF EXISTS ")
		p.roleList(s.Names)
	case *Grant:
		p.grant(s)
	case *CreateToken:
		p.put("CREATE TOKEN ")
		p.name(s.Name.Name)
		p.put(" FOR ROLE ")
		p.role(s.Role)
		if s.For != nil {
			p.put(" VALID FOR ")
			p.literal(s.For)
		}
		if s.Until != nil {
			p.put(" VALID UNTIL ")
			p.literal(s.Until)
		}
	case *DropToken:
		p.put("DROP TOKEN ")
		p.when(s.IfExists, "IF EXISTS ")
		p.name(s.Name.Name)
		p.put(" FOR ROLE ")
		p.role(s.Role)
	}
}

// role writes the name of a role. The words that mean a role of the session stand without quotes.
func (p *printer) role(id Ident) {
	switch id.Name {
	case "current_user", "current_role", "session_user":
		p.put(id.Name)
	case "group":
		p.put(`"group"`)
	default:
		p.name(id.Name)
	}
}

func (p *printer) roleList(list []Ident) {
	for i, id := range list {
		p.comma(i)
		p.role(id)
	}
}

func (p *printer) roleOptions(list []RoleOption) {
	for _, o := range list {
		p.put(" ", strings.ToUpper(o.Name))
		if o.Value != nil {
			p.put(" ")
			p.literal(o.Value)
		}
	}
}

func (p *printer) grant(g *Grant) {
	if g.Revoke {
		p.put("REVOKE ")
		p.when(g.Option, "GRANT OPTION FOR ")
	} else {
		p.put("GRANT ")
	}
	for i, id := range g.Privileges {
		p.comma(i)
		if id.Name == "all" {
			p.put([...]string{"ALL", `"all"`}[min(len(g.Privileges)-1, 1)])
		} else {
			p.word(id.Name)
		}
	}
	switch {
	case g.AllTables:
		p.put(" ON ALL TABLES IN SCHEMA ")
		p.idents(g.Objects)
	case g.Object == "system":
		p.put(" ON SYSTEM")
	case g.Object != "":
		p.put(" ON ", strings.ToUpper(g.Object), " ")
		p.idents(g.Objects)
	case len(g.Tables) > 0:
		p.put(" ON TABLE ")
		p.names(g.Tables)
	}
	if g.Revoke {
		p.put(" FROM ")
	} else {
		p.put(" TO ")
	}
	p.roleList(g.Roles)
	p.when(g.Option && !g.Revoke, " WITH GRANT OPTION")
}
