package bench

import (
	"bufio"
	"errors"
	"os"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/workload"
)

// File is a CSV of single observations.
type File struct {
	Rows, Cells, Dims int
	Zipf              float64
	Seed              uint64
}

// Write makes the file.
func (g File) Write(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	box := workload.NewBox(g.Cells, g.Dims)
	w.WriteString(strings.Join(box.Names(), ",") + "\n")
	values := make([]string, g.Dims)
	for left, part := g.Rows, uint64(0); left > 0; part++ {
		draws, err := box.Draws(min(left, drawsMax), g.Zipf, g.Seed+part<<32)
		if err != nil {
			return err
		}
		for _, d := range draws {
			box.Values(int(d), values)
			w.WriteString(strings.Join(values, ","))
			w.WriteByte('\n')
		}
		left -= len(draws)
	}
	return w.Flush()
}
