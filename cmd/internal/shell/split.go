package shell

import "strings"

// Item is a piece of input: a complete statement, without its semicolon, or a backslash command. Of the two one is empty.
type Item struct{ SQL, Command string }

// Splitter collects lines until they make complete statements. It knows strings, quoted names, comments and nesting of block
// comments, so that a semicolon or a backslash inside one of them means nothing.
type Splitter struct {
	text strings.Builder
	mode byte // 0, or what we are inside of: ' " \\ (string with escapes) - (line comment) * (block comment)
	deep int  // nesting of block comments
	some bool // a token other than white space and comments since the last semicolon
}

// Feed adds a line and returns what it completes. A backslash outside of strings begins a command that takes the rest of the line; the
// text before it waits.
func (s *Splitter) Feed(line string) []Item {
	var out []Item
	line += "\n"
	for i := 0; i < len(line); i++ {
		c := line[i]
		two := line[i:min(i+2, len(line))]
		switch {
		case s.mode == 0 && c == ';':
			if s.some {
				out = append(out, Item{SQL: strings.TrimSpace(s.text.String())})
			}
			s.Reset()
			continue
		case s.mode == 0 && c == '\\':
			return append(out, Item{Command: strings.TrimSpace(line[i:])})
		case s.mode == 0 && (two == "--" || two == "/*"):
			s.open(two)
			s.text.WriteString(two)
			i++
			continue
		case s.mode == 0 && (c == '\'' || c == '"'):
			s.mode, s.some = c, true
			if c == '\'' && isEscapeString(line[:i]) {
				s.mode = '\\'
			}
		case s.mode == '\\' && c == '\\':
			s.text.WriteString(two)
			i++
			continue
		case s.mode == '\\' && c == '\'':
			s.mode = 0
		case s.mode == '*' && (two == "*/" || two == "/*"):
			s.nest(two)
			s.text.WriteString(two)
			i++
			continue
		case s.mode == '-' && c == '\n', s.mode != '*' && s.mode == c:
			s.mode = 0
		case s.mode == 0 && c != ' ' && c != '\t' && c != '\n' && c != '\r':
			s.some = true
		}
		s.text.WriteByte(c)
	}
	return out
}

// isEscapeString says that a quote after text begins E'…'.
func isEscapeString(text string) bool {
	n := len(text)
	return n > 0 && (text[n-1] == 'e' || text[n-1] == 'E') && (n == 1 || !isNamePart(rune(text[n-2])))
}

// isNamePart says that r may stand inside a name.
func isNamePart(r rune) bool {
	return r == '_' || r == '$' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
}

func (s *Splitter) open(mark string) {
	s.mode = '-'
	if mark == "/*" {
		s.mode, s.deep = '*', 1
	}
}

func (s *Splitter) nest(mark string) {
	if mark == "/*" {
		s.deep++
		return
	}
	if s.deep--; s.deep == 0 {
		s.mode = 0
	}
}

// Pending says that text waits for its semicolon.
func (s *Splitter) Pending() bool { return s.some || s.mode != 0 }

// Rest is the text that waits, for input that ends without a semicolon.
func (s *Splitter) Rest() string {
	if !s.some {
		return ""
	}
	return strings.TrimSpace(s.text.String())
}

// Reset forgets what waits.
func (s *Splitter) Reset() { *s = Splitter{} }
