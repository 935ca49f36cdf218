package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clusterScript joins the blocks of a page that carry a tag, on ports and directories of the test's own. The jobs of a script that fails are
// killed with it.
func clusterScript(t *testing.T, page, tag string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", page))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sh (?:\\w+ )*"+tag+"(?: \\w+)*\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 2 {
		t.Fatalf("%s has %d blocks of %s", page, len(blocks), tag)
	}
	var script strings.Builder
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	var ports []string
	for _, port := range []string{"7480", "7481", "7490", "7491", "7500", "7501", "7510", "7511", "7520", "7530", "7531"} {
		_, free, _ := strings.Cut(freeAddr(t), ":")
		ports = append(ports, "127.0.0.1:"+port, "127.0.0.1:"+free)
	}
	commands := strings.ReplaceAll(script.String(), "./quipu ", "quipu ")
	commands = strings.Replace(commands, "--data-dir ./n1", "--data-dir ./n1 --listen 127.0.0.1:7480 --pg-listen off --peer-addr 127.0.0.1:7481", 1)
	commands = strings.NewReplacer(ports...).Replace(commands)
	return "set -emo pipefail\ntrap 'kill -9 $(jobs -p) 2>/dev/null; wait' EXIT\nexport QUIPU_URL=" + ports[1] + "\n" + commands
}

// runScript runs a script in a directory of its own and gives what it prints. A command that finds its server not there yet is no reason to
// fail: --wait is told by the second line when the first node serves.
func runScript(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(mustBinary(t))+":"+os.Getenv("PATH"))
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return killFamily(cmd.Process) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// killFamily kills a shell with what it runs: its jobs have groups of their own, and its trap waits for the command in front.
func killFamily(shell *os.Process) error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", shell.Pid))
	for _, child := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(child)
		if p, found := os.FindProcess(pid); found == nil {
			_ = p.Kill() // it may have ended
		}
	}
	return errors.Join(err, shell.Kill())
}

// The three nodes of the README become a cluster, lose one, and go on.
func TestThreeNodesOfTheReadme(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	out := runScript(t, clusterScript(t, "README.md", "cluster"))
	for _, want := range []string{"INSERT 0 2", "cramers_v", "shard/3"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

// The commands for operators do what the page says.
func TestCommandsForOperators(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	out := runScript(t, clusterScript(t, "docs/operations.md", "operations"))
	for _, want := range []string{"is draining", "is removed", "monday is whole", "restored ./monday"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

// A node without its disk is replaced, and a cluster without a majority goes on, as the page says.
func TestCommandsForRecovery(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	out := runScript(t, clusterScript(t, "docs/operations.md", "recovery"))
	for _, want := range []string{"is removed", "last_term", "becomes the only voter of meta, shard/0, shard/1", "recovered. Start the node", "INSERT 0 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}
