package shell

import (
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal is the one that a person sits at.
type Terminal struct {
	file   *os.File
	Colour bool // may be used
	UTF8   bool // is what it shows
}

// TerminalOf is the terminal that f is, or nil. NO_COLOR, and TERM=dumb, keep it without colours; the locale says whether it shows UTF-8.
func TerminalOf(f *os.File) *Terminal {
	if !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	kind := os.Getenv("TERM")
	return &Terminal{file: f, Colour: os.Getenv("NO_COLOR") == "" && kind != "" && kind != "dumb", UTF8: localeIsUTF8()}
}

func localeIsUTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := os.Getenv(name); value != "" {
			value = strings.ToUpper(strings.ReplaceAll(value, "-", ""))
			return strings.Contains(value, "UTF8")
		}
	}
	return false
}

// Size is in columns and lines; 80 by 24 where nobody says.
func (t *Terminal) Size() (width, height int) {
	width, height, err := term.GetSize(int(t.file.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
