package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/proto/backup"
)

// Backup is a directory that was read and found whole.
type Backup struct {
	Dir      string
	ID       string // digest of the manifest, hexadecimal
	Cluster  backup.Cluster
	Tables   []Table
	Roles    []string // statements
	Contexts []backup.Context
}

// Table is a table of a backup.
type Table struct {
	Definition   *apiv1.Table
	Files        []backup.File // of its cells, in the order of their names
	Cells        int64
	Observations int64 // sum of the counts
}

func (t *Table) windowed() bool { return t.Definition.WindowSec > 0 }

// lineBytesMax bounds a line of a file: a definition with all its values, or a cell.
const lineBytesMax = 64 << 20

// Verify reads every file of a backup and holds it to the manifest: digests, lines, sums. The error names the file that is damaged.
func Verify(dir string, progress io.Writer) (*Backup, error) {
	text, err := os.ReadFile(filepath.Join(dir, backup.ManifestFile))
	if err != nil {
		return nil, fmt.Errorf("%s is not a whole backup: %w", dir, err)
	}
	files, err := backup.ReadManifest(bytes.NewReader(text))
	if err == nil {
		err = complete(files)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, backup.ManifestFile), err)
	}
	b := &Backup{Dir: dir, ID: fmt.Sprintf("%x", sha256.Sum256(text))}
	for _, f := range files { // the manifest lists the definitions before the cells
		if err := b.read(f); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, filepath.FromSlash(f.Name)), err)
		}
		fmt.Fprintf(progress, "%s: ok\n", f.Name)
	}
	return b, nil
}

// read reads one file, whatever is in it.
func (b *Backup) read(f backup.File) error {
	var sum uint64
	var each func(line []byte) error
	end := func() error { return nil }
	switch f.Name {
	case backup.ClusterFile:
		each = func(line []byte) error { return json.Unmarshal(line, &b.Cluster) }
	case backup.TablesFile:
		each = b.table
	case backup.RolesFile:
		each = func(line []byte) error { b.Roles = append(b.Roles, string(line)); return nil }
	case backup.ContextsFile:
		each = b.context
	default:
		i, _ := backup.TableOf(f.Name)
		if i >= len(b.Tables) {
			return fmt.Errorf("its table is not in %s", backup.TablesFile)
		}
		t := &b.Tables[i]
		each = func(line []byte) error {
			c, err := backup.ParseCell(line, len(t.Definition.Dimensions), t.windowed())
			sum += uint64(c.Count)
			return err
		}
		end = func() error {
			t.Files, t.Cells, t.Observations = append(t.Files, f), t.Cells+f.Rows, t.Observations+int64(sum)
			return nil
		}
	}
	if err := b.lines(f, each); err != nil {
		return err
	}
	if sum != f.Sum {
		return fmt.Errorf("its counts add up to %d, not to %d as the manifest says", int64(sum), int64(f.Sum))
	}
	return end()
}

// lines gives each line of a file, without its end, and holds the whole to the manifest. What each has seen of a file that is refused after all
// is of no use.
func (b *Backup) lines(f backup.File, each func(line []byte) error) error {
	file, err := os.Open(filepath.Join(b.Dir, filepath.FromSlash(f.Name)))
	if err != nil {
		return err
	}
	defer file.Close()
	h := sha256.New()
	size, rows, first := int64(0), int64(0), error(nil)
	in := bufio.NewScanner(io.TeeReader(file, h))
	in.Buffer(make([]byte, 64<<10), lineBytesMax)
	in.Split(wholeLines)
	for in.Scan() {
		rows++
		size += int64(len(in.Bytes())) + 1
		if err := each(in.Bytes()); err != nil && first == nil {
			first = fmt.Errorf("line %d: %w", rows, err)
		}
	}
	switch err := in.Err(); {
	case err != nil && !errors.Is(err, errHalfLine):
		return fmt.Errorf("line %d: %w", rows+1, err)
	case err != nil || size != f.Size || [sha256.Size]byte(h.Sum(nil)) != f.SHA256:
		return errors.New("its digest is not the one in the manifest: it is damaged or was changed")
	case rows != f.Rows:
		return fmt.Errorf("it has %d lines, the manifest says %d", rows, f.Rows)
	}
	return first
}

var errHalfLine = errors.New("the last line is cut off")

// wholeLines splits at line ends and leaves everything else, a carriage return among it, as it is.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errHalfLine
	}
	return 0, nil, nil
}

func (b *Backup) table(line []byte) error {
	t := &apiv1.Table{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(line, t); err != nil {
		return err
	}
	b.Tables = append(b.Tables, Table{Definition: t})
	return nil
}

func (b *Backup) context(line []byte) error {
	var c backup.Context
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	b.Contexts = append(b.Contexts, c)
	return nil
}

// Summary is what a backup is, in a few lines.
func (b *Backup) Summary() string {
	var s strings.Builder
	fmt.Fprintf(&s, "cluster %s, %d shards, taken %s (round %d/%d), by %s\n", b.Cluster.Cluster, b.Cluster.Shards, b.Cluster.Taken, b.Cluster.MetaTerm, b.Cluster.Round, b.Cluster.Version)
	for i := range b.Tables {
		t := &b.Tables[i]
		fmt.Fprintf(&s, "table %s: %d cells, %d observations", t.Definition.Table, t.Cells, t.Observations)
		if t.windowed() {
			fmt.Fprintf(&s, ", in windows of %v", time.Duration(t.Definition.WindowSec)*time.Second)
		}
		s.WriteByte('\n')
	}
	fmt.Fprintf(&s, "%d statements about roles, %d contexts\n", len(b.Roles), len(b.Contexts))
	return s.String()
}
