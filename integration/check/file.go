package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// A history file is JSON lines: a header, a line for each operation, and an end that counts them. docs/format/history.md describes it.
const (
	fileFormat  = "quipu-history"
	fileVersion = 1
	lineMax     = 16 << 20 // bytes of one line
	fileOpsMax  = 1 << 26  // operations of one file
)

type fileHeader struct {
	Format  string            `json:"format"`
	Version int               `json:"version"`
	Shards  int               `json:"shards"`
	Writers int               `json:"writers"`
	Note    map[string]string `json:"note,omitempty"`
}

// fileLine is one operation, or the end. What kind it is says its only field that is set.
type fileLine struct {
	Add  *fileAdd  `json:"add,omitempty"`
	Read *fileRead `json:"read,omitempty"`
	End  *fileEnd  `json:"end,omitempty"`
}

type fileAdd struct {
	Client  int     `json:"client"`
	Writer  int     `json:"writer"`
	Shard   int     `json:"shard"`
	Delta   int64   `json:"delta"`
	Call    int64   `json:"call"`
	Return  int64   `json:"return,omitempty"` // left out if the outcome is unknown
	Outcome Outcome `json:"outcome"`
}

type fileRead struct {
	Client int        `json:"client"`
	Level  Level      `json:"level"`
	Call   int64      `json:"call"`
	Return int64      `json:"return"`
	Age    int64      `json:"age,omitempty"`
	Views  []fileView `json:"views"`
}

type fileView struct {
	Shard int     `json:"shard"`
	Cells []int64 `json:"cells"`
	Sum   int64   `json:"sum"`
}

type fileEnd struct {
	Adds   int `json:"adds"`
	Reads  int `json:"reads"`
	Failed int `json:"failed"`
}

// MarshalText is the outcome's word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the word.
func (o *Outcome) UnmarshalText(b []byte) error {
	for i, s := range outcomes {
		if s == string(b) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("outcome %q is none of %v", b, outcomes)
}

// MarshalText is the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the word.
func (l *Level) UnmarshalText(b []byte) error {
	for i, s := range levels {
		if s == string(b) {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("level %q is none of %v", b, levels)
}

// Write writes h as a history file.
func (h *History) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16)
	lines := json.NewEncoder(out)
	if err := lines.Encode(fileHeader{fileFormat, fileVersion, h.Shards, h.Writers, h.Note}); err != nil {
		return err
	}
	for i := range h.Adds {
		a := fileAdd(h.Adds[i])
		if a.Return == Never {
			a.Return = 0
		}
		if err := lines.Encode(fileLine{Add: &a}); err != nil {
			return err
		}
	}
	for i := range h.Reads {
		r := &h.Reads[i]
		line := fileRead{r.Client, r.Level, r.Call, r.Return, r.Age, make([]fileView, len(r.Views))}
		for v := range r.Views {
			line.Views[v] = fileView(r.Views[v])
		}
		if err := lines.Encode(fileLine{Read: &line}); err != nil {
			return err
		}
	}
	if err := lines.Encode(fileLine{End: &fileEnd{len(h.Adds), len(h.Reads), h.Failed}}); err != nil {
		return err
	}
	return out.Flush()
}

// Read reads a history file and validates it.
func ReadHistory(from io.Reader) (*History, error) {
	f := &fileReader{lines: bufio.NewScanner(from)}
	f.lines.Buffer(make([]byte, 0, 1<<16), lineMax)
	h, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("check: line %d of the history: %w", f.line, err)
	}
	return h, h.Validate()
}

type fileReader struct {
	lines *bufio.Scanner
	line  int
	h     History
}

// next decodes the next line into to.
func (f *fileReader) next(to any) error {
	f.line++
	if !f.lines.Scan() {
		if err := f.lines.Err(); err != nil {
			return err
		}
		return fmt.Errorf("the file ends too early, a part is missing: %w", io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(f.lines.Bytes(), to); err != nil {
		return err
	}
	return nil
}

func (f *fileReader) read() (*History, error) {
	var head fileHeader
	if err := f.next(&head); err != nil {
		return nil, err
	}
	if head.Format != fileFormat || head.Version != fileVersion {
		return nil, fmt.Errorf("format %q version %d; this program reads %q version %d", head.Format, head.Version, fileFormat, fileVersion)
	}
	f.h = History{Shards: head.Shards, Writers: head.Writers, Note: head.Note}
	for {
		var line fileLine
		if err := f.next(&line); err != nil {
			return nil, err
		}
		done, err := f.take(line)
		if err != nil {
			return nil, err
		}
		if done {
			return &f.h, nil
		}
	}
}

// take adds a line to the history and says whether it was the end.
func (f *fileReader) take(line fileLine) (done bool, err error) {
	switch {
	case line.End != nil:
		f.h.Failed = line.End.Failed
		if line.End.Adds != len(f.h.Adds) || line.End.Reads != len(f.h.Reads) {
			return false, fmt.Errorf("%d adds and %d reads were read, %d and %d were written", len(f.h.Adds), len(f.h.Reads), line.End.Adds, line.End.Reads)
		}
		return true, nil
	case len(f.h.Adds)+len(f.h.Reads) >= fileOpsMax:
		return false, fmt.Errorf("more than %d operations", fileOpsMax)
	case line.Add != nil:
		a := Add(*line.Add)
		if a.Outcome == Unknown {
			a.Return = Never
		}
		f.h.Adds = append(f.h.Adds, a)
	case line.Read != nil:
		r := Read{Client: line.Read.Client, Level: line.Read.Level, Call: line.Read.Call, Return: line.Read.Return, Age: line.Read.Age}
		for _, v := range line.Read.Views {
			r.Views = append(r.Views, View(v))
		}
		f.h.Reads = append(f.h.Reads, r)
	default:
		return false, errors.New("it is neither an operation nor the end")
	}
	return false, nil
}

// Save writes h to a new file, and Load reads one.
func (h *History) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(h.Write(f), f.Close())
}

// Load reads a history file.
func Load(path string) (*History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadHistory(f)
}
