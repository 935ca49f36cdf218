package client

import (
	"context"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// doors is how calls reach some node: one of those that the client was told of, and while none of these can be reached one of those that it has
// heard of from them.
type doors struct {
	given   *grpc.ClientConn
	options func() []grpc.DialOption // of the connection to the others

	mu       sync.Mutex // guards the fields below
	others   *grpc.ClientConn
	resolver *manual.Resolver // of others
	known    []string         // addresses behind others
	closed   bool
}

var _ grpc.ClientConnInterface = (*doors)(nil)

// conn is the connection for the next call. Who was given is tried in the background, and used again when it is there again.
func (d *doors) conn() *grpc.ClientConn {
	if d.given.GetState() != connectivity.TransientFailure {
		return d.given
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.others == nil || d.closed {
		return d.given
	}
	return d.others
}

// Invoke is a call with one answer.
func (d *doors) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return d.conn().Invoke(ctx, method, args, reply, opts...)
}

// NewStream is a call with several.
func (d *doors) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return d.conn().NewStream(ctx, desc, method, opts...)
}

// learn says where other nodes are. Nobody is connected to before that is needed.
func (d *doors) learn(addresses []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(addresses) == 0 || slices.Equal(addresses, d.known) {
		return nil
	}
	if d.others != nil {
		d.known = addresses
		d.resolver.UpdateState(endpoints(addresses))
		return nil
	}
	given := manual.NewBuilderWithScheme("quipu")
	given.InitialState(endpoints(addresses))
	others, err := grpc.NewClient("quipu:///"+addresses[0], append(d.options(), grpc.WithResolvers(given))...)
	if err != nil {
		return err
	}
	d.others, d.resolver, d.known = others, given, addresses
	return nil
}

// close ends all connections.
func (d *doors) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.others != nil {
		_ = d.others.Close() // nothing is on its way
	}
	return d.given.Close()
}

// endpoints are nodes at addresses as they are given.
func endpoints(addresses []string) (nodes resolver.State) {
	for _, a := range addresses {
		name, _, _ := net.SplitHostPort(a)
		nodes.Endpoints = append(nodes.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a, ServerName: name}}})
	}
	return nodes
}
