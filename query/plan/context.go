package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Catalog is what binding needs of the catalog, at one version.
type Catalog interface {
	// Table is the table called name, or nil. Database and Schema are filled in.
	Table(name schema.Name) *schema.Table
	// Tables lists all tables of a database.
	Tables(database string) []*schema.Table
	// SlotMap says which shard owns each slot; nil if that is not known.
	SlotMap() *schema.SlotMap
}

// Context is what the meaning of a statement depends on besides its text.
type Context struct {
	Text      string // that positions refer to
	Catalog   Catalog
	Now       time.Time
	Args      []Value
	ArgTypes  []Type // that a Describe of the statement gave its parameters; nil: they are those of the values
	Principal string
	Database  string
	Mode      Mode // forced by quipu.force_mode, where it is allowed
	Shards    int  // data groups; 0 if not known
	// System are the relations that are computed; nil: there are none.
	System SystemCatalog
	// Rights is what the principal may do; nil: everything.
	Rights Rights
	// Setting is the value of a session setting, for current_setting and SHOW.
	Setting func(name string) (string, bool)
	// SetSetting changes one, for set_config, and gives its value; nil: nothing is changed.
	SetSetting func(name, value string, local bool) (string, error)
}

// Rights says what a principal may do with tables.
type Rights interface {
	// Table says why p may not be done with t, as a public error, or nil.
	Table(t *schema.Table, p schema.Privilege) error
	// Relation says why the rows of a computed relation, such as quipu.sessions, may not be read, or nil.
	Relation(name string) error
}

// Binder binds statements of one text.
type Binder struct {
	Context
	describing bool   // parameters have no values yet
	params     []Type // while describing: of $1, $2, …, as far as they are known
	depth      int
	ctes       []*cte
	checking   bool          // what is bound is not run: common table expressions that were bound before need their columns only
	binding    []*cte        // of WITH RECURSIVE whose queries are being bound, the innermost last
	nesting    int           // queries within expressions around what is being bound
	outer      *outerScope   // of the query that is being bound
	untyped    sql.QueryBody // the side of a set operation that is being bound, whose literals need no type of their own
	fromOuter  *outerScope   // the same at the start of its FROM: what derived tables and join conditions see
	runner     *Runner
	subqueries []*Subquery
	worked     int                  // see work
	local      map[string]*Function // functions that know the catalog of this binder

	passing bool     // see passes
	refs    int      // references to parameters that were bound while describing
	tables  []needed // that were found
}

// NewBinder is a binder for the statements of c.Text.
func NewBinder(c Context) *Binder {
	return &Binder{Context: c, runner: &Runner{}, local: map[string]*Function{}}
}

// Describe makes b bind statements whose parameters have no values yet. types are those that are known, Unknown for the others.
func (b *Binder) Describe(types []Type) {
	b.describing, b.params = true, slices.Clone(types)
}

// Params are the types of the parameters that a described statement names: text where nothing says otherwise.
func (b *Binder) Params() []Type {
	out := slices.Clone(b.params)
	for i, t := range out {
		if t == Unknown {
			out[i] = Text
		}
	}
	return out
}

// fail is an error at a place of the text.
func (b *Binder) fail(at sql.Pos, code errcode.Code, format string, args ...any) *errcode.Error {
	return errcode.New(code, format, args...).At(sql.CharPos(b.Text, at))
}

// locate gives an error without a place the place at.
func (b *Binder) locate(err error, at sql.Pos) error {
	if err == nil {
		return nil
	}
	e := errcode.From(err)
	if e.Position == 0 {
		c := *e
		c.Position = sql.CharPos(b.Text, at)
		return &c
	}
	return e
}

func (b *Binder) unsupported(at sql.Pos, what string) *errcode.Error {
	return b.fail(at, errcode.NotSupported, "%s is not supported yet", what)
}

// Nearest is the candidate that name was probably meant to be: within edit distance 2, and nearer than a third of its length. A name
// of one letter is near to none.
func Nearest(name string, candidates []string) (string, bool) {
	best, bound := "", min(2, max(1, len(name)/3))
	found := false
	if len(name) < 2 {
		return "", false
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c), bound); d <= bound && (!found || d < distance(name, best, bound)) {
			best, found = c, true
		}
	}
	return best, found
}

// distance is the edit distance with transpositions, or bound+1 if it is more than bound.
func distance(a, b string, bound int) int {
	if len(a)-len(b) > bound || len(b)-len(a) > bound {
		return bound + 1
	}
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// TableName resolves a name as it was written.
func (b *Binder) TableName(n sql.Name) schema.Name {
	name := schema.Name{Database: n.Database, Schema: n.Schema, Table: n.Name}
	if name.Database == "" {
		name.Database = b.Database
	}
	if name.Schema == "" {
		name.Schema = "public"
	}
	return name
}

// Table finds a table for somebody who needs a privilege on it (0: none), or says that there is none and which one may be meant.
func (b *Binder) Table(n sql.Name, need schema.Privilege) (*schema.Table, error) {
	name := b.TableName(n)
	if t := b.Catalog.Table(name); t != nil {
		b.tables = append(b.tables, needed{name, t, need})
		if b.Rights == nil || need == 0 {
			return t, nil
		}
		return t, b.Rights.Table(t, need)
	}
	err := b.fail(n.Pos, errcode.UnknownTable, "table %q does not exist", n.String())
	var names []string
	for _, t := range b.Catalog.Tables(name.Database) {
		names = append(names, t.Name.Table)
	}
	if near, ok := Nearest(n.Name, names); ok {
		return nil, err.WithHint("did you mean %q?", near)
	}
	return nil, err.WithHint("SHOW tables lists the tables there are")
}
