package transport

import (
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Safe keeps heartbeats on raft's main loop. raft would otherwise run appendEntries on the transport's goroutine at the same
// time as its main loop, and a deposed leader could stamp an entry with the new term (hashicorp/raft#695). The pointer is
// embedded so that the optional interfaces (pre-vote, close) stay visible.
//
// The price: heartbeats queue behind the log's fsync and behind the installation of a snapshot, so election timeouts must be
// longer than the longest stall of the main loop.
type Safe struct {
	*raft.NetworkTransport
	told *told
	echo *echo
}

// Consumer gives what other nodes send.
func (s Safe) Consumer() <-chan raft.RPC { return s.told.out }

// Told is a time at which this node had everything that was committed then, as the leader has said since; zero if it never did. What
// the word took on its way is part of its age.
func (s Safe) Told() time.Time {
	if last := s.told.last.Load(); last != nil {
		return *last
	}
	return time.Time{}
}

// Close ends the transport.
func (s Safe) Close() error {
	s.told.end()
	return s.NetworkTransport.Close()
}

// SetHeartbeatHandler does nothing, on purpose: see Safe.
func (Safe) SetHeartbeatHandler(func(raft.RPC)) {}

// RaftOptions of NewRaft.
type RaftOptions struct {
	Timeout time.Duration // of one exchange, 10 s
	Logger  hclog.Logger
}

// byID names a server by its id whatever address a configuration has for it: the layer finds the present one, and a node that moves
// changes no configuration.
type byID struct{}

func (byID) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}

// NewRaft is the transport of one group over its layer.
func NewRaft(layer *Layer, opts RaftOptions) Safe {
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = hclog.New(&hclog.LoggerOptions{Output: io.Discard})
	}
	var addresses raft.ServerAddressProvider
	if layer.mux.opts.Node != "" {
		addresses = byID{}
	}
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   addresses,
		Logger:                  opts.Logger,
		Stream:                  layer,
		MaxPool:                 3,
		Timeout:                 opts.Timeout,
		MsgpackUseNewTimeFormat: true,
	})
	return Safe{t, newTold(t.Consumer()), &echo{}}
}
