// Package drain is connections of gRPC that are closed when nobody uses them any more. Close of gRPC's own ends the calls in flight, as
// CANCELED with "grpc: the client connection is closing": whoever made them cannot tell that from a caller who has given up, and does not
// try again.
//
//	c := drain.New(conn)
//	client := peerv1.NewMembershipClient(c)
//	…
//	c.Drain() // what is on its way comes to its end
package drain

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Conn counts the calls of a connection. Drain or Close it.
type Conn struct {
	*grpc.ClientConn
	wg sync.WaitGroup // of the end of the connection

	mu       sync.Mutex // guards the fields below
	uses     int        // calls that have begun and not ended, and holds
	draining bool
	closed   bool
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// New takes a connection over.
func New(c *grpc.ClientConn) *Conn { return &Conn{ClientConn: c} }

// Invoke is a call with one answer. It is UNAVAILABLE when the connection has been closed.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	done, err := c.Hold()
	if err != nil {
		return err
	}
	defer done()
	return c.ClientConn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream is a call with several. It counts until its end: its last message, an error, or the end of ctx.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	done, err := c.Hold()
	if err != nil {
		return nil, err
	}
	return c.ClientConn.NewStream(ctx, desc, method, append(opts, grpc.OnFinish(func(error) { done() }))...)
}

// Hold keeps the connection until done is called, for calls that belong together.
func (c *Conn) Hold() (done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, status.Error(codes.Unavailable, "the connection was given up")
	}
	c.uses++
	return sync.OnceFunc(c.done), nil
}

func (c *Conn) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses--
	c.rest()
}

// Drain closes the connection as soon as nobody uses it. It does not wait.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.rest()
}

// rest closes a connection that nobody uses. mu is held. Its end may wait for a callback of gRPC, in one of which this may run.
func (c *Conn) rest() {
	if c.draining && c.uses == 0 && !c.closed {
		c.closed = true
		c.wg.Go(func() { _ = c.ClientConn.Close() }) // nothing is on its way
	}
}

// Closed says that the connection has been closed, or is about to be.
func (c *Conn) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close closes the connection now. What is on its way fails.
func (c *Conn) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !first {
		c.wg.Wait()
		return nil
	}
	return c.ClientConn.Close()
}
