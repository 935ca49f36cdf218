// Package importer loads a CSV or NDJSON file into a table, each row counted exactly once however often the load is killed and started
// again. The cluster keeps a record of the file (its hash, how columns map to dimensions, how it is cut into chunks); chunks travel under
// the record's durable session with the chunk's number as sequence.
package importer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/records"
)

// Options say what to load and how. Client, Path and Table are required.
type Options struct {
	Client    *client.Client
	Path      string
	Table     string
	Format    string                                           // csv, tsv or ndjson; empty: by the file's name
	Delimiter byte                                             // of csv; 0 means a comma
	Columns   map[string]string                                // column of the file → dimension, "count" or "ts"; others map by their own name
	Skip      []string                                         // columns of the file to leave out
	Rejects   string                                           // file for rejected rows; empty: Path + ".rejected"
	ChunkRows int                                              // rows of one chunk, 1 to 65,536; 0 means 20,000
	Again     bool                                             // count a file that was counted before once more
	Progress  func(done, total int64, counted, rejected int64) // bytes of the file that are settled and all, rows; called after each chunk
}

// Summary is how a load ended: Rows = Counted + Rejected.
type Summary struct {
	Rows, Counted, Rejected int64
	Resumed                 bool // an earlier run had begun
	Known                   bool // an earlier run had finished; nothing was sent
	Elapsed                 time.Duration
}

const (
	chunkRowsDefault = 20_000
	chunkRowsMax     = 1 << 16
	chunksAhead      = 64 // chunks without an answer
	progressEvery    = 16 // chunks between two savings of progress
)

// Run loads the file. Rows that cannot be counted go to the rejects file with the reason; only a file as a whole that does not fit (no
// header, unknown columns) or a server that does not answer is an error.
func Run(ctx context.Context, o Options) (Summary, error) {
	began := time.Now()
	o, err := o.complete()
	if err != nil {
		return Summary{}, err
	}
	l := &load{o: o}
	if err := l.open(ctx); err != nil {
		return Summary{}, err
	}
	defer l.close()
	err = l.run(ctx)
	l.sum.Elapsed = time.Since(began)
	l.sum.Rows = l.sum.Counted + l.sum.Rejected
	return l.sum, err
}

func (o Options) complete() (Options, error) {
	if o.Format == "" {
		switch {
		case strings.HasSuffix(o.Path, ".ndjson"), strings.HasSuffix(o.Path, ".jsonl"):
			o.Format = "ndjson"
		case strings.HasSuffix(o.Path, ".tsv"):
			o.Format = "tsv"
		default:
			o.Format = "csv"
		}
	}
	if o.Format != "csv" && o.Format != "tsv" && o.Format != "ndjson" {
		return o, fmt.Errorf("unknown format %q, want csv, tsv or ndjson", o.Format)
	}
	if strings.IndexByte("\"\r\n", o.Delimiter) >= 0 || o.Delimiter > 0 && o.Format != "csv" {
		return o, fmt.Errorf("%q cannot separate the columns of a %s file", o.Delimiter, o.Format)
	}
	if o.ChunkRows == 0 {
		o.ChunkRows = chunkRowsDefault
	}
	if o.ChunkRows < 1 || o.ChunkRows > chunkRowsMax {
		return o, fmt.Errorf("a chunk has 1 to %d rows, not %d", chunkRowsMax, o.ChunkRows)
	}
	if o.Rejects == "" {
		o.Rejects = o.Path + ".rejected"
	}
	return o, nil
}

func (o Options) delimiter() byte {
	switch {
	case o.Format == "tsv":
		return '\t'
	case o.Delimiter > 0:
		return o.Delimiter
	}
	return ','
}

// chunking says how rows come to their chunks; the record of the import keeps it.
func (o Options) chunking() string {
	text := fmt.Sprintf("%s rows=%d", o.Format, o.ChunkRows)
	if o.Delimiter > 0 {
		text += fmt.Sprintf(" delimiter=%q", o.Delimiter)
	}
	return text
}

// load is one run over one file.
type load struct {
	o       Options
	file    *os.File
	size    int64
	table   client.TableInfo
	source  source
	imp     *client.Import
	rejects *rejects
	sum     Summary
	flying  []flight // oldest first
	done    uint64   // chunks answered, from the first
	saved   uint64
}

// flight is a chunk without an answer yet.
type flight struct {
	number uint64
	p      *client.Pending
	rows   int64
	end    int64    // position in the file after it
	local  int64    // rows that were rejected before sending
	lines  []int    // of the rows sent
	raw    []string // of the rows sent, for the rejects file
}

func (l *load) open(ctx context.Context) (err error) {
	if l.table, err = l.o.Client.DescribeTable(ctx, l.o.Table); err != nil {
		return err
	}
	if l.file, err = os.Open(l.o.Path); err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", l.o.Path)
	}
	if err != nil {
		return errors.Join(err, l.file.Close())
	}
	l.size = info.Size()
	hash, err := l.hash(ctx)
	if err != nil {
		return errors.Join(err, l.file.Close())
	}
	if l.source, err = newSource(l.o, l.table, l.file); err != nil {
		return errors.Join(err, l.file.Close())
	}
	l.imp, err = l.o.Client.Import(ctx, client.ImportSpec{
		Table: l.o.Table, FileHash: hash, Mapping: l.source.mapping(), Chunking: l.o.chunking(), Again: l.o.Again,
	})
	if err != nil {
		return errors.Join(err, l.file.Close())
	}
	return nil
}

// hash reads the whole file once: the record must know what it counts before the first row is counted.
func (l *load) hash(ctx context.Context) (string, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.file.Read(buf)
		h.Write(buf[:n])
		switch {
		case err == io.EOF:
			_, err = l.file.Seek(0, io.SeekStart)
			return hex.EncodeToString(h.Sum(nil)), err
		case err != nil:
			return "", err
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}

func (l *load) close() {
	l.imp.Close()
	l.file.Close()
	if l.rejects != nil {
		l.rejects.close()
	}
}

func (l *load) run(ctx context.Context) error {
	done, counted, rejected, complete := l.imp.Done()
	l.done, l.saved = done, done
	l.sum.Counted, l.sum.Rejected, l.sum.Resumed, l.sum.Known = counted, rejected, done > 0, complete
	if complete {
		return nil
	}
	last, err := l.skip(int64(done) * int64(l.o.ChunkRows))
	if err == nil {
		err = keepRejects(l.o.Rejects, last)
	}
	if err != nil {
		return err
	}
	for n := done + 1; ; n++ {
		more, err := l.send(ctx, n)
		if err != nil {
			return err
		}
		for len(l.flying) > 0 && (!more || len(l.flying) >= chunksAhead) {
			if err := l.settle(ctx); err != nil {
				return err
			}
		}
		if !more {
			return l.save(ctx, true)
		}
		if l.done-l.saved >= progressEvery {
			if err := l.save(ctx, false); err != nil {
				return err
			}
		}
	}
}

// skip reads over what earlier runs have settled, and gives the line on which the last of it begins.
func (l *load) skip(rows int64) (last int, err error) {
	var r row
	for range rows {
		err := l.source.next(&r)
		var bad *records.BadRecord
		switch {
		case errors.As(err, &bad):
			last = bad.Line
		case err != nil:
			return last, err
		default:
			last = r.line
		}
	}
	return last, nil
}

// send reads one chunk and sends it. False means that the file is at its end.
func (l *load) send(ctx context.Context, n uint64) (more bool, err error) {
	f := flight{number: n}
	cols := client.NewColumns(l.source.dims()...)
	var r row
	for more = true; more && f.rows < int64(l.o.ChunkRows); {
		err := l.source.next(&r)
		var bad *records.BadRecord
		switch {
		case err == io.EOF:
			more = false
			continue
		case errors.As(err, &bad):
			f.local++
			if err := l.reject(bad.Line, bad.Reason, string(bad.Raw)); err != nil {
				return false, err
			}
		case err != nil:
			return false, err
		default:
			cols.Append(r.values, r.count, r.event)
			f.lines = append(f.lines, r.line)
			f.raw = append(f.raw, string(r.raw))
		}
		f.rows++
	}
	if f.rows == 0 {
		return false, nil
	}
	if cols.Len() > 0 {
		if f.p, err = l.imp.Chunk(ctx, n, cols); err != nil {
			return false, err
		}
	}
	f.end = l.source.offset()
	l.flying = append(l.flying, f)
	return more, nil
}

// settle waits for the oldest chunk.
func (l *load) settle(ctx context.Context) error {
	f := l.flying[0]
	l.flying = l.flying[1:]
	refused := map[uint32]*client.Error{}
	if f.p != nil {
		_, err := f.p.Wait(ctx)
		refused = f.p.RefusedRows()
		if err != nil && len(refused) == 0 {
			return fmt.Errorf("chunk %d (lines %d to %d): %w", f.number, f.lines[0], f.lines[len(f.lines)-1], err)
		}
	}
	for i := range f.lines {
		if e := refused[uint32(i)]; e != nil {
			if err := l.reject(f.lines[i], e.Code+": "+e.Message, f.raw[i]); err != nil {
				return err
			}
		}
	}
	lost := f.local + int64(len(refused))
	l.sum.Rejected += lost
	l.sum.Counted += f.rows - lost
	l.done = f.number
	if l.o.Progress != nil {
		l.o.Progress(f.end, l.size, l.sum.Counted, l.sum.Rejected)
	}
	return nil
}

func (l *load) save(ctx context.Context, complete bool) error {
	if l.rejects != nil {
		if err := l.rejects.flush(); err != nil {
			return err
		}
	}
	if err := l.imp.Progress(ctx, l.done, l.sum.Counted, l.sum.Rejected, complete); err != nil {
		return fmt.Errorf("saving progress: %w", err)
	}
	l.saved = l.done
	return nil
}
