package sql

import "strings"

// CreateTable is CREATE TABLE. Options are WITH (…), in the order written, no name twice.
type CreateTable struct {
	Pos
	IfNotExists bool
	Name        Name
	Columns     []ColumnDef
	Options     []Option
}

// ColumnDef declares one dimension. Type.Name is "text", "int8" or "bool" without a schema: the spellings of whole
// numbers all become int8, those of text become text, and other types are refused by the parser.
type ColumnDef struct {
	Pos
	Name    string
	Type    TypeName
	NotNull bool
	Default Expr      // nil if there is none; a constant in every sensible statement, which the planner checks
	Order   []Literal // TEXT ORDER ('low', 'mid', 'high'): strings, lowest first; nil for other columns
}

// AlterTable is ALTER TABLE with one or more actions.
type AlterTable struct {
	Pos
	IfExists bool
	Name     Name
	Actions  []AlterAction
}

// AlterAction is *SetOptions, *ResetOptions or *AddColumn.
type AlterAction interface {
	At() Pos
	alterAction()
}

// SetOptions is SET (retention = '30d').
type SetOptions struct {
	Pos
	Options []Option
}

// ResetOptions is RESET (retention).
type ResetOptions struct {
	Pos
	Names []Ident // dots allowed
}

// AddColumn is ADD [COLUMN] [IF NOT EXISTS] definition.
type AddColumn struct {
	Pos
	IfNotExists bool
	Column      ColumnDef
}

// DropTable is DROP TABLE. CASCADE and RESTRICT are accepted and mean nothing: no object depends on a table.
type DropTable struct {
	Pos
	IfExists bool
	Names    []Name
}

// Truncate is TRUNCATE [TABLE].
type Truncate struct {
	Pos
	Names []Name
}

// Insert is INSERT. Source is nil for DEFAULT VALUES; for VALUES it is a Query whose Body is *Values, nearly
// always without another clause.
type Insert struct {
	Pos
	With     *With
	Table    Name
	Alias    Ident
	Columns  []Ident // empty: the table's own order
	Source   *Query
	Conflict *OnConflict
	// Returning is empty if there is none.
	Returning    []SelectItem
	ReturningPos Pos
}

// OnConflict is ON CONFLICT [(columns)] DO NOTHING.
type OnConflict struct {
	Pos
	Columns []Ident
}

// Delete is DELETE FROM.
type Delete struct {
	Pos
	With         *With
	Table        Name
	Alias        Ident
	Where        Expr
	Returning    []SelectItem
	ReturningPos Pos
}

// Copy is COPY … FROM STDIN or COPY … TO STDOUT. Exactly one of Table.Name and Query is set; FROM has a table.
// The spellings without parentheses (COPY t FROM STDIN CSV HEADER) arrive as the same options.
type Copy struct {
	Pos
	Table   Name
	Columns []Ident
	Query   *Query
	From    bool
	Options []Option // format, header, delimiter, null, quote, escape, encoding, force_quote, force_null, force_not_null
	Where   Expr     // COPY t FROM … WHERE
}

// Explain is EXPLAIN [(…)] statement.
type Explain struct {
	Pos
	Analyze   bool
	Verbose   bool
	Format    string   // "text" or "json"
	Options   []Option // the other options, in the order written; all of them are switches
	Statement Statement
}

// On says whether the switch called name is on; otherwise is the answer where it was not written.
func (e *Explain) On(name string, otherwise bool) bool {
	for _, o := range e.Options {
		if o.Name == name {
			on, _ := o.on()
			return on
		}
	}
	return otherwise
}

// on reads the value of a switch; ok says that it is one.
func (o Option) on() (on, ok bool) {
	switch strings.ToLower(o.Value) {
	case "true", "on", "1":
		return true, true
	case "false", "off", "0":
		return false, true
	case "":
		return o.Kind == OptionBare, true
	}
	return false, false
}

// Set is SET [SESSION | LOCAL] name = value. Name is in lower case, with dots. SET TIME ZONE is timezone, SET NAMES is
// client_encoding, SET ROLE is role, SET SESSION AUTHORIZATION is session_authorization.
type Set struct {
	Pos
	Local  bool
	Name   string
	Values []Expr // literals, or a Unary minus around a number; words are strings; nil for DEFAULT
}

// TxModes are the modes of a transaction; zero values were not written.
type TxModes struct {
	Isolation  string // "serializable", "repeatable read", "read committed", "read uncommitted"
	Access     Access
	Deferrable bool
}

// Access is the access mode of a transaction.
type Access uint8

const (
	AccessDefault Access = iota
	ReadOnly
	ReadWrite
)

// SetTransaction is SET TRANSACTION, or SET SESSION CHARACTERISTICS AS TRANSACTION if Session.
type SetTransaction struct {
	Pos
	Session bool
	Modes   TxModes
}

// Show is SHOW name; SHOW ALL has the name "all", SHOW TRANSACTION ISOLATION LEVEL "transaction_isolation", SHOW TIME
// ZONE "timezone".
type Show struct {
	Pos
	Name string
}

// Reset is RESET name; RESET ALL has the name "all".
type Reset struct {
	Pos
	Name string
}

// TxKind is the verb of a Transaction.
type TxKind uint8

const (
	Begin      TxKind = iota + 1 // BEGIN, START TRANSACTION
	Commit                       // COMMIT, END
	Rollback                     // ROLLBACK, ABORT
	Savepoint                    // SAVEPOINT name
	Release                      // RELEASE [SAVEPOINT] name
	RollbackTo                   // ROLLBACK TO [SAVEPOINT] name
)

// Transaction begins or ends a transaction or a savepoint.
type Transaction struct {
	Pos
	Kind  TxKind
	Modes TxModes // of Begin
	Start bool    // spelled START TRANSACTION, which is what the answer then says
	Chain bool    // COMMIT AND CHAIN, ROLLBACK AND CHAIN
	Name  string  // of a savepoint
}

// Discard is DISCARD; What is "all", "plans", "sequences" or "temp".
type Discard struct {
	Pos
	What string
}

// Prepare is PREPARE name (types) AS statement, which is a *Query, *Insert or *Delete.
type Prepare struct {
	Pos
	Name      string
	Types     []TypeName // of $1, $2, … as far as they are said
	Statement Statement
}

// Execute is EXECUTE name (arguments).
type Execute struct {
	Pos
	Name string
	Args []Expr
}

// Deallocate is DEALLOCATE name; an empty name is ALL.
type Deallocate struct {
	Pos
	Name string
}

// Declare is DECLARE name CURSOR FOR query. INSENSITIVE and ASENSITIVE are accepted and mean nothing: every cursor is insensitive.
type Declare struct {
	Pos
	Name   string
	Binary bool
	Scroll string // "scroll", "no scroll", or empty
	Hold   bool   // WITH HOLD
	Query  *Query
}

// Fetch is FETCH, or MOVE if Move. NEXT is forward with count 1, PRIOR backward with count 1, FIRST absolute 1, LAST absolute -1.
type Fetch struct {
	Pos
	Move      bool
	Direction string // "forward", "backward", "absolute" or "relative"
	All       bool   // of forward and backward, in the place of Count
	Count     int64
	Name      string
}

// Close is CLOSE name; an empty name is ALL.
type Close struct {
	Pos
	Name string
}

// Unlisten is UNLISTEN channel; an empty name is *.
type Unlisten struct {
	Pos
	Name string
}

// CreateRole is CREATE ROLE or CREATE USER; the latter adds the option login.
type CreateRole struct {
	Pos
	IfNotExists bool
	Name        Ident
	Options     []RoleOption
}

// AlterRole is ALTER ROLE name with options, or SET or RESET of a setting if Setting is not nil.
type AlterRole struct {
	Pos
	Name    Ident
	Options []RoleOption
	Setting Statement // *Set or *Reset
}

// DropRole is DROP ROLE.
type DropRole struct {
	Pos
	IfExists bool
	Names    []Ident
}

// CreateToken is CREATE TOKEN name FOR ROLE role, with VALID FOR a span or VALID UNTIL a time.
type CreateToken struct {
	Pos
	Name, Role Ident
	For, Until *Literal // at most one of them
}

// DropToken is DROP TOKEN name FOR ROLE role.
type DropToken struct {
	Pos
	IfExists   bool
	Name, Role Ident
}

// RoleOption is an attribute of a role: login, nologin, superuser, nosuperuser, createrole, …; password, connection
// limit and valid until have a value.
type RoleOption struct {
	Pos
	Name  string // in lower case, words joined by one space
	Value *Literal
}

// Grant is GRANT, or REVOKE if Revoke. With neither Tables nor AllTables nor Object, Privileges are the names of roles.
type Grant struct {
	Pos
	Revoke     bool
	Privileges []Ident // in lower case; ALL PRIVILEGES is "all"
	Tables     []Name
	AllTables  bool   // ON ALL TABLES IN SCHEMA, Objects are schemas
	Object     string // "schema", "database" or "system" where it is not tables
	Objects    []Ident
	Roles      []Ident
	Option     bool // WITH GRANT OPTION, WITH ADMIN OPTION; of REVOKE: GRANT OPTION FOR, ADMIN OPTION FOR
}

func (*CreateTable) statement()    {}
func (*AlterTable) statement()     {}
func (*DropTable) statement()      {}
func (*Truncate) statement()       {}
func (*Insert) statement()         {}
func (*Delete) statement()         {}
func (*Copy) statement()           {}
func (*Explain) statement()        {}
func (*Set) statement()            {}
func (*SetTransaction) statement() {}
func (*Show) statement()           {}
func (*Reset) statement()          {}
func (*Transaction) statement()    {}
func (*Discard) statement()        {}
func (*Prepare) statement()        {}
func (*Execute) statement()        {}
func (*Deallocate) statement()     {}
func (*Close) statement()          {}
func (*Declare) statement()        {}
func (*Fetch) statement()          {}
func (*Unlisten) statement()       {}
func (*CreateRole) statement()     {}
func (*AlterRole) statement()      {}
func (*DropRole) statement()       {}
func (*Grant) statement()          {}
func (*CreateToken) statement()    {}
func (*DropToken) statement()      {}

func (*SetOptions) alterAction()   {}
func (*ResetOptions) alterAction() {}
func (*AddColumn) alterAction()    {}
