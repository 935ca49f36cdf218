package server

import (
	"context"
	"errors"
	"net"

	"github.com/quipudb/quipu/server/pgwire"
)

// ServePostgres opens the PostgreSQL wire on another loopback address, and gives the address that it got.
func (s *Service) ServePostgres(address string) (net.Addr, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	d := engineDoors{s.Node}
	s.postgres, err = pgwire.New(pgwire.Options{Engine: s.Node.queries().engine, Catalog: d, Source: d, Writer: d, Roles: wireRoles{s.Node.access},
		Version: Version(), Logger: s.Node.cfg.Logger})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.wg.Go(func() { s.failed <- s.postgres.Serve(l) })
	return l.Addr(), nil
}

// closePostgres ends the connections of PostgreSQL clients.
func (s *Service) closePostgres(ctx context.Context) error {
	if s.postgres == nil {
		return nil
	}
	err := s.postgres.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // statements that took longer were cut off
	}
	return err
}
