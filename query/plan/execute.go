package plan

import (
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// ParamTypes are those that a PREPARE says.
func (b *Binder) ParamTypes(s *sql.Prepare) ([]Type, error) {
	out := make([]Type, len(s.Types))
	for i, t := range s.Types {
		if t.Name.Name == "unknown" {
			continue
		}
		var err error
		if out[i], err = b.typeOf(t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Arguments are the values of an EXECUTE for parameters of the given types. They are converted as for an assignment.
func (b *Binder) Arguments(s *sql.Execute, types []Type) ([]Value, error) {
	if len(s.Args) != len(types) {
		return nil, b.fail(s.Pos, errcode.SyntaxError, "wrong number of parameters for prepared statement %q", s.Name).
			WithDetail("Expected %d parameters but got %d.", len(types), len(s.Args))
	}
	e := &exprBinder{Binder: b, scope: &scope{}, clause: "EXECUTE parameters"}
	out := make([]Value, len(types))
	for i, arg := range s.Args {
		x, err := e.value(arg)
		switch {
		case err != nil:
			return nil, err
		case hasSubquery(x):
			return nil, b.fail(arg.At(), errcode.NotSupported, "cannot use subquery in EXECUTE parameter").WithHint("SELECT the value first")
		}
		if x, err = b.assign(x, types[i], arg.At(), i+1); err != nil {
			return nil, err
		}
		if out[i], err = x.Eval(nil); err != nil {
			return nil, b.locate(err, arg.At())
		}
	}
	return out, nil
}

// assign gives e as parameter n of type t: what is implicit, and besides a whole number of any other and the text of everything.
func (b *Binder) assign(e *Expr, t Type, at sql.Pos, n int) (*Expr, error) {
	if e.Type != t && (t == Text && castable(e.Type, t) || t == Int8 && e.Type == Float8) && e.Type != Unknown {
		return call(castTo[t], t, e), nil
	}
	x, err := b.coerce(e, t, at)
	if err != nil && errcode.From(err).Code == errcode.TypeMismatch {
		err = b.fail(at, errcode.TypeMismatch, "parameter $%d of type %s cannot be coerced to the expected type %s", n, e.Type, t).
			WithHint("an explicit cast may help: (…)::%s", t)
	}
	return x, err
}
