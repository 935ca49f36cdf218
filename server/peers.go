package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/membership"
	"github.com/quipudb/quipu/server/peer"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/transport"
)

// listenPeers binds the address for other nodes.
func (n *Node) listenPeers() error {
	p := &n.cfg.Peer
	several := p.Join != "" || n.id.Joining || len(n.book.nodes()) > 0
	if p.Listen == "" {
		if several {
			return errors.New("server: a node of a cluster of several needs an address that the others reach it at (--peer-addr)")
		}
		return nil
	}
	l, err := p.ListenFunc(p.Listen)
	if err != nil {
		if p.Optional && !several {
			n.cfg.Logger.Warn("other nodes cannot reach this one", "err", err)
			return nil
		}
		return err
	}
	n.listener = l
	if p.Advertise == "" {
		p.Advertise = l.Addr().String()
	}
	return nil
}

func (n *Node) transportOptions() transport.Options {
	return transport.Options{Node: n.id.Node, Advertise: n.cfg.Peer.Advertise, Listener: n.listener, Dial: n.cfg.Peer.DialFunc, Resolve: n.resolve, Ended: n.ended, TLS: n.cfg.Peer.TLS, Logger: n.cfg.Logger}
}

// openPeers makes the node's end of the peer port. It serves nobody yet.
func (n *Node) openPeers() error {
	o := n.transportOptions()
	var err error
	if o.ClusterID, err = transport.ParseClusterID(n.id.Cluster); err != nil {
		return err
	}
	n.mux = transport.New(o)
	if n.admin, err = n.mux.Open(transport.Admin, transport.Meta); err != nil {
		return err
	}
	n.peers = membership.NewClient(n.admin)
	n.here = &rounds.Local{Shard: n.roundShard}
	n.forward = peer.NewServer(host{n.here, n}, peer.Options{Logger: n.cfg.Logger})
	if n.requests, err = n.mux.Open(transport.Forward, transport.Meta); err != nil {
		return err
	}
	n.shardsOf = peer.NewClient(n.requests.DialContext, n.forward)
	return nil
}

// servePeers answers other nodes, once the groups that they ask for are open.
func (n *Node) servePeers() error {
	door, err := n.mux.Open(transport.Join, transport.Meta)
	if err != nil {
		return err
	}
	n.serve(membership.NewServer(memberService{n: n}, n.cfg.Logger), n.admin)
	n.serve(membership.NewEntrance(entrance{n: n}, n.cfg.Logger), door)
	n.served.Go(func() { _ = n.forward.Serve(n.requests) }) // ends with Stop
	return nil
}

// serve runs a service on a layer until closeGroups.
func (n *Node) serve(s *grpc.Server, l *transport.Layer) {
	n.services = append(n.services, s)
	n.served.Go(func() { _ = s.Serve(l) }) // ends with Stop
}

// resolve finds the present address of a node.
func (n *Node) resolve(node string) (string, error) {
	if r, ok := n.machine.View().Node(node); ok && r.PeerAddr != "" {
		return r.PeerAddr, nil
	}
	if a := n.book.address(node); a != "" {
		return a, nil
	}
	return "", errcode.New(errcode.Unavailable, "the address of node %s is not known", node)
}

// record is what the cluster is to know of this node.
func (n *Node) record() command.Node {
	return command.Node{ID: n.id.Node, PeerAddr: n.cfg.Peer.Advertise, APIAddr: n.cfg.Peer.API, Version: Version()}
}

func (n *Node) joinRequest(open bool) *peerv1.JoinRequest {
	r := n.record()
	return &peerv1.JoinRequest{Node: r.ID, Cluster: n.id.Cluster, PeerAddr: r.PeerAddr, ApiAddr: r.APIAddr, Version: r.Version, Open: open, Protocol: membership.Protocol}
}

// joinPause is between two tries to reach a member, and joinWait how long one may take.
const (
	joinPause = 200 * time.Millisecond
	joinWait  = 10 * time.Second
)

// ask sends the request to whoever may be a member until one answers. A refusal is final.
func (n *Node) ask(ctx context.Context, open bool) (*peerv1.JoinResponse, error) {
	for {
		addresses := []string{}
		if n.cfg.Peer.Join != "" {
			addresses = append(addresses, n.cfg.Peer.Join)
		}
		for _, a := range n.book.nodes() { // any order: they are asked in turn
			addresses = append(addresses, a)
		}
		var last error
		for _, a := range addresses {
			tried, cancel := context.WithTimeout(ctx, joinWait)
			r, err := membership.Join(tried, n.transportOptions(), a, n.joinRequest(open))
			cancel()
			if err == nil {
				return r, nil
			}
			last = fmt.Errorf("server: join at %s: %w", a, err)
			if e := errcode.From(err); !e.Retryable() {
				return nil, last
			}
			n.cfg.Logger.Info("a member did not take this node in yet", "address", a, "err", err)
		}
		if err := pause(ctx, joinPause); err != nil {
			return nil, errors.Join(last, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join asks a member to take this node into its cluster, and writes down what it learns: the book first, then the identity, which makes it
// count.
func (n *Node) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if n.cfg.Peer.Join == "" {
		return fmt.Errorf("server: %s was made to join a cluster and has not: name a member of it with --join", n.cfg.DataDir)
	}
	r, err := n.ask(ctx, false)
	if err != nil {
		return err
	}
	id := n.id
	id.Cluster, id.Shards, id.Joining = r.Cluster, int(r.Shards), false
	if _, err := transport.ParseClusterID(id.Cluster); err != nil || id.Shards < 1 || id.Shards > shardsMax {
		return fmt.Errorf("server: join: the member at %s answers with cluster %q of %d shards", n.cfg.Peer.Join, id.Cluster, id.Shards)
	}
	if err := n.book.update(func(t *bookText) bool {
		t.Groups = map[string]membershipState{transport.Meta.String(): fresh}
		t.Nodes = addresses(r.Nodes, id.Node)
		return true
	}); err != nil {
		return err
	}
	n.id = id
	return id.write(n.cfg.DataDir)
}

func addresses(nodes []*peerv1.NodeAddress, but string) map[string]string {
	out := map[string]string{}
	for _, a := range nodes {
		if a.Node != but {
			out[a.Node] = a.PeerAddr
		}
	}
	return out
}

// enter waits until the node's replica of the meta group knows the cluster. A new one asks to be added first.
func (n *Node) enter(ctx context.Context) error {
	if len(n.meta.Members()) == 0 {
		if _, err := n.ask(ctx, true); err != nil {
			return err
		}
	}
	for v := n.machine.View(); v.Slots == nil; {
		next, err := n.machine.ViewAt(ctx, v.Revision+1)
		if err != nil {
			return fmt.Errorf("server: the meta group has not reached this node: %w", err)
		}
		v = next
	}
	return nil
}

// announce keeps this node's record and its book of the others up to date.
func (n *Node) announce(ctx context.Context) {
	sub := n.machine.Feed().Subscribe(n.machine.View().Revision)
	for {
		n.warn(ctx, "the addresses of other nodes could not be kept", n.keepBook())
		n.dropRemoved()
		err := n.keepRecord(ctx)
		n.warn(ctx, "this node could not announce itself", err)
		if err != nil {
			if pause(ctx, time.Second) != nil {
				return
			}
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, lonelyFor)
		_, err = sub.Next(bounded)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, meta.ErrGone):
			sub = n.machine.Feed().Subscribe(n.machine.View().Revision)
		case err != nil && n.meta.Leader() == "":
			n.lonely(ctx)
		}
	}
}

// lonelyFor is how long a node that hears nothing from the meta group waits before it asks whether it still belongs to the cluster.
const lonelyFor = 10 * time.Second

// lonely asks a member whether this node was removed while it could not hear of it. The meta group has no leader for it then, and never will.
func (n *Node) lonely(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	if _, err := n.ask(ctx, false); errcode.From(err) != nil && errcode.From(err).Code == errcode.Conflict {
		n.halt(err)
	}
}

// keepRecord puts this node's record right. A node that was removed stops: its groups have gone on without it.
func (n *Node) keepRecord(ctx context.Context) error {
	v := n.machine.View()
	if v.NodeState(n.id.Node) == command.NodeRemoved {
		n.halt(fmt.Errorf("server: node %s was removed from the cluster; start it with an empty data directory and --join, and it comes back under a new id", n.id.Node))
		return nil
	}
	r, ok := v.Node(n.id.Node)
	if ok && *r == n.record() || n.listener == nil {
		return nil
	}
	if n.meta.Alone() {
		_, err := n.metaCommand(ctx, &command.PutNode{Node: n.record()})
		return err
	}
	// By the entrance: the others may not reach this node at the address that they know, and the meta group may not be led meanwhile.
	_, err := n.ask(ctx, false)
	return err
}

// keepBook writes down where the other nodes are.
func (n *Node) keepBook() error {
	nodes := map[string]string{}
	v := n.machine.View()
	for _, r := range v.Nodes() {
		if r.ID != n.id.Node && v.NodeState(r.ID) != command.NodeRemoved {
			nodes[r.ID] = r.PeerAddr
		}
	}
	n.several.Store(len(nodes) > 0)
	if len(nodes) == 0 {
		return nil
	}
	if err := n.book.complete(n.id.Shards); err != nil {
		return err
	}
	return n.book.setNodes(nodes)
}

// dropRemoved gives up the connections to nodes that were removed from the cluster and that no group has as a member any more: until then their
// votes may be needed. Who asks such a node once more makes another connection, which is given up in its turn.
func (n *Node) dropRemoved() {
	v := n.machine.View()
	members := map[string]bool{}
	for g := range n.id.Shards + 1 {
		for _, r := range v.Replicas(uint32(g)) {
			members[r.Node] = true
		}
	}
	for _, r := range v.Nodes() {
		if v.NodeState(r.ID) == command.NodeRemoved && !members[r.ID] {
			n.peers.Drop(r.ID)
			n.shardsOf.Drop(r.ID)
		}
	}
}

// entrance takes nodes in.
type entrance struct {
	peerv1.UnimplementedEntranceServer
	n *Node
}

// Join enters a node into the records.
func (e entrance) Join(ctx context.Context, r *peerv1.JoinRequest) (*peerv1.JoinResponse, error) {
	n := e.n
	switch {
	case r.Protocol != membership.Protocol:
		return nil, errcode.New(errcode.NotSupported, "node %s speaks version %d of the peer protocol, this cluster %d: run the same release on both", r.Node, r.Protocol, membership.Protocol)
	case r.Cluster != "" && r.Cluster != n.id.Cluster:
		return nil, errcode.New(errcode.Conflict, "node %s belongs to cluster %s, this is cluster %s: it can join with an empty data directory", r.Node, r.Cluster, n.id.Cluster)
	case n.machine.View().NodeState(r.Node) == command.NodeRemoved:
		return nil, errcode.New(errcode.Conflict, "node %s was removed from the cluster; start it with an empty data directory, and it joins under a new id", r.Node)
	case r.Node == "" || r.PeerAddr == "":
		return nil, errcode.New(errcode.Invalid, "a node joins with its id and an address that others reach it at")
	}
	node := command.Node{ID: r.Node, PeerAddr: r.PeerAddr, APIAddr: r.ApiAddr, Version: r.Version}
	if old, ok := n.machine.View().Node(r.Node); !ok || *old != node {
		if _, err := n.metaCommand(ctx, &command.PutNode{Node: node}); err != nil {
			return nil, err
		}
	}
	if r.Open {
		if err := n.change(ctx, placement.Action{Kind: placement.AddLearner, Group: uint32(transport.Meta), Node: r.Node}); err != nil {
			return nil, err
		}
	}
	out := &peerv1.JoinResponse{Cluster: n.id.Cluster, Shards: uint32(n.id.Shards)}
	out.Nodes = append(out.Nodes, &peerv1.NodeAddress{Node: n.id.Node, PeerAddr: n.cfg.Peer.Advertise})
	v := n.machine.View()
	for _, o := range v.Nodes() {
		if v.NodeState(o.ID) != command.NodeRemoved && o.ID != n.id.Node {
			out.Nodes = append(out.Nodes, &peerv1.NodeAddress{Node: o.ID, PeerAddr: o.PeerAddr})
		}
	}
	return out, nil
}
