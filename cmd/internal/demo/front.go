package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// front is one address for a cluster whose nodes come and go: each connection is carried to a node that answers. It stands where the load
// balancer of an installation does.
type front struct {
	net.Listener
	reach func(context.Context) (net.Conn, error) // a node

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// listenFront serves 127.0.0.1:7480, or any port if another program has that.
func listenFront(reach func(context.Context) (net.Conn, error)) (*front, error) {
	l, err := net.Listen("tcp", usualAddress)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	f := &front{Listener: l, reach: reach}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.wg.Go(f.serve)
	return f, nil
}

const usualAddress = "127.0.0.1:7480"

func (f *front) serve() {
	for {
		c, err := f.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() { f.carry(c) })
	}
}

// carry copies both ways until one end closes.
func (f *front) carry(c net.Conn) {
	node, err := f.reach(f.ctx)
	if err != nil {
		c.Close()
		return
	}
	end := func() {
		c.Close()
		node.Close()
	}
	defer context.AfterFunc(f.ctx, end)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{node, c}, {c, node}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // a broken connection is what the demonstration is about
			end()
		})
	}
	both.Wait()
}

// Close breaks every connection.
func (f *front) Close() error {
	err := f.Listener.Close()
	f.stop()
	f.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
