package pgwire

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

var rewrite = flag.Bool("rewrite", false, "write what was seen into the scripts of testdata")

// TestScripts plays the conversations of testdata: above ---- what the client sends, below it what the server answers up to
// ReadyForQuery, or to the message that "until" names. Each file is one connection to a world of its own.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	c := w.dial(w.serve())
	c.ready()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		asked, want, ok := strings.Cut(block+"\n", "----\n")
		if !ok { // the essay at the top
			out.WriteString(block + "\n\n")
			continue
		}
		got := play(t, c, asked)
		if got != strings.TrimSpace(want) && !*rewrite {
			t.Errorf("%s, block %d:\n%sgives\n%s\nwant\n%s", file, i, asked, got, want)
		}
		out.WriteString(asked + "----\n" + got + "\n\n")
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func play(t *testing.T, c *client, asked string) string {
	until := "ReadyForQuery"
	var messages []pgproto3.FrontendMessage
	for line := range strings.Lines(asked) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "until" {
			until = rest
			continue
		}
		m := message(word, rest)
		if m == nil {
			t.Fatalf("no such message: %s", line)
		}
		messages = append(messages, m)
	}
	c.put(messages...)
	return strings.Join(c.until(until), "\n")
}

// message reads one line of a script. "-" is the empty name.
func message(word, rest string) pgproto3.FrontendMessage {
	args := strings.Fields(rest)
	name := func(i int) string {
		if i < len(args) && args[i] != "-" {
			return args[i]
		}
		return ""
	}
	switch word {
	case "Query":
		return &pgproto3.Query{String: strings.ReplaceAll(rest, `\n`, "\n")}
	case "Parse":
		return parseMessage(rest)
	case "Bind":
		return bindMessage(name(0), name(1), args[2:])
	case "Describe":
		return &pgproto3.Describe{ObjectType: rest[0], Name: name(1)}
	case "Execute":
		m := &pgproto3.Execute{Portal: name(0)}
		if len(args) > 1 {
			n, _ := strconv.Atoi(args[1])
			m.MaxRows = uint32(n)
		}
		return m
	case "Close":
		return &pgproto3.Close{ObjectType: rest[0], Name: name(1)}
	case "Sync":
		return &pgproto3.Sync{}
	case "Flush":
		return &pgproto3.Flush{}
	case "CopyData":
		text, _ := strconv.Unquote(rest)
		return &pgproto3.CopyData{Data: []byte(text)}
	case "CopyDone":
		return &pgproto3.CopyDone{}
	case "CopyFail":
		return &pgproto3.CopyFail{Message: rest}
	case "FunctionCall":
		return &pgproto3.FunctionCall{Function: 1}
	case "Terminate":
		return &pgproto3.Terminate{}
	}
	return nil
}

// parseMessage reads "name [oids=20,25] statement".
func parseMessage(rest string) *pgproto3.Parse {
	name, text, _ := strings.Cut(rest, " ")
	m := &pgproto3.Parse{Name: strings.TrimPrefix(name, "-"), Query: text}
	if list, more, ok := strings.Cut(strings.TrimPrefix(text, "oids="), " "); ok && strings.HasPrefix(text, "oids=") {
		m.Query = more
		for s := range strings.SplitSeq(list, ",") {
			n, _ := strconv.ParseUint(s, 10, 32)
			m.ParameterOIDs = append(m.ParameterOIDs, uint32(n))
		}
	}
	return m
}

// bindMessage reads parameters: text, NULL, or x and hexadecimal digits for binary; formats=1,0 are those of the columns.
func bindMessage(portal, statement string, args []string) *pgproto3.Bind {
	m := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement}
	for _, a := range args {
		if list, ok := strings.CutPrefix(a, "formats="); ok {
			for s := range strings.SplitSeq(list, ",") {
				n, _ := strconv.Atoi(s)
				m.ResultFormatCodes = append(m.ResultFormatCodes, int16(n))
			}
			continue
		}
		var value []byte
		code := int16(0)
		if digits, ok := strings.CutPrefix(a, "x:"); ok {
			value, _ = hex.DecodeString(digits)
			code = 1
		} else if a != "NULL" {
			value = []byte(a)
		}
		m.Parameters = append(m.Parameters, value)
		m.ParameterFormatCodes = append(m.ParameterFormatCodes, code)
	}
	return m
}
