package server

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/fnv"
	"net"
	"sync"

	"github.com/quipudb/quipu/server/pgwire"
)

// ServePostgres opens the PostgreSQL wire on another address, for which Serve's rule holds too, and gives the address that it got.
func (s *Service) ServePostgres(address string) (net.Addr, error) {
	door := door{address: address, encrypted: s.certificates != nil}
	err := door.open()
	if err == nil {
		err = door.openWide(s.Closed())
	}
	if err != nil {
		return nil, err
	}
	l := door.listener
	var encrypt *tls.Config
	if s.certificates != nil {
		encrypt = s.certificates.config(wireProtocols)
	}
	s.postgres, err = s.Node.openWire(encrypt)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.wg.Go(func() { s.failed <- s.postgres.Serve(l) })
	return l.Addr(), nil
}

// openWire makes the server of PostgreSQL's protocol, which other nodes then reach with cancel requests.
func (n *Node) openWire(encrypt *tls.Config) (*pgwire.Server, error) {
	d := engineDoors{n}
	s, err := pgwire.New(pgwire.Options{Engine: n.queries().engine, Catalog: d, Source: d, Writer: d, Roles: wireRoles{n.access},
		TLS: encrypt, Version: Version(), Node: wireNumber(n.id.Node), Forward: n.interruptElsewhere,
		Poll: n.cfg.WirePoll, Logger: n.cfg.Logger})
	if err == nil {
		n.wire.Store(s)
	}
	return s, err
}

// wireNumber is what stands for a node in the process ids that its clients get. Two nodes may have the same.
func wireNumber(node string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(node))
	return h.Sum32() % (pgwire.NodeMax + 1)
}

// sameNumberMax bounds the nodes that a cancel request is taken to. With 200 nodes, more than two of one number are rare.
const sameNumberMax = 8

// interruptElsewhere takes a cancel request to the nodes that its process id may be of. One that cannot be reached is left out: whoever sends
// such a request hears nothing in any case.
func (n *Node) interruptElsewhere(ctx context.Context, number, process uint32, key []byte) {
	var wg sync.WaitGroup
	defer wg.Wait()
	asked := 0
	for _, r := range n.view().Nodes() {
		if r.ID == n.id.Node || wireNumber(r.ID) != number || asked == sameNumberMax {
			continue
		}
		asked++
		wg.Go(func() {
			node, err := n.shardsOf.Node(r.ID)
			if err == nil {
				err = node.Interrupt(ctx, process, key)
			}
			if err != nil {
				n.cfg.Logger.Info("a cancel request did not reach its node", "node", r.ID, "err", err)
			}
		})
	}
}

// closePostgres ends the connections of PostgreSQL clients.
func (s *Service) closePostgres(ctx context.Context) error {
	if s.postgres == nil {
		return nil
	}
	s.Node.wire.Store(nil)
	err := s.postgres.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // statements that took longer were cut off
	}
	return err
}
