package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

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
	d := engineDoors{s.Node}
	s.postgres, err = pgwire.New(pgwire.Options{Engine: s.Node.queries().engine, Catalog: d, Source: d, Writer: d, Roles: wireRoles{s.Node.access},
		TLS: encrypt, Version: Version(), Logger: s.Node.cfg.Logger})
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
