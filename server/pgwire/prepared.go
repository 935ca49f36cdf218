package pgwire

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// prepared is a statement that Parse made.
type prepared struct {
	*query.Prepared
	oids []uint32 // of the parameters: as declared, or those of their types
	text int      // bytes
}

// returnsRows says that the statement has a result, even one without columns.
func (p *prepared) returnsRows() bool {
	if p.Statement == nil {
		return false
	}
	switch p.Statement.Tree.(type) {
	case *sql.Query, *sql.Explain, *sql.Show:
		return true
	}
	return false
}

// statements are the prepared ones of a connection, by name.
type statements struct {
	named   map[string]*prepared
	unnamed *prepared
	bytes   int // of the texts of the named ones
}

func (s *statements) find(name string) (*prepared, error) {
	p := s.unnamed
	if name != "" {
		p = s.named[name]
	}
	if p == nil && name == "" {
		return nil, failure(stateUnknownStatement, "unnamed prepared statement does not exist")
	}
	if p == nil {
		return nil, errUnknownStatement(name)
	}
	return p, nil
}

// room refuses a name that is taken and statements beyond the bounds.
func (s *statements) room(name string, bytes int) error {
	switch _, taken := s.named[name]; {
	case name == "":
		return nil
	case taken:
		return failure(stateDuplicateStatement, "prepared statement %q already exists", name)
	case len(s.named) >= statementsMax || s.bytes+bytes > statementBytesMax:
		return failure(stateLimit, "the connection has %d prepared statements of %d bytes, the bounds are %d and %d", len(s.named), s.bytes,
			statementsMax, statementBytesMax).WithHint("DEALLOCATE those that are not needed")
	}
	return nil
}

func (s *statements) put(name string, p *prepared) {
	if name == "" {
		s.unnamed = p
		return
	}
	if s.named == nil {
		s.named = map[string]*prepared{}
	}
	s.named[name] = p
	s.bytes += p.text
}

func (s *statements) remove(name string) {
	if name == "" {
		s.unnamed = nil
		return
	}
	if p, ok := s.named[name]; ok {
		s.bytes -= p.text
		delete(s.named, name)
	}
}

// clear drops the named ones.
func (s *statements) clear() { s.named, s.bytes = nil, 0 }

// parse prepares a statement.
func (c *conn) parse(m *pgproto3.Parse) error {
	if err := c.statements.room(m.Name, len(m.Query)); err != nil {
		return err
	}
	types := make([]plan.Type, len(m.ParameterOIDs))
	for i, oid := range m.ParameterOIDs {
		types[i] = typeByOID(oid)
	}
	if c.block != nil && c.block.failed {
		if err := c.parseInFailed(m.Query); err != nil {
			return err
		}
	}
	var p *query.Prepared
	err := c.during(func(ctx context.Context) (err error) {
		r := c.request(nil)
		r.SQL = m.Query
		p, err = c.s.o.Engine.Prepare(ctx, r, types)
		return err
	})
	if err != nil {
		return err
	}
	c.statements.put(m.Name, &prepared{Prepared: p, oids: paramOIDs(m.ParameterOIDs, p.Params), text: len(m.Query)})
	c.out.send(&pgproto3.ParseComplete{})
	return nil
}

// parseInFailed lets only what ends a failed block be prepared.
func (c *conn) parseInFailed(text string) error {
	list, err := query.Parse(text)
	if err == nil && (len(list) != 1 || !endsFailure(list[0].Tree)) {
		err = errFailedBlock()
	}
	return err
}

// paramOIDs are what the client declared, filled up with the types that the statement gives its parameters.
func paramOIDs(declared []uint32, types []plan.Type) []uint32 {
	oids := make([]uint32, len(types))
	for i, t := range types {
		if i < len(declared) && declared[i] != 0 && declared[i] != oidUnknown {
			oids[i] = declared[i]
		} else {
			oids[i], _ = typeOf(t)
		}
	}
	return oids
}

// describe answers what a statement or a portal takes and gives.
func (c *conn) describe(m *pgproto3.Describe) error {
	switch m.ObjectType {
	case 'S':
		p, err := c.statements.find(m.Name)
		if err != nil {
			return err
		}
		c.out.send(&pgproto3.ParameterDescription{ParameterOIDs: p.oids})
		c.describeRows(p, nil)
		return nil
	case 'P':
		p, err := c.portals.find(m.Name)
		if err != nil {
			return err
		}
		c.describeRows(p.st, p.binary)
		return nil
	}
	return errProtocol("invalid DESCRIBE message subtype %d", m.ObjectType)
}

func (c *conn) describeRows(p *prepared, binary []bool) {
	cols := c.columns(p)
	if cols == nil && !p.returnsRows() {
		c.out.send(&pgproto3.NoData{})
		return
	}
	c.out.describe(cols, binary)
}

// columns are those of the rows that a statement gives: of a FETCH, those of its cursor, and of an EXECUTE those of what it names.
func (c *conn) columns(p *prepared) []plan.Column {
	if p.Statement == nil {
		return p.Columns
	}
	switch t := p.Statement.Tree.(type) {
	case *sql.Fetch:
		if x := c.portals.named[t.Name]; x != nil && x.cursor && !t.Move {
			return x.st.Columns
		}
	case *sql.Execute:
		if x := c.statements.named[t.Name]; x != nil {
			return x.Columns
		}
	}
	return p.Columns
}

// closeNamed closes a statement or a portal; one that does not exist is no error.
func (c *conn) closeNamed(m *pgproto3.Close) {
	if m.ObjectType == 'S' {
		c.statements.remove(m.Name)
	} else {
		c.portals.close(m.Name)
	}
	c.out.send(&pgproto3.CloseComplete{})
}

// arguments reads the parameters of a Bind, into the memory of args where they fit.
func (p *prepared) arguments(args []plan.Value, m *pgproto3.Bind) ([]plan.Value, error) {
	if len(m.Parameters) != len(p.oids) {
		return nil, errProtocol("bind message supplies %d parameters, but prepared statement %s requires %d", len(m.Parameters), quoted(m.PreparedStatement), len(p.oids))
	}
	inBinary, err := formats(m.ParameterFormatCodes, len(m.Parameters), "parameter")
	if err != nil {
		return nil, err
	}
	args = slices.Grow(args[:0], len(m.Parameters))[:len(m.Parameters)]
	clear(args)
	for i, b := range m.Parameters {
		switch {
		case b == nil:
		case inBinary != nil && inBinary[i]:
			args[i], err = binaryParam(i+1, b, p.oids[i], p.Params[i])
		default:
			args[i], err = textParam(i+1, b, p.Params[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return args, nil
}

// formats spreads the format codes of a Bind over n values: none means all text, one is for all. nil is all text.
func formats(codes []int16, n int, what string) ([]bool, error) {
	if len(codes) > 1 && len(codes) != n {
		return nil, errProtocol("bind message has %d %s formats but %d %ss", len(codes), what, n, what)
	}
	for _, code := range codes {
		if code != pgproto3.TextFormat && code != pgproto3.BinaryFormat {
			return nil, errcode.New(errcode.InvalidOption, "unsupported format code: %d", code)
		}
	}
	if !slices.Contains(codes, pgproto3.BinaryFormat) {
		return nil, nil
	}
	out := make([]bool, n)
	for i := range out {
		out[i] = codes[min(i, len(codes)-1)] == pgproto3.BinaryFormat
	}
	return out, nil
}
