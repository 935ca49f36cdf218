// Package membership is how the nodes of a cluster run their Raft groups: both ends of the service of that name on the peer port. A client
// names a node by its id and never by an address; the transport finds the one and makes sure of the other.
//
//	server := membership.NewServer(node, logger)
//	go server.Serve(adminLayer)
//	client := membership.NewClient(adminLayer)
//	vote, err := client.Confirm(ctx, "n-8c1f03aa", transport.Shard(3))
package membership

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/errcode/known"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/drain"
	"github.com/quipudb/quipu/storage/schema"
)

// Protocol is the version of the service that this release speaks. A node of another one does not join.
const Protocol = 1

// messageMax bounds one message: a log entry and what stands around it.
const messageMax = 1 << 20

// Time after which a silent connection is asked for a sign, and how long it has to give one.
const (
	aliveEvery = 10 * time.Second
	aliveWait  = 5 * time.Second
)

// NewServer serves the cluster's own nodes.
func NewServer(s peerv1.MembershipServer, log *slog.Logger) *grpc.Server {
	g := newServer(log)
	peerv1.RegisterMembershipServer(g, s)
	return g
}

// NewEntrance serves nodes that want to join.
func NewEntrance(s peerv1.EntranceServer, log *slog.Logger) *grpc.Server {
	g := newServer(log)
	peerv1.RegisterEntranceServer(g, s)
	return g
}

func newServer(log *slog.Logger) *grpc.Server {
	return grpc.NewServer(grpc.WaitForHandlers(true), grpc.MaxRecvMsgSize(messageMax), grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: aliveEvery / 2, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
			defer func() {
				if p := recover(); p != nil {
					log.Error("request of a peer panicked", "method", info.FullMethod, "panic", p, "stack", string(debug.Stack()))
					err = errcode.New(errcode.Internal, "the peer failed on this request")
				}
				if err != nil {
					err = known.From(err)
				}
			}()
			return handler(ctx, req)
		}))
}

// Client talks to the nodes of the cluster. Close it.
type Client struct {
	dial func(ctx context.Context, node string) (net.Conn, error)

	life context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	conns  map[string]*drain.Conn
	left   []*drain.Conn // to nodes that were dropped, and not closed yet
	asking map[string]*asking
	closed bool
}

// NewClient dials through a layer of the node's mux.
func NewClient(layer *transport.Layer) *Client {
	c := &Client{dial: layer.DialContext, conns: map[string]*drain.Conn{}, asking: map[string]*asking{}}
	c.life, c.stop = context.WithCancel(context.Background())
	return c
}

// Close ends every connection.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	conns := append(slices.Collect(maps.Values(c.conns)), c.left...)
	clear(c.conns)
	c.left = nil
	c.mu.Unlock()
	c.stop()
	for _, conn := range conns {
		_ = conn.Close() // calls in flight fail with CLOSING
	}
	c.wg.Wait()
}

// Has says whether there is a connection to a node, whatever its state.
func (c *Client) Has(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns[node] != nil
}

// Drop gives up the connection to a node that was removed from the cluster. What is on its way comes to its end, and whoever asks the node
// again makes another one.
func (c *Client) Drop(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.conns[node]
	if conn == nil {
		return
	}
	delete(c.conns, node)
	conn.Drain()
	c.left = append(slices.DeleteFunc(c.left, (*drain.Conn).Closed), conn)
}

func connect(node string, dial func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+node, grpc.WithTransportCredentials(insecure.NewCredentials()), // the mux brings TLS
		grpc.WithContextDialer(dial), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageMax), grpc.MaxCallSendMsgSize(messageMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: aliveEvery, Timeout: aliveWait, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: aliveWait,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}))
}

// conn is the connection to a node, which lasts until done is called. It is made when it is needed, and made again when it breaks.
func (c *Client) conn(node string) (conn *drain.Conn, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errcode.New(errcode.Closing, "the node is stopping")
	}
	if conn = c.conns[node]; conn == nil {
		new, err := connect(node, c.dial)
		if err != nil {
			return nil, nil, err
		}
		conn = drain.New(new)
		c.conns[node] = conn
	}
	done, err = conn.Hold()
	return conn, done, err
}

// public is the error of a call.
func (c *Client) public(err error) *errcode.Error {
	if c.life.Err() != nil {
		return errcode.New(errcode.Closing, "this node is stopping")
	}
	return errcode.From(err)
}

// call runs one request at a node. Its error is an *errcode.Error.
func call[T any](c *Client, node string, f func(peerv1.MembershipClient) (T, error)) (T, error) {
	conn, done, err := c.conn(node)
	if err != nil {
		var none T
		return none, err
	}
	defer done()
	out, err := f(peerv1.NewMembershipClient(conn))
	if err != nil {
		return out, c.public(err)
	}
	return out, nil
}

// again says whether a request is harmless twice.
type again bool

const (
	once  again = false
	twice again = true
)

// ask is a call of a leader. The error is NOT_LEADER, so that who asks looks for the leader again, if the node cannot be reached, for then
// nothing was sent; and for a request that is harmless twice also if the answer was lost or takes longer than attemptWait.
func ask[T any](ctx context.Context, c *Client, node string, a again, f func(context.Context, peerv1.MembershipClient) (T, error)) (T, error) {
	var none T
	conn, done, err := c.conn(node)
	if err != nil {
		return none, err
	}
	defer done()
	attempt, cancel := context.WithTimeout(ctx, attemptWait)
	defer cancel()
	if err := reach(attempt, conn.ClientConn); err != nil {
		if ctx.Err() != nil {
			return none, errcode.From(ctx.Err())
		}
		return none, errcode.New(errcode.NotLeader, "node %s cannot be reached", node)
	}
	if a == once {
		attempt = ctx
	}
	out, err := f(attempt, peerv1.NewMembershipClient(conn))
	if err == nil {
		return out, nil
	}
	e := c.public(err)
	if a == twice && ctx.Err() == nil && (e.Code == errcode.Unavailable || e.Code == errcode.Timeout) {
		return out, errcode.New(errcode.NotLeader, "node %s gave no answer: %w", node, err)
	}
	return out, e
}

// attemptWait bounds one try to reach a leader, which may hang: a later one may have been elected meanwhile.
const attemptWait = 2 * time.Second

// reach waits until a connection can be used.
func reach(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for {
		s := conn.GetState()
		switch s {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return errors.New("membership: no connection")
		}
		if !conn.WaitForStateChange(ctx, s) {
			return ctx.Err()
		}
	}
}

// Terms asks a node for its term and leader of groups, in their order. Member is false where it has no replica.
func (c *Client) Terms(ctx context.Context, node string, groups []transport.Group) ([]*peerv1.GroupTerm, error) {
	r, err := c.terms(ctx, node, groups)
	return r.GetTerms(), err
}

// Last asks a node for the last entry of its log of a group.
func (c *Client) Last(ctx context.Context, node string, g transport.Group) (replica.Last, error) {
	r, err := call(c, node, func(s peerv1.MembershipClient) (*peerv1.ConfirmResponse, error) {
		return s.Confirm(ctx, &peerv1.ConfirmRequest{Groups: []uint32{uint32(g)}, Last: true})
	})
	if err != nil || len(r.Terms) != 1 {
		return replica.Last{}, errcode.New(errcode.Unavailable, "node %s does not say what its log of group %s ends with: %w", node, g, err)
	}
	return replica.Last{Index: r.Terms[0].LastIndex, Term: r.Terms[0].LastTerm}, nil
}

func (c *Client) terms(ctx context.Context, node string, groups []transport.Group) (*peerv1.ConfirmResponse, error) {
	m := &peerv1.ConfirmRequest{}
	for _, g := range groups {
		m.Groups = append(m.Groups, uint32(g))
	}
	r, err := call(c, node, func(s peerv1.MembershipClient) (*peerv1.ConfirmResponse, error) { return s.Confirm(ctx, m) })
	if err == nil && len(r.Terms) != len(groups) {
		err = errcode.New(errcode.Internal, "node %s gave %d terms for %d groups", node, len(r.Terms), len(groups))
	}
	return r, err
}

// Report asks a node for its groups.
func (c *Client) Report(ctx context.Context, node string, r *peerv1.ReportRequest) (*peerv1.ReportResponse, error) {
	return call(c, node, func(s peerv1.MembershipClient) (*peerv1.ReportResponse, error) { return s.Report(ctx, r) })
}

// Heartbeat tells the meta leader how this node does.
func (c *Client) Heartbeat(ctx context.Context, leader string, m *peerv1.HeartbeatRequest) (*peerv1.HeartbeatResponse, error) {
	return call(c, leader, func(s peerv1.MembershipClient) (*peerv1.HeartbeatResponse, error) { return s.Heartbeat(ctx, m) })
}

// Open makes an empty replica of a group on a node.
func (c *Client) Open(ctx context.Context, node string, g transport.Group) error {
	_, err := call(c, node, func(s peerv1.MembershipClient) (*peerv1.MemberResponse, error) {
		return s.Open(ctx, &peerv1.MemberRequest{Group: uint32(g)})
	})
	return err
}

// CloseMember ends and deletes a node's replica of a group.
func (c *Client) CloseMember(ctx context.Context, node string, g transport.Group) error {
	_, err := call(c, node, func(s peerv1.MembershipClient) (*peerv1.MemberResponse, error) {
		return s.Close(ctx, &peerv1.MemberRequest{Group: uint32(g)})
	})
	return err
}

// Change asks the leader of a group for one step.
func (c *Client) Change(ctx context.Context, leader string, a placement.Action) error {
	_, err := ask(ctx, c, leader, once, func(ctx context.Context, s peerv1.MembershipClient) (*peerv1.ChangeResponse, error) {
		return s.Change(ctx, &peerv1.ChangeRequest{Group: a.Group, Kind: uint32(a.Kind), Node: a.Node})
	})
	return err
}

// ReadMeta asks the meta leader for a read index.
func (c *Client) ReadMeta(ctx context.Context, leader string) (uint64, error) {
	r, err := ask(ctx, c, leader, twice, func(ctx context.Context, s peerv1.MembershipClient) (*peerv1.ReadMetaResponse, error) {
		return s.ReadMeta(ctx, &peerv1.ReadMetaRequest{})
	})
	return r.GetIndex(), err
}

// ProposeMeta has the meta leader propose a command.
func (c *Client) ProposeMeta(ctx context.Context, leader string, cmd command.Command) (*meta.Result, error) {
	frame, err := command.Encode(cmd)
	if err != nil {
		return nil, errcode.New(errcode.TooLarge, "%v does not fit into one log entry: %w", cmd.Kind(), err)
	}
	r, err := ask(ctx, c, leader, harmless(cmd), func(ctx context.Context, s peerv1.MembershipClient) (*peerv1.ProposeMetaResponse, error) {
		return s.ProposeMeta(ctx, &peerv1.ProposeMetaRequest{Command: frame})
	})
	if err != nil {
		return nil, err
	}
	return decodeResult(r)
}

// harmless says that a command may be proposed twice: the second time, however late it is, changes nothing that anybody has seen change since. A
// KeepAlive only moves an end away, and DropWindows a cutoff on.
func harmless(cmd command.Command) again {
	switch cmd.Kind() {
	case command.KindOnce, command.KindTick, command.KindKeepAlive, command.KindDropWindows:
		return twice
	}
	return once
}

// Follow has the leader of a shard apply the catalog of a revision.
func (c *Client) Follow(ctx context.Context, leader string, shard schema.ShardID, revision uint64) error {
	_, err := ask(ctx, c, leader, once, func(ctx context.Context, s peerv1.MembershipClient) (*peerv1.FollowResponse, error) {
		return s.Follow(ctx, &peerv1.FollowRequest{Shard: uint32(shard), Revision: revision})
	})
	return err
}

// Join asks a member, by its address, to take this node in.
func Join(ctx context.Context, opts transport.Options, address string, r *peerv1.JoinRequest) (*peerv1.JoinResponse, error) {
	conn, err := connect(address, func(ctx context.Context, address string) (net.Conn, error) {
		return transport.DialJoin(ctx, opts, address)
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	out, err := peerv1.NewEntranceClient(conn).Join(ctx, r)
	if err != nil {
		return nil, errcode.From(err)
	}
	return out, nil
}
