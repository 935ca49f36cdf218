// Package backup keeps a cluster as of one instant in a directory, and brings it back into an empty cluster of any size.
//
//	err := backup.Create(ctx, c, "./monday", os.Stderr)
//	sum, err := backup.Verify("./monday", io.Discard)
//	err = backup.Restore(ctx, c, "./monday", os.Stderr)
//
// A directory has its name only when it is whole: files are written beside it, in a directory with .partial behind its name.
package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/proto/backup"
)

// partialSuffix stands behind the name of a directory that is being written.
const partialSuffix = ".partial"

// Create streams the cluster into dir, which must not exist. What an attempt that died has left beside it is removed.
func Create(ctx context.Context, c *client.Client, dir string, progress io.Writer) (err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: a backup gets a directory of its own", dir)
	}
	partial := filepath.Clean(dir) + partialSuffix
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	if err := os.MkdirAll(filepath.Join(partial, "cells"), 0o700); err != nil {
		return err
	}
	w := &writer{dir: partial, progress: progress}
	for part, err := range c.Backup(ctx) {
		if err == nil {
			err = w.part(part)
		}
		if err != nil {
			return errors.Join(err, w.abandon())
		}
	}
	if w.open != nil {
		return errors.Join(fmt.Errorf("the stream ended in the middle of %s", w.file.Name), w.abandon())
	}
	if err := w.manifest(); err != nil {
		return err
	}
	if err := errors.Join(syncDir(filepath.Join(partial, "cells")), syncDir(partial)); err != nil {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

// writer makes files of the parts of a stream.
type writer struct {
	dir      string
	progress io.Writer
	files    []backup.File

	open *os.File // that parts go to; nil between two files
	file backup.File
	hash hash.Hash
}

func (w *writer) part(p client.BackupPart) error {
	if p.File != "" {
		if err := w.begin(p.File); err != nil {
			return err
		}
	}
	if w.open == nil {
		return errors.New("the server sends data that belongs to no file")
	}
	if _, err := w.open.Write(p.Data); err != nil {
		return err
	}
	w.hash.Write(p.Data)
	w.file.Size += int64(len(p.Data))
	w.file.Rows += int64(bytes.Count(p.Data, []byte{'\n'}))
	if !p.End {
		return nil
	}
	return w.end(p)
}

func (w *writer) begin(name string) (err error) {
	if err := backup.ValidName(name); err != nil {
		return fmt.Errorf("the server sends %w", err)
	}
	if w.open != nil {
		return fmt.Errorf("the server begins %s in the middle of %s", name, w.file.Name)
	}
	w.file, w.hash = backup.File{Name: name}, sha256.New()
	w.open, err = os.OpenFile(filepath.Join(w.dir, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return err
}

func (w *writer) end(p client.BackupPart) error {
	f := w.open
	w.open = nil
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if w.file.Rows != p.Rows {
		return fmt.Errorf("%s came with %d lines, the server sent %d", w.file.Name, w.file.Rows, p.Rows)
	}
	w.file.Sum, w.file.SHA256 = p.Sum, [sha256.Size]byte(w.hash.Sum(nil))
	w.files = append(w.files, w.file)
	if strings.HasPrefix(w.file.Name, "cells/") {
		fmt.Fprintf(w.progress, "%s: %d cells, %d observations, %d bytes\n", w.file.Name, p.Rows, int64(p.Sum), w.file.Size)
	}
	return nil
}

func (w *writer) abandon() error {
	if w.open == nil {
		return nil
	}
	return w.open.Close()
}

// manifest makes the files a backup.
func (w *writer) manifest() error {
	if err := complete(w.files); err != nil {
		return fmt.Errorf("the stream ended early: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(w.dir, backup.ManifestFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(backup.WriteManifest(f, w.files), f.Sync(), f.Close())
}

// complete says which file a backup lacks.
func complete(files []backup.File) error {
	have := map[string]bool{}
	for _, f := range files {
		have[f.Name] = true
	}
	for _, name := range []string{backup.ClusterFile, backup.TablesFile, backup.RolesFile, backup.ContextsFile} {
		if !have[name] {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
