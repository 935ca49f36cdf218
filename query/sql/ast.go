package sql

// Pos is a place in the statement text: a byte offset from 0. Every node carries the place that an error about it should
// point to: the first byte of what was written, or the operator of an infix expression. CharPos turns it into what
// PostgreSQL clients expect.
type Pos int32

// At is the place of the node that embeds p.
func (p Pos) At() Pos { return p }

// Statement is one parsed statement: *Query, *Insert, *Delete, *Copy, *CreateTable, *AlterTable, *DropTable, *Truncate,
// *Explain, *Set, *SetTransaction, *Show, *Reset, *Transaction, *Discard, *Prepare, *Execute, *Deallocate, *Declare, *Fetch, *Close,
// *Unlisten, *CreateRole, *AlterRole, *DropRole, *Grant.
type Statement interface {
	At() Pos
	statement()
}

// Expr is one parsed expression: *Literal, *Column, *Star, *Param, *Default, *Unary, *Binary, *Logic, *Not, *Is,
// *IsDistinct, *Between, *Like, *In, *Quantified, *Exists, *Subquery, *Array, *Row, *Subscript, *Field, *Call, *Case,
// *Cast, *Collate.
type Expr interface {
	At() Pos
	expr()
}

// Ident is a name as it stands in the tree: folded to lower case unless it was quoted.
type Ident struct {
	Pos
	Name string
}

// Name is a possibly qualified name of a table, function, type or collation. Empty qualifiers were not written.
type Name struct {
	Pos
	Database, Schema, Name string
}

// String is the name in SQL, quoted where it must be.
func (n Name) String() string {
	s := QuoteIdent(n.Name)
	if n.Schema != "" {
		s = QuoteIdent(n.Schema) + "." + s
	}
	if n.Database != "" {
		s = QuoteIdent(n.Database) + "." + s
	}
	return s
}

// TypeName is a type. The spellings of the SQL standard are brought to PostgreSQL's internal names: integer and int are
// int4, bigint is int8, boolean is bool, double precision is float8, character varying is varchar, character is bpchar,
// decimal is numeric, timestamp with time zone is timestamptz.
type TypeName struct {
	Name
	Mods []int32 // (10, 2) of numeric(10, 2)
	Dims int     // 1 for int8[], 2 for int8[][]; bounds are not kept
}

// OptionKind says how the value of an option was written.
type OptionKind uint8

const (
	OptionBare   OptionKind = iota // no value: HEADER
	OptionWord                     // FORMAT csv, ANALYZE true
	OptionString                   // window = '1h'
	OptionNumber                   // cardinality = 5000, sign included
	OptionList                     // FORCE_NULL (a, b)
)

// Option is one entry of a parenthesised list: WITH (window = '1h'), COPY … (FORMAT csv), EXPLAIN (ANALYZE).
// Its name is in lower case and may have dots (cardinality.country).
type Option struct {
	Pos
	Name     string
	Kind     OptionKind
	Value    string // the word, string or number; a word is in lower case unless it was quoted
	ValuePos Pos    // where Value stands; the place of the name if there is none
	List     []Ident
}
