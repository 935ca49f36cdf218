package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/server"
	"github.com/quipudb/quipu/server/placement"
)

// Cluster is a few nodes in this process, on loopback and in a temporary directory, behind one address. Nodes are numbered from 1. They can be
// killed and cut off, as processes and machines can be; what is not simulated is the loss of power, which needs a disk to lose it.
type Cluster struct {
	dir   string
	front *front

	mu    sync.Mutex // held while a node starts or ends; guards the fields below
	nodes []*member
	last  int // index of the node that answered the front door last
}

// member is one node.
type member struct {
	name    string // directory
	host    *host
	service *server.Service // nil: killed
	id      string          // of the node, known from its first start on
	api     string          // address for clients, the same at every start
}

// Nodes that a demonstration may have: a majority must survive the loss of one.
const (
	nodesMin = 3
	nodesMax = 5
)

// CheckNodes says why a demonstration cannot have so many nodes, or nil.
func CheckNodes(n int) error {
	if n != nodesMin && n != nodesMax {
		return fmt.Errorf("a demonstration has 1, 3 or 5 nodes, not %d: an even number survives no more failures than the odd one below it", n)
	}
	return nil
}

// Start founds a cluster of n nodes and waits until every group has its voters.
func Start(ctx context.Context, n int) (_ *Cluster, err error) {
	c := &Cluster{}
	if c.dir, err = os.MkdirTemp("", "quipu-demo-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for i := range n {
		c.nodes = append(c.nodes, &member{name: fmt.Sprint("node", i+1), host: newHost(), api: "127.0.0.1:0"})
		if err := c.start(ctx, c.nodes[i]); err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
	}
	if c.front, err = listenFront(c.reach); err != nil {
		return nil, err
	}
	return c, nil
}

// config is that of every node: as it ships, but impatient, because somebody is watching.
func (c *Cluster) config(m *member) server.Config {
	cfg := server.Config{DataDir: filepath.Join(c.dir, m.name), Shards: 3, CellMemory: 64 << 20, DiskFree: -1,
		Peer: server.Peer{Listen: m.host.address(), ListenFunc: m.host.listen, DialFunc: m.host.dial,
			Timeout: 500 * time.Millisecond, Every: 250 * time.Millisecond,
			Placement: placement.Options{SteadyMin: 250 * time.Millisecond, LeadMin: 5 * time.Second}}}
	if m != c.nodes[0] {
		cfg.Peer.Join = c.nodes[0].host.address()
	}
	return cfg
}

// start opens a node. The caller holds mu, or nobody else knows of the cluster yet.
func (c *Cluster) start(ctx context.Context, m *member) (err error) {
	if m.service, err = server.Serve(ctx, c.config(m), m.api); err != nil {
		return err
	}
	m.api, m.id = m.service.Addr.String(), m.service.Node.Info().NodeID
	return nil
}

// Addr is where clients find the cluster, whichever of its nodes are there.
func (c *Cluster) Addr() string { return c.front.Addr().String() }

// reach connects to a node that is there, the one of the last time if it still is.
func (c *Cluster) reach(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	first, nodes := c.last, slices.Clone(c.nodes)
	up := make([]bool, len(nodes))
	for i, m := range nodes {
		up[i] = m.service != nil
	}
	c.mu.Unlock()
	err := errors.New("demo: no node is there")
	for i := range nodes {
		at := (first + i) % len(nodes)
		if !up[at] {
			continue
		}
		conn, dialed := nodes[at].host.dial(ctx, nodes[at].api)
		if dialed == nil {
			c.mu.Lock()
			c.last = at
			c.mu.Unlock()
			return conn, nil
		}
		err = dialed
	}
	return nil, err
}

// Settle waits until every group is led and has its voters.
func (c *Cluster) Settle(ctx context.Context, cl *client.Client) error {
	for {
		m, err := cl.Map(ctx)
		settled := err == nil && len(m.Groups) > 0
		for _, g := range m.Groups {
			settled = settled && g.Leader != "" && len(g.Voters) >= nodesMin
		}
		if settled {
			return nil
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
			return fmt.Errorf("demo: the groups did not get their voters: %w", errors.Join(err, ctx.Err()))
		}
	}
}

// node finds a node by its number.
func (c *Cluster) node(number int) (*member, error) {
	if number < 1 || number > len(c.nodes) {
		return nil, fmt.Errorf("there is no node %d: nodes are numbered 1 to %d", number, len(c.nodes))
	}
	return c.nodes[number-1], nil
}

// running finds a node that runs.
func (c *Cluster) running(number int) (*member, error) {
	m, err := c.node(number)
	if err == nil && m.service == nil {
		err = fmt.Errorf("node %d is not running; \\restart %d starts it", number, number)
	}
	return m, err
}

// Kill ends a node without a word to the others: its connections break first, so that it can hand nothing over.
func (c *Cluster) Kill(number int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.running(number)
	if err != nil {
		return err
	}
	m.host.isolate()
	err = m.service.Close()
	m.service = nil
	return err
}

// Restart starts a node again on what its disk has.
func (c *Cluster) Restart(ctx context.Context, number int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.node(number)
	switch {
	case err != nil:
		return err
	case m.service != nil:
		return fmt.Errorf("node %d is running; \\kill %d ends it", number, number)
	}
	m.host.heal()
	bounded, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	return c.start(bounded, m)
}

// restartTimeout bounds a start: a node of a cluster without a majority waits for the others.
const restartTimeout = 20 * time.Second

// Isolate cuts a node off from the others and from clients. It goes on running.
func (c *Cluster) Isolate(number int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.running(number)
	if err != nil {
		return err
	}
	m.host.isolate()
	return nil
}

// Heal lets every node that runs reach the others again.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.nodes {
		if m.service != nil {
			m.host.heal()
		}
	}
}

// NodeState is a node as the demonstration knows it.
type NodeState struct {
	Number         int
	ID, API, State string // running, killed or cut off
}

// States are those of all nodes, in order.
func (c *Cluster) States() []NodeState {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]NodeState, len(c.nodes))
	for i, m := range c.nodes {
		out[i] = NodeState{i + 1, m.id, m.api, "running"}
		switch {
		case m.service == nil:
			out[i].State = "killed"
		case m.host.isCut():
			out[i].State = "cut off"
		}
	}
	return out
}

// Close ends every node and deletes what they wrote.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	if c.front != nil {
		c.mu.Unlock() // a connection that is being made asks for a node
		errs = append(errs, c.front.Close())
		c.mu.Lock()
	}
	var closing sync.WaitGroup
	closed := make([]error, len(c.nodes))
	for i, m := range c.nodes {
		if m.service == nil {
			continue
		}
		m.host.isolate() // nobody is left to hand anything over to
		closing.Go(func() { closed[i] = m.service.Close() })
	}
	closing.Wait()
	return errors.Join(append(append(errs, closed...), os.RemoveAll(c.dir))...)
}
