package plan

import (
	"strings"

	"github.com/quipudb/quipu/server/errcode"
)

// Function is one scalar function or operator. A name may have several, told apart by the types of their arguments.
type Function struct {
	Name   string
	Args   []Type // Unknown takes any type
	More   bool   // the last argument may be repeated
	Result Type   // Unknown: given by the call

	eval     func(args []Value) (Value, error)
	lazy     func(args []*Expr, row []Value) (Value, error) // evaluates its arguments itself
	nullable bool                                           // sees NULL arguments; the others give NULL for one
	volatile bool                                           // is not folded
	local    bool                                           // runs at the coordinator only: it knows the catalog, or takes arrays
}

// Signature names the function with its argument types, as fragments spell it: abs(int8).
func (f *Function) Signature() string {
	var b strings.Builder
	b.WriteString(f.Name)
	b.WriteByte('(')
	for i, t := range f.Args {
		if i > 0 {
			b.WriteByte(',')
		}
		if t == Unknown {
			b.WriteString("any")
		} else {
			b.WriteString(t.String())
		}
	}
	if f.More {
		b.WriteString("...")
	}
	b.WriteByte(')')
	return b.String()
}

// accepts says whether the function takes arguments of these types, and how many must be converted.
func (f *Function) accepts(types []Type) (conversions int, ok bool) {
	if len(types) < len(f.Args) && !(f.More && len(types) == len(f.Args)-1) || len(types) > len(f.Args) && !f.More {
		return 0, false
	}
	for i, t := range types {
		want := f.Args[min(i, len(f.Args)-1)]
		switch {
		case want == Unknown || t == want:
		case want == anyArray:
			if !t.IsArray() && t != Unknown {
				return 0, false
			}
		case t == Unknown:
			if want != Text {
				conversions++ // a literal is rather text than anything else
			}
		case t == Int8 && want == Float8, t.IsReg() && want == Int8:
			conversions += 2
		default:
			return 0, false
		}
	}
	return conversions, true
}

// Functions by name and by signature; built once, never changed.
var (
	functionsByName      = map[string][]*Function{}
	functionsBySignature = map[string]*Function{}
	aliases              = map[string]string{
		"ceiling": "ceil", "power": "pow", "char_length": "length", "character_length": "length", "substr": "substring",
		"log10": "log", "now": "now", "current_timestamp": "now", "transaction_timestamp": "now", "statement_timestamp": "now",
		"date_part": "extract",
	}
	_ = registerAll()
)

func registerAll() struct{} {
	for _, list := range [][]*Function{logicFunctions, numberFunctions, textFunctions, jsonFunctions, timeFunctions, castFunctions, arrayFunctions, statFunctions} {
		for _, f := range list {
			functionsByName[f.Name] = append(functionsByName[f.Name], f)
			functionsBySignature[f.Signature()] = f
		}
	}
	return struct{}{}
}

// call makes the call of f with arguments that fit, folded where it is constant.
func call(f *Function, result Type, args ...*Expr) *Expr {
	e := &Expr{Kind: ExprCall, Type: result, Fn: f, Args: args}
	return e.fold()
}

// resolve picks the overload of name that fits the types with the fewest conversions.
func resolve(name string, types []Type) *Function { return best(functionsByName[name], types) }

func best(list []*Function, types []Type) *Function {
	var found *Function
	fewest := 0
	for _, f := range list {
		if n, ok := f.accepts(types); ok && (found == nil || n < fewest) {
			found, fewest = f, n
		}
	}
	return found
}

func outOfRange(what string) error {
	return errcode.New(errcode.NumericOutOfRange, "%s out of range", what)
}

func fn(name string, result Type, eval func([]Value) (Value, error), args ...Type) *Function {
	return &Function{Name: name, Args: args, Result: result, eval: eval}
}
