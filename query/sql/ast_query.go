package sql

// Query is a SELECT in the wide sense: what stands alone as a statement, in parentheses, in a WITH or behind INSERT.
// TABLE t arrives as SELECT * FROM t.
type Query struct {
	Pos
	With    *With
	Body    QueryBody
	OrderBy []OrderItem
	Limit   Expr // nil: no limit; LIMIT ALL is nil too, LIMIT NULL is a literal
	Offset  Expr
	// WithTies is FETCH FIRST n ROWS WITH TIES.
	WithTies bool
}

// QueryBody is *Select, *SetOp, *Values, or *Query for one in parentheses that has clauses of its own.
type QueryBody interface {
	At() Pos
	queryBody()
}

// With is the list of common table expressions.
type With struct {
	Pos
	Recursive bool
	CTEs      []CTE
}

// Materialize is the hint of a common table expression.
type Materialize uint8

const (
	MaterializeDefault Materialize = iota
	Materialized
	NotMaterialized
)

// CTE is one common table expression.
type CTE struct {
	Pos
	Name        string
	Columns     []Ident
	Materialize Materialize
	Query       *Query
}

// Select is one SELECT … FROM … block.
type Select struct {
	Pos
	Distinct   bool
	DistinctOn []Expr // DISTINCT ON (…); Distinct is set too
	Items      []SelectItem
	From       []TableRef // comma separated; empty: one row without columns
	Where      Expr
	GroupBy    []GroupItem
	// GroupDistinct is GROUP BY DISTINCT: grouping sets that come out twice count once.
	GroupDistinct bool
	Having        Expr
	Windows       []NamedWindow
}

// SelectItem is one entry of a select list or of RETURNING.
type SelectItem struct {
	Expr  Expr  // may be *Star
	Alias Ident // Alias.Name is empty if there is none
}

// SetOperator is UNION, INTERSECT or EXCEPT.
type SetOperator uint8

const (
	Union SetOperator = iota + 1
	Intersect
	Except
)

// SetOp joins two bodies. Its place is the operator.
type SetOp struct {
	Pos
	Op   SetOperator
	All  bool
	L, R QueryBody
}

// Values is a list of rows. All rows have the same number of values.
type Values struct {
	Pos
	Rows [][]Expr
}

// TableRef is an entry of FROM: *TableName, *Derived, *TableFunc or *Join.
type TableRef interface {
	At() Pos
	tableRef()
}

// Alias is AS name (columns); Name is empty if there is none.
type Alias struct {
	Pos
	Name    string
	Columns []Ident
}

// TableName is a table, view or common table expression.
type TableName struct {
	Name
	Alias Alias
}

// Derived is a query in FROM. It need not have an alias.
type Derived struct {
	Pos
	Query   *Query
	Lateral bool
	Alias   Alias
}

// TableFunc is a function in FROM.
type TableFunc struct {
	Pos
	Call       *Call
	Lateral    bool
	Ordinality bool // WITH ORDINALITY
	Alias      Alias
}

// JoinKind is the kind of a join.
type JoinKind uint8

const (
	CrossJoin JoinKind = iota + 1
	InnerJoin
	LeftJoin
	RightJoin
	FullJoin
)

// Join joins two entries of FROM. Except for CrossJoin exactly one of On, Using and Natural is set. Its place is the
// word that begins the join.
type Join struct {
	Pos
	Kind    JoinKind
	L, R    TableRef
	On      Expr
	Using   []Ident
	Natural bool
	Alias   Alias // JOIN … USING (…) AS alias: Alias.Name only; or the alias of a join in parentheses
	// Paren says that Alias belongs to the join in parentheses and hides its inputs.
	Paren bool
}

// GroupKind is the kind of a grouping element.
type GroupKind uint8

const (
	GroupExpr  GroupKind = iota // one expression, or an ordinal as an IntLiteral
	GroupEmpty                  // ()
	Rollup
	Cube
	GroupingSets
)

// GroupItem is one element of GROUP BY.
type GroupItem struct {
	Pos
	Kind GroupKind
	// Exprs is one expression for GroupExpr (a *Row groups by all its elements) and the elements of a Rollup or Cube, where a
	// *Row is one element of several columns.
	Exprs []Expr
	Sets  []GroupItem // of GroupingSets
}

// NullsOrder is the place of NULLs in an ORDER BY.
type NullsOrder uint8

const (
	NullsDefault NullsOrder = iota // last when ascending, first when descending
	NullsFirst
	NullsLast
)

// OrderItem is one key of an ORDER BY.
type OrderItem struct {
	Expr  Expr // an IntLiteral at the end of a query is an ordinal
	Desc  bool
	Nulls NullsOrder
}

// NamedWindow is one entry of WINDOW.
type NamedWindow struct {
	Pos
	Name string
	Spec *WindowSpec
}

// WindowSpec is what follows OVER. OVER w and OVER (w) are one with Base alone.
type WindowSpec struct {
	Pos
	Base        string
	PartitionBy []Expr
	OrderBy     []OrderItem
	Frame       *Frame
}

// FrameMode is the unit of a window frame.
type FrameMode uint8

const (
	FrameRows FrameMode = iota + 1
	FrameRange
	FrameGroups
)

// BoundKind is the kind of a frame bound, in the order in which they may follow each other.
type BoundKind uint8

const (
	UnboundedPreceding BoundKind = iota + 1
	Preceding
	CurrentRow
	Following
	UnboundedFollowing
)

// Exclusion is EXCLUDE of a window frame.
type Exclusion uint8

const (
	ExcludeNothing Exclusion = iota // the default, and EXCLUDE NO OTHERS
	ExcludeCurrentRow
	ExcludeGroup
	ExcludeTies
)

// FrameBound is one end of a frame; Offset only for Preceding and Following.
type FrameBound struct {
	Kind   BoundKind
	Offset Expr
}

// Frame is the frame of a window. End is CURRENT ROW where it was not written.
type Frame struct {
	Pos
	Mode       FrameMode
	Start, End FrameBound
	Exclude    Exclusion
}

func (*Query) statement() {}

func (*Select) queryBody() {}
func (*SetOp) queryBody()  {}
func (*Values) queryBody() {}
func (*Query) queryBody()  {}

func (*TableName) tableRef() {}
func (*Derived) tableRef()   {}
func (*TableFunc) tableRef() {}
func (*Join) tableRef()      {}
