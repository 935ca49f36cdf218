package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// ownNode starts `quipu serve` as a child on a free loopback port, with more flags if there are any, and points --url at it. The function returned ends the child and
// removes its directory if it was temporary.
func ownNode(cmd *cobra.Command, flags ...string) (stop func(), err error) {
	dir, _ := cmd.Flags().GetString("server-data-dir")
	remove := func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "quipu-bench-"); err != nil {
			return nil, err
		}
		remove = func() { os.RemoveAll(dir) }
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(self, append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--pg-listen", "off"}, flags...)...)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		remove()
		return nil, err
	}
	stop = func() {
		child.Process.Signal(os.Interrupt)
		killed := time.AfterFunc(20*time.Second, func() { child.Process.Kill() })
		child.Wait()
		killed.Stop()
		remove()
	}
	url, err := announced(out)
	if err != nil {
		stop()
		return nil, err
	}
	go io.Copy(io.Discard, out)
	return stop, cmd.Flags().Set("url", url)
}

// announced reads the line in which serve says where it listens.
func announced(out io.Reader) (string, error) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), servingPrefix); ok {
			return strings.Fields(url)[0], nil
		}
	}
	return "", errors.Join(fmt.Errorf("the node ended before it served"), lines.Err())
}

// servingPrefix begins the line that serve prints when it takes requests; programs wait for it.
const servingPrefix = "serving "
