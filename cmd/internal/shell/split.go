package shell

import "strings"

// Splitter collects lines until they make complete statements. It knows strings, quoted names, dollar-less comments and nesting of
// block comments, so that a semicolon inside one of them does not end a statement.
type Splitter struct {
	text strings.Builder
	mode byte // 0, or what we are inside of: ' " - (line comment) * (block comment)
	deep int  // nesting of block comments
	some bool // a token other than white space and comments since the last semicolon
}

// Feed adds a line and returns the statements that it completes, each without its semicolon.
func (s *Splitter) Feed(line string) []string {
	var out []string
	line += "\n"
	for i := 0; i < len(line); i++ {
		c := line[i]
		two := line[i:min(i+2, len(line))]
		switch {
		case s.mode == 0 && c == ';':
			if s.some {
				out = append(out, strings.TrimSpace(s.text.String()))
			}
			s.Reset()
			continue
		case s.mode == 0 && (two == "--" || two == "/*"):
			s.open(two)
			s.text.WriteString(two)
			i++
			continue
		case s.mode == 0 && (c == '\'' || c == '"'):
			s.mode, s.some = c, true
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
func (s *Splitter) Pending() bool { return s.some || s.mode == '*' || s.mode == '\'' || s.mode == '"' }

// Rest is the text that waits, for input that ends without a semicolon.
func (s *Splitter) Rest() string {
	if !s.some {
		return ""
	}
	return strings.TrimSpace(s.text.String())
}

// Reset forgets what waits.
func (s *Splitter) Reset() { *s = Splitter{} }
