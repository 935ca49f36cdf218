package peer

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/transport/drain"
	"github.com/quipudb/quipu/storage/schema"
)

// Client reaches the other nodes of the cluster. Close it.
type Client struct {
	dial func(ctx context.Context, node string) (net.Conn, error)
	own  *Server
	ctx  context.Context // of everything that runs in the background
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	nodes  map[string]*Node
	left   []*drain.Conn // to nodes that were dropped, and not closed yet
	closed bool
}

// NewClient makes a client that dials nodes by their ids. own is this node's server, where snapshots lie that another node took of it; it
// may be nil if this node never asks another one to Take.
func NewClient(dial func(ctx context.Context, node string) (net.Conn, error), own *Server) *Client {
	c := &Client{dial: dial, own: own, nodes: map[string]*Node{}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Close ends every connection. What is on its way fails with an outcome that is not known.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	conns := c.left
	for _, n := range c.nodes {
		conns = append(conns, n.conn)
	}
	c.nodes, c.left = nil, nil
	c.mu.Unlock()
	c.stop()
	for _, conn := range conns {
		_ = conn.Close() // calls in flight fail
	}
	c.wg.Wait()
}

// Has says whether there is a connection to a node, whatever its state.
func (c *Client) Has(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[node] != nil
}

// Drop gives up the connection to a node that was removed from the cluster. What is on its way there comes to its end, and snapshots last until
// they are released; a part that comes later is refused and may go elsewhere.
func (c *Client) Drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[id]
	if n == nil {
		return
	}
	delete(c.nodes, id)
	n.drop()
	c.left = append(slices.DeleteFunc(c.left, (*drain.Conn).Closed), n.conn)
}

func (c *Client) goFunc(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// Node is the node of an id. The connection is made when it is needed, and made again when it breaks.
func (c *Client) Node(id string) (*Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errcode.New(errcode.Closing, "the node is stopping")
	}
	if n := c.nodes[id]; n != nil {
		return n, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+id, grpc.WithTransportCredentials(insecure.NewCredentials()), // the layer brings TLS
		grpc.WithContextDialer(c.dial), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageMax), grpc.MaxCallSendMsgSize(messageMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: aliveEvery, Timeout: aliveWait, PermitWithoutStream: true}),
		grpc.WithIdleTimeout(0), grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: aliveWait,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}))
	if err != nil {
		return nil, err
	}
	lasting := drain.New(conn)
	n := &Node{id: id, client: c, conn: lasting, service: peerv1.NewPeerClient(lasting), parts: map[schema.ShardID]*partStream{}}
	n.held.node = n
	c.nodes[id] = n
	return n, nil
}

// Node is another node. It is a participant of snapshot rounds, for the shards that it leads.
type Node struct {
	id      string
	client  *Client
	conn    *drain.Conn
	service peerv1.PeerClient
	held    held

	mu      sync.Mutex // guards the fields below
	parts   map[schema.ShardID]*partStream
	dropped bool
}

// drop ends the connection when nobody uses it any more.
func (n *Node) drop() {
	n.mu.Lock()
	n.dropped = true
	streams := slices.Collect(maps.Values(n.parts))
	n.mu.Unlock()
	for _, s := range streams {
		s.drop()
	}
	n.conn.Drain()
}

func (n *Node) gone() error {
	return errcode.New(errcode.Unavailable, "node %s was removed from the cluster", n.id)
}

// ID is the node's id.
func (n *Node) ID() string { return n.id }

// unreachable is the public error of a call that failed. What the node itself said stays as it is.
func (n *Node) unreachable(err error) error {
	if n.client.ctx.Err() != nil {
		return errcode.New(errcode.Closing, "this node is stopping")
	}
	e := errcode.From(err)
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable && len(s.Details()) == 0 {
		return errcode.New(errcode.Unavailable, "node %s cannot be reached: %s", n.id, s.Message())
	}
	return e
}

// Command proposes a single command to a shard that the node leads.
func (n *Node) Command(ctx context.Context, shard schema.ShardID, c command.Command) (any, error) {
	frame, err := command.Encode(c)
	if err != nil {
		return nil, errcode.New(errcode.TooLarge, "%v does not fit into one log entry: %w", c.Kind(), err)
	}
	m, err := n.service.Command(ctx, &peerv1.CommandRequest{Shard: uint32(shard), Frame: frame})
	if err != nil {
		return nil, n.unreachable(err)
	}
	if err := failed(m.Failure); err != nil || m.Key == nil {
		return nil, err
	}
	return router.KeyRecord{ID: m.Key.Id, Done: m.Key.Done, Response: m.Key.Response, Expires: m.Key.ExpiresMs}, nil
}

// Interrupt takes a cancel request of PostgreSQL's protocol to the node.
func (n *Node) Interrupt(ctx context.Context, process uint32, key []byte) error {
	if _, err := n.service.Interrupt(ctx, &peerv1.InterruptRequest{Process: process, Key: key}); err != nil {
		return n.unreachable(err)
	}
	return nil
}
