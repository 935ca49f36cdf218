//go:build !linux

package pgwire

import "net"

// polled is c: here arrivals cannot be silent, and polling beside a thread that each of them wakes gains little.
func (s *Server) polled(c net.Conn) net.Conn { return c }
