package server

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// When a process ends, the kernel closes its connections and refuses new ones: its neighbours can know within milliseconds what a timeout tells
// after a second. A machine that fails, a network that is cut and a process that hangs close nothing; for them there is the timeout.

// endingsMax bounds the connections whose end nobody has looked at yet. More are not looked at.
const endingsMax = 64

// knocks are the pauses before each try to reach a node whose connection ended: a process that is ending may still accept.
var knocks = []time.Duration{2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond}

// ended takes the notice that a node's connection has ended.
func (n *Node) ended(node string) {
	select {
	case n.endings <- node:
	default:
	}
}

// watchEndings lets the groups go on at once that a node has led whose process has ended.
func (n *Node) watchEndings(ctx context.Context) {
	for {
		select {
		case node := <-n.endings:
			n.succeedAll(ctx, n.alsoEnded(node))
		case <-ctx.Done():
			return
		}
	}
}

// alsoEnded are the nodes of all notices that wait, each once.
func (n *Node) alsoEnded(node string) map[string]bool {
	all := map[string]bool{node: true}
	for {
		select {
		case node := <-n.endings:
			all[node] = true
		default:
			return all
		}
	}
}

func (n *Node) succeedAll(ctx context.Context, nodes map[string]bool) {
	var wg sync.WaitGroup
	for node := range nodes {
		wg.Go(func() {
			if !n.leadsSome(node) || !n.isGone(ctx, node) {
				return
			}
			n.cfg.Logger.Info("the process of a node has ended", "node", node)
			for _, r := range n.replicas() {
				r.Succeed(node)
			}
		})
	}
	wg.Wait()
}

// leadsSome says whether a node leads a group that has a replica here.
func (n *Node) leadsSome(node string) bool {
	for _, r := range n.replicas() {
		if r.Leader() == node {
			return true
		}
	}
	return false
}

// isGone says whether nobody listens any more where a node did.
func (n *Node) isGone(ctx context.Context, node string) bool {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Peer.Timeout/2)
	defer cancel()
	for _, wait := range knocks {
		if pause(ctx, wait) != nil {
			return false
		}
		c, err := n.admin.DialContext(ctx, node)
		if err == nil {
			c.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return true
		}
	}
	return false
}
