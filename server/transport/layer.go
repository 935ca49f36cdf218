package transport

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// acceptQueueMax bounds the connections of a layer that nobody has accepted yet.
const acceptQueueMax = 16

// A Layer is one protocol of one group: a listener and a dialer that share the mux's port. It is a raft.StreamLayer.
type Layer struct {
	mux      *Mux
	key      layerKey
	accepted chan *conn
	done     chan struct{}
	once     sync.Once
}

var _ raft.StreamLayer = (*Layer)(nil)

// Accept waits for the next connection of the layer.
func (l *Layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.done:
		return nil, ErrClosed
	}
}

// Close ends the layer with its connections. The listener of the mux goes on, for the other groups.
func (l *Layer) Close() error {
	l.mux.mu.Lock()
	if l.mux.layers[l.key] == l {
		delete(l.mux.layers, l.key)
	}
	l.finish()
	var open []*conn
	for c := range l.mux.conns {
		if c.layer == l {
			open = append(open, c)
		}
	}
	l.mux.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	return nil
}

func (l *Layer) finish() { l.once.Do(func() { close(l.done) }) }

// Addr is the advertised address, for listeners that want one. Raft knows nodes by their ids alone.
func (l *Layer) Addr() net.Addr { return address(l.mux.opts.Advertise) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// Dial opens a connection to the same layer of the peer, which is named by its node id if the mux can resolve those and by its address if
// it cannot.
func (l *Layer) Dial(peer raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return l.DialContext(ctx, string(peer))
}

// DialContext is Dial bounded by ctx.
func (l *Layer) DialContext(ctx context.Context, peer string) (net.Conn, error) {
	p := preamble{proto: l.key.proto, group: l.key.group, cluster: l.mux.opts.ClusterID, from: l.mux.opts.Node}
	if peer == p.from && peer != "" {
		return l.dialSelf()
	}
	addr := peer
	if l.mux.opts.Resolve != nil {
		var err error
		if addr, err = l.mux.opts.Resolve(peer); err != nil {
			return nil, err
		}
		p.to = peer
	}
	nc, err := l.mux.opts.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := l.mux.track(nc, l, false)
	if c == nil {
		nc.Close()
		return nil, ErrClosed
	}
	if err := p.send(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// dialSelf connects the layer to itself without the network: a group of one voter is asked to elect itself that way.
func (l *Layer) dialSelf() (net.Conn, error) {
	near, far := net.Pipe()
	out, in := l.mux.track(near, l, false), l.mux.track(far, nil, false)
	if out == nil || in == nil {
		near.Close()
		far.Close()
		return nil, ErrClosed
	}
	if err := l.mux.deliver(l.key, "", in); err != nil {
		out.Close()
		in.Close()
		return nil, err
	}
	return out, nil
}

// send writes the preamble within the time of ctx.
func (p preamble) send(ctx context.Context, c net.Conn) error {
	if deadline, ok := ctx.Deadline(); ok {
		c.SetWriteDeadline(deadline)
	}
	if _, err := c.Write(p.encode()); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

// DialJoin opens a connection of the protocol Join to a member's address, for a node that knows neither cluster nor node ids.
func DialJoin(ctx context.Context, opts Options, address string) (net.Conn, error) {
	opts = opts.complete()
	c, err := opts.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := (preamble{proto: Join, from: opts.Node}).send(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
