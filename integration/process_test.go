// Package integration proves the promises on real processes: nodes that are killed, replies that are cut, disks that lose power.
package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// binary builds quipu once for all tests of the package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quipu-integration-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "quipu")
	return path, build(path)
})

// build makes the binary at path.
func build(path string, flags ...string) error {
	args := append([]string{"build", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, module+"/cmd/quipu")...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// mustBinary is the path of the binary.
func mustBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// soak says that the long form of a test is wanted.
func soak() bool { return os.Getenv("QUIPU_SOAK") != "" }

// node is a quipu process over a data directory.
type node struct {
	t      *testing.T
	binary string
	dir    string
	args   []string
	env    []string // beside that of the test
	cmd    *exec.Cmd
	addr   string
	log    *lockedBuffer
	done   chan struct{} // closed when the process has ended
	born   func(pid int) // called when the process is there, before it serves; nil: nobody asks
}

// lockedBuffer collects what a process prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startNode runs `quipu serve` on dir and waits until it serves. The test's cleanup kills it.
func startNode(t *testing.T, dir string, args ...string) *node {
	t.Helper()
	return startNodeOf(t, mustBinary(t), dir, args...)
}

// startNodeOf is startNode with a binary of the caller's choice.
func startNodeOf(t *testing.T, binary, dir string, args ...string) *node {
	t.Helper()
	n := &node{t: t, binary: binary, dir: dir, args: args, log: &lockedBuffer{}}
	n.addr = freeAddr(t)
	t.Cleanup(n.kill)
	n.start()
	return n
}

// Ports of freeAddr lie below those that outgoing connections are given, from 32768 on Linux and from 49152 elsewhere, one of which could have
// the port of a node that is to start again.
const (
	portsFrom = 20_000
	portsTo   = 32_000
)

var portsGiven sync.Map // by address

// freeAddr is a loopback address that nobody listens at and that it has given to nobody before.
func freeAddr(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", portsFrom+rand.IntN(portsTo-portsFrom))
		if _, given := portsGiven.LoadOrStore(addr, true); given {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatalf("no free port between %d and %d: %v", portsFrom, portsTo, err)
	return ""
}

// start runs the process again on the same address and directory.
func (n *node) start() {
	n.t.Helper()
	if err := n.tryStart(); err != nil {
		n.t.Fatalf("%v\n%s", err, n.log)
	}
}

func (n *node) tryStart() error {
	args := append([]string{"serve", "--data-dir", n.dir, "--listen", n.addr, "--pg-listen", "off"}, n.args...)
	n.cmd = exec.Command(n.binary, args...)
	n.cmd.Stderr = n.log
	n.cmd.Env = append(os.Environ(), n.env...)
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	if n.born != nil {
		n.born(n.cmd.Process.Pid)
	}
	n.done = make(chan struct{})
	serving := make(chan bool, 1)
	go n.follow(out, serving)
	select {
	case ok := <-serving:
		if ok {
			return nil
		}
		return errors.New("the node ended before it served")
	case <-time.After(60 * time.Second):
		n.kill()
		return errors.New("the node did not serve within a minute")
	}
}

// follow reads what the node prints and reaps it.
func (n *node) follow(out io.Reader, serving chan<- bool) {
	defer close(n.done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(n.log, lines.Text())
		if strings.HasPrefix(lines.Text(), "serving ") {
			serving <- true
		}
	}
	n.cmd.Wait()
	select {
	case serving <- false:
	default:
	}
}

// kill ends the process with SIGKILL and waits for it. Harmless if it has ended.
func (n *node) kill() {
	if n.cmd == nil || n.cmd.Process == nil || n.done == nil {
		return
	}
	n.cmd.Process.Kill()
	<-n.done
}

// stop ends the process with SIGTERM and gives its exit code.
func (n *node) stop() int {
	n.cmd.Process.Signal(syscall.SIGTERM)
	<-n.done
	return n.cmd.ProcessState.ExitCode()
}

// run runs quipu with args against the node and gives its output; the error is the exit.
func (n *node) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.binary, args...)
	cmd.Env = append(os.Environ(), "QUIPU_URL="+n.addr)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (n *node) open(opts ...client.Option) *client.Client { return dial(n.t, n.addr, opts...) }

func dial(t *testing.T, addr string, opts ...client.Option) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := client.Open(ctx, addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // its node may be gone
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// query runs a statement that must succeed.
func query(t *testing.T, c *client.Client, sql string) [][]any {
	t.Helper()
	rows, err := c.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out [][]any
	for rows.Next() {
		out = append(out, append([]any(nil), rows.Values()...))
	}
	if rows.Err() != nil {
		t.Fatalf("%s: %v", sql, rows.Err())
	}
	return out
}

// counts reads a table into a map from the values of its cells, joined by slashes.
func counts(t *testing.T, c *client.Client, table, dims string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, row := range query(t, c, "SELECT "+dims+", sum(count) FROM "+table+" GROUP BY "+dims) {
		var key []string
		for _, v := range row[:len(row)-1] {
			key = append(key, fmt.Sprint(v))
		}
		out[strings.Join(key, "/")] = row[len(row)-1].(int64)
	}
	return out
}

// duplicates is how many parts the node refused since its start because it had counted them before.
func (n *node) duplicates() int { return n.metric("quipu_duplicates_refused_total") }

// metric sums what the node shows under a name.
func (n *node) metric(name string) (sum int) {
	n.t.Helper()
	res, err := http.Get("http://" + n.addr + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			n.t.Fatal(err)
		}
		sum += int(v)
	}
	return sum
}
