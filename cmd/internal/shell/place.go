package shell

import "strings"

// place is where in a statement the cursor stands.
type place struct {
	before    []string // the words and marks of the statement before the one at the cursor, in small letters
	qualifier string   // what stands before the dot before the cursor
	word      string   // what is being typed
	quoted    bool     // inside of a string, of which word is the beginning
	function  string   // that the open bracket belongs to
	texts     []string // the strings in that bracket before the cursor
	command   string   // the backslash command that the cursor stands in; then nothing else is set but before
}

// scan reads the last statement of a text.
func scan(text string) place {
	var p place
	var open []place // for each open bracket, what was there before it
	rest := text
	for rest != "" {
		c := rest[0]
		switch {
		case strings.HasPrefix(rest, "--"):
			_, rest, _ = strings.Cut(rest, "\n")
		case c == '\'':
			body, after, closed := stringLiteral(rest[1:])
			if !closed {
				p.quoted, p.word = true, body
				return p
			}
			p.texts = append(p.texts, body)
			p.push("'")
			rest = after
		case isNamePart(rune(c)) || c == '"':
			n, closed := nameLength(rest)
			if n == len(rest) && !closed {
				return p.at(rest)
			}
			p.push(strings.ToLower(strings.Trim(rest[:n], `"`)))
			rest = rest[n:]
		case c == '(':
			open = append(open, place{function: p.function, texts: p.texts})
			p.function, p.texts = p.last(), nil
			p.push("(")
			rest = rest[1:]
		case c == ')':
			if n := len(open); n > 0 {
				p.function, p.texts = open[n-1].function, open[n-1].texts
				open = open[:n-1]
			}
			p.push(")")
			rest = rest[1:]
		case c == ';':
			p, open, rest = place{}, nil, rest[1:]
		case c == '\\': // the rest of the line is a command
			line, after, more := strings.Cut(rest, "\n")
			if !more {
				p.command = line
				return p
			}
			rest = after
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			rest = rest[1:]
		default:
			p.push(string(c))
			rest = rest[1:]
		}
	}
	return p.at("")
}

// at finishes a place with the word at the cursor, and takes the qualifier off what came before.
func (p place) at(word string) place {
	p.word = word
	if n := len(p.before); n >= 2 && p.before[n-1] == "." {
		p.qualifier, p.before = p.before[n-2], p.before[:n-2]
	}
	return p
}

func (p *place) push(word string) { p.before = append(p.before, word) }

// last is the word before the one at the cursor; empty at the beginning.
func (p place) last() string {
	if len(p.before) == 0 {
		return ""
	}
	return p.before[len(p.before)-1]
}

func (p place) endsWith(words ...string) bool {
	n := len(p.before) - len(words)
	if n < 0 {
		return false
	}
	for i, w := range words {
		if p.before[n+i] != w {
			return false
		}
	}
	return true
}

// clause is the last word that begins a clause.
func (p place) clause() string {
	for i := len(p.before) - 1; i >= 0; i-- {
		if isOneOf(p.before[i], "select", "from", "where", "group", "order", "having", "set", "values", "on") {
			return p.before[i]
		}
	}
	return ""
}

// tables are the tables of the vocabulary that the statement names so far.
func (p place) tables(v vocabulary) []relation {
	var out []relation
	for i, word := range p.before {
		for _, t := range v.tables {
			qualified := i >= 2 && p.before[i-1] == "." && p.before[i-2] == t.schema
			if t.name == word && (t.schema == "public" || qualified) && !(i+1 < len(p.before) && p.before[i+1] == "(") {
				out = append(out, t)
			}
		}
	}
	return out
}

// aliases are the names after a table in FROM, with the table that they stand for.
func (p place) aliases() map[string]string {
	out := map[string]string{}
	for i := 1; i < len(p.before); i++ {
		name, at := p.before[i], i-1
		if p.before[at] == "as" && at > 0 {
			at--
		}
		if isNamePart(rune(name[0])) && !isOneOf(name, "as", "on", "where", "join") {
			out[name] = p.before[at]
		}
	}
	return out
}

// stringLiteral reads up to the closing quote.
func stringLiteral(text string) (body, rest string, closed bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '\'' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '\'' {
			i++
			continue
		}
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// nameLength is the length of the name, quoted or not, that text begins with; closed says that it cannot go on.
func nameLength(text string) (n int, closed bool) {
	if text[0] == '"' {
		if end := strings.IndexByte(text[1:], '"'); end >= 0 {
			return end + 2, true
		}
		return len(text), false
	}
	for n < len(text) && isNamePart(rune(text[n])) {
		n++
	}
	return n, false
}
