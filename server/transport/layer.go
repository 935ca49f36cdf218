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

// Close ends the layer. The listener of the mux goes on, for the other groups.
func (l *Layer) Close() error {
	l.mux.mu.Lock()
	if l.mux.layers[l.key] == l {
		delete(l.mux.layers, l.key)
	}
	l.mux.mu.Unlock()
	l.finish()
	for {
		select {
		case c := <-l.accepted:
			c.Close()
		default:
			return nil
		}
	}
}

func (l *Layer) finish() { l.once.Do(func() { close(l.done) }) }

// Addr is the advertised address: it goes into vote requests and leader announcements, so peers must be able to dial it.
func (l *Layer) Addr() net.Addr { return address(l.mux.opts.Advertise) }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// Dial opens a connection to the same layer of the peer at address.
func (l *Layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	nc, err := l.mux.opts.Dial(ctx, string(address))
	if err != nil {
		return nil, err
	}
	c := l.mux.track(nc, false)
	if c == nil {
		nc.Close()
		return nil, ErrClosed
	}
	if deadline, ok := ctx.Deadline(); ok {
		c.SetWriteDeadline(deadline)
	}
	p := preamble{proto: l.key.proto, group: l.key.group, cluster: l.mux.opts.ClusterID}
	if _, err := c.Write(p.encode()); err != nil {
		c.Close()
		return nil, err
	}
	c.SetWriteDeadline(time.Time{})
	return c, nil
}
