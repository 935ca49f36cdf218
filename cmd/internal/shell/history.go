package shell

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	historyMax      = 2000    // entries
	historyBytesMax = 1 << 20 // of the file; it is written anew when it has twice as much
	entryBytesMax   = 64 << 10
)

// history keeps what was entered, whole statements with their lines, in a file of the user's own: one JSON string a line, the oldest
// first. Several shells may append to it at once.
type history struct {
	path    string
	entries []string
}

// secret finds statements that hold a password. They are not kept.
var secret = regexp.MustCompile(`(?i)\bpassword\s+e?'`)

// openHistory reads the file, and makes it shorter if it has grown too long.
func openHistory(path string) (*history, error) {
	h := &history{path: path}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return nil, err
		}
	}
	in := bufio.NewScanner(f)
	in.Buffer(nil, 8*entryBytesMax)
	lines := 0
	for in.Scan() {
		lines++
		if entry, ok := decodeEntry(in.Bytes()); ok {
			h.add(entry)
		}
	}
	if in.Err() != nil || lines > 2*historyMax || info.Size() > 2*historyBytesMax {
		return h, h.rewrite()
	}
	return h, nil
}

// decodeEntry also reads the form of earlier releases, {"datetime": …, "block": …}.
func decodeEntry(line []byte) (string, bool) {
	var entry string
	if json.Unmarshal(line, &entry) == nil {
		return entry, entry != ""
	}
	var old struct{ Block string }
	if json.Unmarshal(line, &old) == nil {
		return old.Block, old.Block != ""
	}
	return "", false
}

// add says whether the entry is new.
func (h *history) add(entry string) bool {
	if len(h.entries) > 0 && h.entries[len(h.entries)-1] == entry {
		return false
	}
	h.entries = append(h.entries, entry)
	if over := len(h.entries) - historyMax; over > 0 {
		h.entries = h.entries[over:]
	}
	return true
}

// rewrite keeps the newest entries that fit.
func (h *history) rewrite() error {
	var lines [][]byte
	size := 0
	for i := len(h.entries) - 1; i >= 0; i-- {
		line := encodeEntry(h.entries[i])
		if size += len(line); size > historyBytesMax {
			break
		}
		lines = append(lines, line)
	}
	f, err := os.CreateTemp(filepath.Dir(h.path), ".history-*") // made with 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	for i := len(lines) - 1; i >= 0; i-- {
		if _, err := f.Write(lines[i]); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), h.path)
}

func encodeEntry(entry string) []byte {
	line, err := json.Marshal(entry)
	if err != nil {
		return nil // strings always marshal
	}
	return append(line, '\n')
}

// Write keeps an entry, unless it holds a password, is the same as the one before, or begins with a space.
func (h *history) Write(entry string) (int, error) {
	keep := !strings.HasPrefix(entry, " ") && len(entry) <= entryBytesMax && !secret.MatchString(entry)
	if entry = strings.TrimSpace(entry); !keep || entry == "" || !h.add(entry) {
		return len(h.entries), nil
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return len(h.entries), err
	}
	_, err = f.Write(encodeEntry(entry))
	return len(h.entries), errors.Join(err, f.Close())
}

// GetLine gives an entry, the oldest first.
func (h *history) GetLine(i int) (string, error) {
	if i < 0 || i >= len(h.entries) {
		return "", fmt.Errorf("history has no entry %d", i)
	}
	return h.entries[i], nil
}

// Len is the number of entries.
func (h *history) Len() int { return len(h.entries) }

// Dump gives all of them.
func (h *history) Dump() any { return h.entries }

// historyFile is $QUIPU_HISTORY, or history in the state directory of the user.
func historyFile() (string, error) {
	if path := os.Getenv("QUIPU_HISTORY"); path != "" {
		return path, nil
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "quipu", "history"), nil
}
