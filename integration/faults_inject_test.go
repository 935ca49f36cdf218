package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// inject puts a fault into the syncs of a node, by a tracer, until it is called off.
func (l *lab) inject(m *member, what string) (detach func()) {
	cmd := exec.Command("strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:"+what, "-p", strconv.Itoa(m.cmd.Process.Pid))
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.fail("strace: %v", err)
		return nothing
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.Contains(lines.Text(), "attached") {
		l.note("strace: %s", lines.Text())
	}
	go io.Copy(io.Discard, said)
	return func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }
}

// clockVariable names the file in which a node of the lab finds by how much its clock is wrong.
const clockVariable = "QUIPU_TEST_CLOCK"

const clockSource = `
func testClock() func() time.Time {
	var offset atomic.Int64
	go func() {
		for ; ; time.Sleep(50 * time.Millisecond) {
			b, _ := os.ReadFile(os.Getenv("` + clockVariable + `"))
			d, _ := time.ParseDuration(strings.TrimSpace(string(b)))
			offset.Store(int64(d))
		}
	}()
	return func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
}
`

// clockwork builds quipu with a clock that can be set wrong: no other way reaches the clock of one process. Nothing else is changed.
func (l *lab) clockwork() string {
	dir := l.t.TempDir()
	file, err := filepath.Abs("../cmd/quipu/serve.go")
	if err != nil {
		l.t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	text := strings.Replace(string(source), "\thalted := make(chan error, 1)\n", "\thalted := make(chan error, 1)\n\tcfg.Now = testClock()\n", 1)
	text = strings.Replace(text, "\t\"runtime/debug\"\n", "\t\"runtime/debug\"\n\t\"sync/atomic\"\n", 1)
	if strings.Count(text, "testClock") != 1 || strings.Count(text, "\"sync/atomic\"") != 1 {
		l.t.Fatalf("the place for the clock in %s has moved", file)
	}
	changed, overlay, path := filepath.Join(dir, "serve.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "quipu")
	files, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		l.t.Fatal(err)
	}
	for name, b := range map[string][]byte{changed: []byte(text + clockSource), overlay: files} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := build(path, "-overlay", overlay); err != nil {
		l.t.Fatal(err)
	}
	return path
}
