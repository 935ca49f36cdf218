package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quipudb/quipu/client"
)

// errCopyUsage is for a \copy that is none.
var errCopyUsage = errors.New(`use \copy TABLE [(COLUMNS)] FROM FILE [OPTIONS], or \copy {TABLE | (QUERY)} TO FILE [OPTIONS]; FILE may be STDIN or STDOUT`)

// transfer is a \copy: the COPY of the server, and the file on this side of it.
type transfer struct {
	sql  string
	in   bool
	file string // empty: the input of the script, or where results go

	program bool // PSTDIN, PSTDOUT: of the program, and not of the script
}

// parseCopy takes the file out of a \copy and puts the server's end of the connection in its place.
func parseCopy(arg string) (transfer, error) {
	at, word := topWord(arg, "from", "to")
	if at < 0 || strings.TrimSpace(arg[:at]) == "" {
		return transfer{}, errCopyUsage
	}
	t := transfer{in: word == "from"}
	rest := strings.TrimSpace(arg[at+len(word):])
	name, options := firstWord(rest)
	if name == "" {
		return transfer{}, errCopyUsage
	}
	switch strings.ToLower(name) {
	case "program":
		return transfer{}, errors.New(`\copy reads and writes files; for a program, use a pipe: program | quipu sql -c "\copy t FROM STDIN"`)
	case "stdin", "stdout":
	case "pstdin", "pstdout":
		t.program = true
	default:
		t.file = unquoted(name)
	}
	stream := "TO STDOUT"
	if t.in {
		stream = "FROM STDIN"
	}
	t.sql = strings.TrimSpace("COPY " + strings.TrimSpace(arg[:at]) + " " + stream + " " + options)
	return t, nil
}

// firstWord cuts off a word, which may be in quotes.
func firstWord(s string) (word, rest string) {
	if s != "" && (s[0] == '\'' || s[0] == '"') {
		for i := 1; i < len(s); i++ {
			if s[i] != s[0] {
				continue
			}
			if i+1 < len(s) && s[i+1] == s[0] {
				i++
				continue
			}
			return s[:i+1], strings.TrimSpace(s[i+1:])
		}
	}
	word, rest, _ = strings.Cut(s, " ")
	return word, strings.TrimSpace(rest)
}

// topWord finds the first of some words that stands outside of brackets and quotes.
func topWord(s string, words ...string) (int, string) {
	deep := 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\'' || c == '"':
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				return -1, ""
			}
			i += end + 2
			continue
		case c == '(':
			deep++
		case c == ')':
			deep--
		case isNamePart(rune(c)):
			n, _ := nameLength(s[i:])
			if w := strings.ToLower(s[i : i+n]); deep == 0 && isOneOf(w, words...) {
				return i, w
			}
			i += n
			continue
		}
		i++
	}
	return -1, ""
}

// copy runs \copy.
func (s *Session) copy(ctx context.Context, arg string) error {
	t, err := parseCopy(arg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f client.Footing
	if t.in {
		f, err = s.copyIn(ctx, t)
	} else {
		f, err = s.copyOut(ctx, t)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Canceled
		}
		s.explain(t.sql, err)
		return ErrFailed
	}
	if t.file != "" || t.in {
		s.footing(f, true)
	}
	return nil
}

func (s *Session) copyIn(ctx context.Context, t transfer) (client.Footing, error) {
	if t.file == "" {
		return s.Conn.CopyIn(ctx, t.sql, s.data(t))
	}
	f, err := os.Open(t.file)
	if err != nil {
		return client.Footing{}, err
	}
	defer f.Close()
	return s.Conn.CopyIn(ctx, t.sql, f)
}

func (s *Session) copyOut(ctx context.Context, t transfer) (client.Footing, error) {
	if t.file == "" {
		out := s.Out
		if s.to != nil && !t.program {
			out = s.to
		}
		return s.Conn.CopyOut(ctx, t.sql, out)
	}
	f, err := os.Create(t.file)
	if err != nil {
		return client.Footing{}, err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	footing, err := s.Conn.CopyOut(ctx, t.sql, w)
	return footing, errors.Join(err, w.Flush(), f.Close())
}

// data is what stands behind a \copy FROM STDIN in a script, up to a line of \. or to its end. Elsewhere, and for PSTDIN, it is the input of
// the program.
func (s *Session) data(t transfer) io.Reader {
	if s.script != nil && !t.program {
		return &untilMark{in: s.script}
	}
	if s.In != nil {
		return s.In
	}
	fmt.Fprintln(s.Err, `Enter rows, and then a line of \. or Ctrl-D.`)
	return &untilMark{in: bufio.NewScanner(os.Stdin)}
}

// untilMark reads lines up to one of \. alone.
type untilMark struct {
	in   *bufio.Scanner
	rest []byte
	done bool
}

func (u *untilMark) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		if u.done || !u.in.Scan() {
			u.done = true
			if err := u.in.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		if line := u.in.Text(); strings.TrimSuffix(line, "\r") == `\.` {
			u.done = true
			return 0, io.EOF
		}
		u.rest = append(append(u.rest[:0], u.in.Bytes()...), '\n')
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

func (a *api) CopyIn(ctx context.Context, sql string, r io.Reader) (client.Footing, error) {
	return a.client.CopyIn(ctx, a.settings, sql, r)
}

func (a *api) CopyOut(ctx context.Context, sql string, w io.Writer) (client.Footing, error) {
	return a.client.CopyOut(ctx, a.settings, sql, w)
}

// CopyIn sends the bytes of r to a COPY … FROM STDIN.
func (p *Postgres) CopyIn(ctx context.Context, sql string, r io.Reader) (client.Footing, error) {
	return p.copied(ctx, func() (pgconn.CommandTag, error) { return p.conn.CopyFrom(ctx, r, sql) })
}

// CopyOut writes what a COPY … TO STDOUT gives to w.
func (p *Postgres) CopyOut(ctx context.Context, sql string, w io.Writer) (client.Footing, error) {
	return p.copied(ctx, func() (pgconn.CommandTag, error) { return p.conn.CopyTo(ctx, w, sql) })
}

func (p *Postgres) copied(ctx context.Context, run func() (pgconn.CommandTag, error)) (client.Footing, error) {
	if err := p.ready(ctx); err != nil {
		return client.Footing{}, err
	}
	tag, err := run()
	if err != nil {
		return client.Footing{}, publicError(err)
	}
	return client.Footing{Tag: tag.String(), Notices: p.notices}, nil
}
