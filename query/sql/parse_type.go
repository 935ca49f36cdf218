package sql

import (
	"strconv"
	"strings"
)

// isTypeWord are the type names that are keywords.
var isTypeWord = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(`bigint bit boolean char character dec decimal float int integer interval national nchar
		numeric real smallint time timestamp varchar`) {
		m[w] = true
	}
	return m
}()

// typeNames maps the standard's spellings to PostgreSQL's internal names.
var typeNames = map[string]string{
	"bigint": "int8", "boolean": "bool", "char": "bpchar", "character": "bpchar", "dec": "numeric", "decimal": "numeric",
	"float": "float8", "int": "int4", "integer": "int4", "national": "bpchar", "nchar": "bpchar", "real": "float4",
	"smallint": "int2",
}

// typeAlias gives name its internal spelling, if it is an unquoted word without a schema.
func typeAlias(name Name, quoted bool) Name {
	if n, ok := typeNames[name.Name]; ok && !quoted && name.Schema == "" {
		name.Name = n
	}
	return name
}

// typeName reads a type.
func (p *parser) typeName() TypeName {
	if p.tok.kind != kQuoted && (p.tok.kind != kWord || classOf[p.tok.text] == reserved || classOf[p.tok.text] == columns && !isTypeWord[p.tok.text]) {
		panic(p.expectedName("a type"))
	}
	word := p.tok
	t := TypeName{Name: Name{Pos: word.pos, Name: word.text}}
	p.advance()
	switch {
	case word.kind == kWord && p.tok.punct(".") && !isTypeWord[word.text], word.kind == kQuoted:
		t.Name = p.qualified(Ident{Pos: word.pos, Name: word.text}, "a type")
	default:
		t.Name = typeAlias(t.Name, false)
	}
	if word.kind == kWord {
		p.typeWords(&t, word.text)
	}
	p.typeMods(&t)
	if word.kind == kWord && (word.text == "timestamp" || word.text == "time") {
		p.timeZone(&t)
	}
	if word.kind == kWord && word.text == "float" && len(t.Mods) > 0 {
		if len(t.Mods) == 1 && t.Mods[0] < 25 {
			t.Name.Name = "float4"
		}
		t.Mods = nil
	}
	p.arrayDims(&t)
	return t
}

// typeWords reads the further words of types that have several.
func (p *parser) typeWords(t *TypeName, word string) {
	switch word {
	case "double":
		if p.acceptWord("precision") {
			t.Name.Name = "float8"
		}
	case "national":
		if !p.acceptWord("character") {
			p.expectWord("char", "character", "char")
		}
		p.varying(t)
	case "character", "char", "nchar":
		p.varying(t)
	case "bit":
		p.acceptWord("varying")
	}
}

func (p *parser) varying(t *TypeName) {
	if p.acceptWord("varying") {
		t.Name.Name = "varchar"
	}
}

// timeZone reads WITH or WITHOUT TIME ZONE.
func (p *parser) timeZone(t *TypeName) {
	with := p.tok.is("with")
	if !with && !p.tok.is("without") || !p.peek().is("time") {
		return
	}
	p.advance()
	p.advance()
	p.expectWord("zone")
	if with {
		t.Name.Name += "tz"
	}
}

// modsMax is the number of modifiers that a type can have.
const modsMax = 2

func (p *parser) typeMods(t *TypeName) {
	if !p.accept("(") {
		return
	}
	for {
		sign := int64(1)
		if p.acceptOp("-") {
			sign = -1
		}
		if p.tok.kind != kInt || len(t.Mods) == modsMax {
			panic(p.syntaxHint("expected at most two whole numbers, as in numeric(10, 2)"))
		}
		n, err := strconv.ParseInt(p.tok.text, 10, 32)
		if err != nil {
			panic(p.syntaxHint("the number is too big for the modifier of a type"))
		}
		t.Mods = append(t.Mods, int32(sign*n))
		p.advance()
		if !p.accept(",") {
			p.closeList()
			return
		}
	}
}

// dimsMax is PostgreSQL's limit of array dimensions.
const dimsMax = 6

func (p *parser) arrayDims(t *TypeName) {
	if p.acceptWord("array") {
		t.Dims = 1
		if p.tok.punct("[") {
			p.bounds()
		}
		return
	}
	for p.tok.punct("[") && (p.peek().punct("]") || p.peek().kind == kInt) {
		if t.Dims++; t.Dims > dimsMax {
			panic(p.syntaxHint("an array has at most six dimensions"))
		}
		p.bounds()
	}
}

// bounds reads [] or [n]; PostgreSQL ignores the number.
func (p *parser) bounds() {
	p.expect("[")
	if p.tok.kind == kInt {
		p.advance()
	}
	p.expect("]")
}
