package sql

import "strings"

// QuoteIdent writes a name so that it reads back as itself: in double quotes if it has upper case, odd characters or is
// a keyword.
func QuoteIdent(name string) string {
	if isSimple(name) && classOf[name] == plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteString writes a value as a string literal.
func QuoteString(value string) string {
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// isSimple says whether name is written without quotes: a lower-case letter or _, then letters, digits, _ and $.
func isSimple(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c == '_' || i > 0 && (c >= '0' && c <= '9' || c == '$') {
			continue
		}
		return false
	}
	return name != ""
}
