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
type Safe struct{ *raft.NetworkTransport }

// SetHeartbeatHandler does nothing, on purpose: see Safe.
func (Safe) SetHeartbeatHandler(func(raft.RPC)) {}

// RaftOptions of NewRaft.
type RaftOptions struct {
	Addresses raft.ServerAddressProvider // node id to its present address; nil uses the addresses of the configuration
	Timeout   time.Duration              // of one exchange, 10 s
	Logger    hclog.Logger
}

// NewRaft is the transport of one group over its layer.
func NewRaft(layer *Layer, opts RaftOptions) Safe {
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = hclog.New(&hclog.LoggerOptions{Output: io.Discard})
	}
	return Safe{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   opts.Addresses,
		Logger:                  opts.Logger,
		Stream:                  layer,
		MaxPool:                 3,
		Timeout:                 opts.Timeout,
		MsgpackUseNewTimeFormat: true,
	})}
}
