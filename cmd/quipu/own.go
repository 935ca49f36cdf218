package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/spf13/cobra"
)

// ownNodes starts so many nodes as children on free loopback ports, with more flags if there are any, and points --url at them. Several
// become one cluster, which has its replicas when the call returns. Call stop: it ends the children and removes what is temporary.
func ownNodes(cmd *cobra.Command, nodes int, flags ...string) (_ *children, err error) {
	dir, _ := cmd.Flags().GetString("server-data-dir")
	all := &children{cmd: cmd, said: &untilEnd{to: cmd.ErrOrStderr()}}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "quipu-bench-"); err != nil {
			return nil, err
		}
		all.remove = dir
	}
	defer func() {
		if err != nil {
			all.stop()
		}
	}()
	all.dir, all.flags, all.alone = dir, flags, nodes < 2
	for range max(1, nodes) {
		if err := all.Add(); err != nil {
			return nil, err
		}
	}
	return all, settle(cmd, nodes)
}

// children are the nodes of a benchmark.
type children struct {
	cmd    *cobra.Command
	said   *untilEnd
	dir    string
	flags  []string // of every node
	alone  bool     // one node without a peer port
	remove string   // a directory that is temporary; empty: none
	nodes  []*child
	killed []*child // of nodes
}

// Add starts one more node: the first one founds the cluster, the others join it. --url names all of them.
func (c *children) Add() error {
	n := &child{dir: c.dir, flags: slices.Clone(c.flags)}
	if !c.alone {
		peers, err := freeAddress()
		if err != nil {
			return err
		}
		n.dir, n.flags = filepath.Join(c.dir, fmt.Sprintf("node-%d", len(c.nodes)+1)), append(n.flags, "--peer-addr", peers)
	}
	if len(c.nodes) > 0 {
		join, err := peerAddress(c.cmd)
		if err != nil {
			return err
		}
		n.flags = append(n.flags, "--join", join)
	}
	if err := n.start(c.said, "127.0.0.1:0"); err != nil {
		return err
	}
	c.nodes = append(c.nodes, n)
	urls := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		urls[i] = n.url
	}
	return c.cmd.Flags().Set("url", strings.Join(urls, ","))
}

// freeAddress is one that nobody listens at. A node that is started again must be where the others look for it: were all of them to move one after the
// other, the last one would look for nobody but at addresses that are gone.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// child is a node in a process of its own.
type child struct {
	dir   string
	flags []string
	url   string
	cmd   *exec.Cmd
	stop  func()
}

func (c *children) stop() {
	c.said.ended.Store(true)
	for _, n := range slices.Backward(c.nodes) {
		if !slices.Contains(c.killed, n) {
			n.stop()
		}
	}
	if c.remove != "" {
		os.RemoveAll(c.remove)
	}
}

// Kill ends the process of a node.
func (c *children) Kill(id string) (at time.Time, err error) {
	m, err := c.clusterMap()
	if err != nil {
		return at, err
	}
	address := ""
	for _, n := range m.Nodes {
		if n.ID == id {
			address = n.APIAddr
		}
	}
	for _, n := range c.nodes {
		if n.url == address {
			at = time.Now()
			return at, c.kill(n)
		}
	}
	return at, fmt.Errorf("node %s at %s is not one of the benchmark's own", id, address)
}

func (c *children) kill(n *child) error {
	c.killed = append(c.killed, n)
	err := n.cmd.Process.Kill()
	_ = n.cmd.Wait() // says that it was killed
	return err
}

// Restart starts the nodes that were killed.
func (c *children) Restart(context.Context) error {
	if err := c.Begin(); err != nil {
		return err
	}
	return waitSettled(c.cmd, len(c.nodes))
}

// Begin is Restart without waiting for replicas.
func (c *children) Begin() error {
	for len(c.killed) > 0 {
		n := c.killed[0]
		c.killed = c.killed[1:]
		if err := n.start(c.said, n.url); err != nil {
			return err
		}
	}
	return nil
}

// Lose kills the node that joined last and deletes what it has.
func (c *children) Lose() (id string, err error) {
	n := c.nodes[len(c.nodes)-1]
	m, err := c.clusterMap()
	if err != nil {
		return "", err
	}
	for _, info := range m.Nodes {
		if info.APIAddr == n.url {
			id = info.ID
		}
	}
	if err := c.kill(n); err != nil {
		return id, err
	}
	return id, os.RemoveAll(n.dir)
}

func (c *children) clusterMap() (m client.ClusterMap, err error) {
	err = asking(c.cmd, func(cl *client.Client) (err error) {
		m, err = cl.Map(c.cmd.Context())
		return err
	})
	return m, err
}

// untilEnd passes on what nodes say until they are ended: those that end last miss the others.
type untilEnd struct {
	to    io.Writer
	ended atomic.Bool
}

func (u *untilEnd) Write(b []byte) (int, error) {
	if u.ended.Load() {
		return len(b), nil
	}
	return u.to.Write(b)
}

// start runs `quipu serve`.
func (c *child) start(said io.Writer, address string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.cmd = exec.Command(self, append([]string{"serve", "--data-dir", c.dir, "--listen", address, "--pg-listen", "off"}, c.flags...)...)
	c.cmd.Stderr = said
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return err
	}
	c.stop = func() {
		c.cmd.Process.Signal(os.Interrupt)
		killed := time.AfterFunc(20*time.Second, func() { c.cmd.Process.Kill() })
		c.cmd.Wait()
		killed.Stop()
	}
	if c.url, err = announced(out); err != nil {
		c.stop()
		return err
	}
	go io.Copy(io.Discard, out)
	return nil
}

// peerAddress is where others join the first node.
func peerAddress(cmd *cobra.Command) (address string, err error) {
	err = asking(cmd, func(cl *client.Client) error {
		m, err := cl.Map(cmd.Context())
		if err == nil && len(m.Nodes) == 0 {
			err = errors.New("the node does not know itself")
		}
		if err == nil {
			address = m.Nodes[0].PeerAddr
		}
		return err
	})
	return address, err
}

// settle waits until every group of several nodes is led and has its voters.
func settle(cmd *cobra.Command, nodes int) error {
	if nodes < 2 {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d nodes start; replicas come to them within a minute\n", nodes)
	return waitSettled(cmd, nodes)
}

func waitSettled(cmd *cobra.Command, nodes int) error {
	return asking(cmd, func(cl *client.Client) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Minute)
		defer cancel()
		return until(ctx, cl, func(m client.ClusterMap) bool { return settled(m, nodes) })
	})
}

func asking(cmd *cobra.Command, ask func(*client.Client) error) error {
	cl, err := connect(cmd)
	if err != nil {
		return err
	}
	err = ask(cl)
	closing(cmd.Context(), cl, &err)
	return err
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
