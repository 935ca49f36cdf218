package importer

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// rejects is a CSV of line, reason and the row as it stood in the file.
type rejects struct {
	f *os.File
	w *csv.Writer
}

var rejectsHeader = []string{"line", "reason", "row"}

func (l *load) reject(line int, reason, raw string) error {
	if l.rejects == nil {
		f, err := os.OpenFile(l.o.Rejects, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("rejected rows: %w", err)
		}
		l.rejects = &rejects{f, csv.NewWriter(f)}
		if info, err := f.Stat(); err != nil {
			return err
		} else if info.Size() == 0 {
			l.rejects.w.Write(rejectsHeader)
		}
	}
	return l.rejects.w.Write([]string{fmt.Sprint(line), reason, strings.TrimRight(raw, "\r\n")})
}

func (r *rejects) flush() error {
	r.w.Flush()
	return r.w.Error()
}

func (r *rejects) close() {
	r.flush()
	r.f.Close()
}

// keepRejects leaves in the file of an earlier run the rows up to the line that is known to be settled: what stands there of later ones,
// perhaps half a row if that run was killed, will be written again. A file that is not one of ours is an error.
func keepRejects(path string, last int) error {
	old, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rejected rows: %w", err)
	}
	defer old.Close()
	in := csv.NewReader(bufio.NewReader(old))
	in.FieldsPerRecord = len(rejectsHeader)
	if header, err := in.Read(); err == io.EOF {
		return nil
	} else if err != nil || strings.Join(header, ",") != strings.Join(rejectsHeader, ",") {
		return fmt.Errorf("rejected rows would go to %s, which is not a file of rejected rows; name another one with --rejects", path)
	}
	if last == 0 {
		return os.Remove(path)
	}
	return replaceFile(path, func(w io.Writer) error {
		out := csv.NewWriter(w)
		out.Write(rejectsHeader)
		for {
			row, err := in.Read()
			if err != nil { // the end, or a row that was cut off
				out.Flush()
				return out.Error()
			}
			if line, err := strconv.Atoi(row[0]); err == nil && line <= last {
				out.Write(row)
			}
		}
	})
}

// replaceFile puts what write says in place of the file at path, all or nothing.
func replaceFile(path string, write func(io.Writer) error) error {
	next, err := os.Create(path + ".partial")
	if err != nil {
		return err
	}
	if err := errors.Join(write(next), next.Close()); err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return os.Rename(next.Name(), path)
}
