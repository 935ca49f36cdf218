package sql

// LiteralKind is the kind of a constant.
type LiteralKind uint8

const (
	NullLiteral   LiteralKind = iota
	BoolLiteral               // Text is "true" or "false"
	IntLiteral                // digits only, of any length; a sign is a Unary around it
	NumberLiteral             // with a decimal point or an exponent
	StringLiteral             // of no type yet, as in PostgreSQL; Text is the value, without quotes and escapes
)

// Literal is a constant. Text may share memory with the statement text.
type Literal struct {
	Pos
	Kind LiteralKind
	Text string
}

// Column is a reference to a column: name, table.name or schema.table.name.
type Column struct {
	Pos
	Schema, Table, Name string
}

// Star is * or t.* in a select list, RETURNING, or (record).* if Record is not nil.
type Star struct {
	Pos
	Schema, Table string
	Record        Expr
}

// Param is $1, $2, …; N is between 1 and ParamsMax.
type Param struct {
	Pos
	N int
}

// Default is the word DEFAULT in a row of INSERT … VALUES.
type Default struct{ Pos }

// Unary is a prefix operator. -1 is a Unary around the literal 1.
type Unary struct {
	Pos
	Schema, Op string
	X          Expr
}

// Binary is an infix operator, comparison included; != is written <>. OPERATOR(schema.op) fills Schema.
// Its place is the operator.
type Binary struct {
	Pos
	Schema, Op string
	L, R       Expr
}

// LogicOp is AND or OR.
type LogicOp uint8

const (
	And LogicOp = iota + 1
	Or
)

// Logic is a chain of two or more arguments joined by the same AND or OR; a chain of one operator is never nested in the
// left of itself, so that a thousand conditions make a wide tree and not a deep one.
type Logic struct {
	Pos
	Op   LogicOp
	Args []Expr
}

// Not is NOT x.
type Not struct {
	Pos
	X Expr
}

// IsKind is the right side of IS.
type IsKind uint8

const (
	IsNull IsKind = iota + 1
	IsTrue
	IsFalse
	IsUnknown
)

// Is is x IS [NOT] NULL, TRUE, FALSE or UNKNOWN.
type Is struct {
	Pos
	X    Expr
	Kind IsKind
	Not  bool
}

// IsDistinct is l IS [NOT] DISTINCT FROM r.
type IsDistinct struct {
	Pos
	L, R Expr
	Not  bool
}

// Between is x [NOT] BETWEEN [SYMMETRIC] low AND high.
type Between struct {
	Pos
	X, Low, High Expr
	Not          bool
	Symmetric    bool
}

// LikeKind is the kind of a pattern match.
type LikeKind uint8

const (
	PlainLike LikeKind = iota + 1 // LIKE
	ILike                         // ILIKE
	SimilarTo                     // SIMILAR TO
)

// Like is x [NOT] LIKE pattern [ESCAPE e].
type Like struct {
	Pos
	Kind       LikeKind
	X, Pattern Expr
	Escape     Expr // nil: backslash
	Not        bool
}

// In is x [NOT] IN (list) or x [NOT] IN (query); exactly one of List and Query is set.
type In struct {
	Pos
	X     Expr
	List  []Expr
	Query *Query
	Not   bool
}

// Quantified is x op ANY (…) or x op ALL (…) over an array or a query; exactly one of Array and Query is set.
// SOME is ANY. Op may be "like", "ilike", "not like" or "not ilike" besides operators.
type Quantified struct {
	Pos
	X          Expr
	Schema, Op string
	All        bool
	Array      Expr
	Query      *Query
}

// Exists is EXISTS (query).
type Exists struct {
	Pos
	Query *Query
}

// Subquery is a query in parentheses used as a value; with Array it is ARRAY(query).
type Subquery struct {
	Pos
	Query *Query
	Array bool
}

// Array is ARRAY[…]; nested brackets are nested Arrays.
type Array struct {
	Pos
	Elems []Expr
}

// Row is ROW(…) or (a, b, …).
type Row struct {
	Pos
	Elems []Expr
}

// Subscript is x[low], or x[low:high] if Slice, where either bound may be nil.
type Subscript struct {
	Pos
	X         Expr
	Low, High Expr
	Slice     bool
}

// Field is (record).name.
type Field struct {
	Pos
	X    Expr
	Name string
}

// Arg is one argument of a call. Name is empty unless it was written name => value or name := value.
type Arg struct {
	Pos
	Name  string
	Value Expr
}

// Call is the call of a function or an aggregate. What has its own syntax in the standard arrives as the call that
// PostgreSQL makes of it:
//
//	extract(hour FROM x)             extract('hour', x)
//	trim(BOTH a FROM b), trim(b)     btrim(b, a), btrim(b); LEADING ltrim, TRAILING rtrim
//	substring(x FROM a FOR b)        substring(x, a, b)
//	position(a IN b)                 strpos(b, a)
//	overlay(a PLACING b FROM c FOR d) overlay(a, b, c, d)
//	x AT TIME ZONE z                 timezone(z, x)
//	current_user, current_date, …    current_user() and so on, Args empty
type Call struct {
	Pos
	Name        Name
	Args        []Arg
	Star        bool // count(*)
	Distinct    bool
	Variadic    bool // the last argument is VARIADIC
	OrderBy     []OrderItem
	WithinGroup []OrderItem
	Filter      Expr
	Over        *WindowSpec
}

// When is one branch of a CASE.
type When struct{ If, Then Expr }

// Case is CASE [operand] WHEN … THEN … [ELSE …] END.
type Case struct {
	Pos
	Operand Expr // may be nil
	Whens   []When
	Else    Expr // may be nil
}

// Cast is x::type, CAST(x AS type) and type 'text'.
type Cast struct {
	Pos
	X    Expr
	Type TypeName
}

// Collate is x COLLATE name.
type Collate struct {
	Pos
	X    Expr
	Name Name
}

func (*Literal) expr()    {}
func (*Column) expr()     {}
func (*Star) expr()       {}
func (*Param) expr()      {}
func (*Default) expr()    {}
func (*Unary) expr()      {}
func (*Binary) expr()     {}
func (*Logic) expr()      {}
func (*Not) expr()        {}
func (*Is) expr()         {}
func (*IsDistinct) expr() {}
func (*Between) expr()    {}
func (*Like) expr()       {}
func (*In) expr()         {}
func (*Quantified) expr() {}
func (*Exists) expr()     {}
func (*Subquery) expr()   {}
func (*Array) expr()      {}
func (*Row) expr()        {}
func (*Subscript) expr()  {}
func (*Field) expr()      {}
func (*Call) expr()       {}
func (*Case) expr()       {}
func (*Cast) expr()       {}
func (*Collate) expr()    {}
