// Package backup is the format of a backup's files: the lines of cells that a server writes and a restore reads, and the manifest that
// makes a directory of them a backup. docs/format/backup.md is its specification.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Format is the version that this program writes, and the only one that it reads.
const Format = 1

// Names of the files beside those of cells.
const (
	ManifestFile = "MANIFEST"
	ClusterFile  = "cluster.json"    // a Cluster
	TablesFile   = "tables.ndjson"   // a definition a line, in the JSON form of api/v1 Table
	RolesFile    = "roles.sql"       // a statement a line
	ContextsFile = "contexts.ndjson" // a Context a line
)

// CellsFile is the file of the cells that one shard had of the table in line t (from 0) of TablesFile.
func CellsFile(t, shard int) string { return fmt.Sprintf("cells/%05d-%02d.tsv", t, shard) }

var cellsFile = regexp.MustCompile(`^cells/([0-9]{5,9})-([0-9]{2,9})\.tsv$`)

// TableOf is the line of TablesFile that a file of cells belongs to.
func TableOf(name string) (t int, ok bool) {
	m := cellsFile.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	t, err1 := strconv.Atoi(m[1])
	shard, err2 := strconv.Atoi(m[2])
	return t, err1 == nil && err2 == nil && name == CellsFile(t, shard)
}

// Cluster says of which instant of which cluster a backup is.
type Cluster struct {
	Format      int    `json:"format"`
	Cluster     string `json:"cluster"`
	Incarnation uint64 `json:"incarnation"`
	Shards      int    `json:"shards"`
	MetaTerm    uint64 `json:"meta_term"` // of the round
	Round       uint64 `json:"round"`
	Catalog     uint64 `json:"catalog"`  // version of the catalog
	Revision    uint64 `json:"revision"` // of the meta group, for roles and contexts
	Taken       string `json:"taken"`    // RFC 3339, by the clock of the node that was asked
	Version     string `json:"version"`  // of the program
}

// Context is a metadata context.
type Context struct {
	Name   string            `json:"name"`
	Values map[string]string `json:"values"`
}

// Cell is a line of a file of cells.
type Cell struct {
	Values [][]byte // of each dimension; nil is NULL
	Window int64    // Unix milliseconds, if the table has windows
	Count  int64
}

// AppendCell appends a line: values, the window if there is one, and the count, separated by tabs. A backslash stands before what would be
// taken for something else, and \N is NULL, as in PostgreSQL's COPY.
func AppendCell(b []byte, c *Cell, windowed bool) []byte {
	for _, v := range c.Values {
		b = append(appendValue(b, v), '\t')
	}
	if windowed {
		b = append(strconv.AppendInt(b, c.Window, 10), '\t')
	}
	return append(strconv.AppendInt(b, c.Count, 10), '\n')
}

func appendValue(b, v []byte) []byte {
	if v == nil {
		return append(b, `\N`...)
	}
	for _, x := range v {
		switch x {
		case '\\':
			b = append(b, `\\`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, x)
		}
	}
	return b
}

// ParseCell reads a line without its end. Values hold nothing of the line.
func ParseCell(line []byte, dims int, windowed bool) (c Cell, err error) {
	fields := bytes.Split(line, []byte{'\t'})
	want := dims + 1
	if windowed {
		want++
	}
	if len(fields) != want {
		return c, fmt.Errorf("%d fields, want %d", len(fields), want)
	}
	c.Values = make([][]byte, dims)
	for d := range dims {
		if c.Values[d], err = parseValue(fields[d]); err != nil {
			return c, err
		}
	}
	if windowed {
		if c.Window, err = number(fields[dims]); err != nil {
			return c, err
		}
	}
	c.Count, err = number(fields[want-1])
	return c, err
}

// number reads an integer in the one form that is written.
func number(b []byte) (int64, error) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(b) {
		return 0, fmt.Errorf("%q is not a whole number", b)
	}
	return n, nil
}

func parseValue(field []byte) ([]byte, error) {
	if string(field) == `\N` {
		return nil, nil
	}
	v := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		x := field[i]
		if x == '\r' || x == '\n' {
			return nil, errors.New("a line end stands in a value")
		}
		if x != '\\' {
			v = append(v, x)
			continue
		}
		i++
		if i == len(field) {
			return nil, errors.New("a value ends with a backslash")
		}
		at := strings.IndexByte(`\tnr`, field[i])
		if at < 0 {
			return nil, fmt.Errorf(`\%c means nothing`, field[i])
		}
		v = append(v, "\\\t\n\r"[at])
	}
	return v, nil
}

// File is a file of a backup as the manifest lists it.
type File struct {
	Name   string
	SHA256 [sha256.Size]byte
	Size   int64
	Rows   int64  // lines
	Sum    uint64 // of the counts of cells, modulo 2⁶⁴
}

// The first word of a manifest, and the word of its last line.
const (
	manifestHead = "quipu-backup"
	manifestEnd  = "end"
)

// WriteManifest writes a line for each file, and the digest of those lines as the last one.
func WriteManifest(w io.Writer, files []File) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d\n", manifestHead, Format)
	for _, f := range files {
		fmt.Fprintf(&b, "%x %d %d %d %s\n", f.SHA256, f.Size, f.Rows, f.Sum, f.Name)
	}
	fmt.Fprintf(&b, "%s %x\n", manifestEnd, sha256.Sum256(b.Bytes()))
	_, err := w.Write(b.Bytes())
	return err
}

// manifestBytesMax bounds a manifest: some hundred thousand files.
const manifestBytesMax = 64 << 20

// ReadManifest reads what WriteManifest wrote, and refuses anything else.
func ReadManifest(r io.Reader) ([]File, error) {
	text, err := io.ReadAll(io.LimitReader(r, manifestBytesMax))
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("%s %d\n", manifestHead, Format)
	switch {
	case bytes.HasPrefix(text, []byte(head)):
	case bytes.HasPrefix(text, []byte(manifestHead+" ")):
		line, _, _ := bytes.Cut(text, []byte{'\n'})
		return nil, fmt.Errorf("it is of the format %q; this program reads format %d (use the release that wrote it, or a newer one)", bytes.TrimPrefix(line, []byte(manifestHead+" ")), Format)
	default:
		return nil, errors.New("it is not the manifest of a backup")
	}
	at := bytes.LastIndex(text, []byte("\n"+manifestEnd+" ")) + 1
	if at == 0 || string(text[at:]) != fmt.Sprintf("%s %x\n", manifestEnd, sha256.Sum256(text[:at])) {
		return nil, errors.New("its last line does not fit what stands above it: it is damaged or cut off")
	}
	var files []File
	seen := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(text[len(head):at])); lines.Scan(); {
		f, err := parseFile(lines.Text())
		if err != nil {
			return nil, err
		}
		if seen[f.Name] {
			return nil, fmt.Errorf("%s is listed twice", f.Name)
		}
		seen[f.Name] = true
		files = append(files, f)
	}
	return files, nil
}

func parseFile(line string) (f File, err error) {
	fields := strings.SplitN(line, " ", 5)
	if len(fields) != 5 {
		return f, fmt.Errorf("the line %q has %d fields, want 5", line, len(fields))
	}
	digest, err := hex.DecodeString(fields[0])
	if err != nil || len(digest) != sha256.Size {
		return f, fmt.Errorf("%q is not a digest", fields[0])
	}
	f.SHA256 = [sha256.Size]byte(digest)
	var err1, err2, err3 error
	f.Size, err1 = strconv.ParseInt(fields[1], 10, 64)
	f.Rows, err2 = strconv.ParseInt(fields[2], 10, 64)
	f.Sum, err3 = strconv.ParseUint(fields[3], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil || f.Size < 0 || f.Rows < 0 {
		return f, fmt.Errorf("the line %q has a bad number", line)
	}
	f.Name = fields[4]
	return f, ValidName(f.Name)
}

// ValidName says what is wrong with the name of a file of a backup, or nil: names come over the network, and none may lead out of the
// directory.
func ValidName(name string) error {
	switch name {
	case ClusterFile, TablesFile, RolesFile, ContextsFile:
		return nil
	}
	if _, ok := TableOf(name); !ok {
		return fmt.Errorf("%q is not the name of a file of a backup", name)
	}
	return nil
}
