package replica

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/transporttest"
)

// A pipeline whose answers nobody takes any more ends its sender with an error, as raft's own does not.
func TestPipelineThatNobodyReadsEndsItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &transporttest.Network{}
		open := func(id string) (*transport.Mux, transport.Safe) {
			ln, err := net.Listen(id)
			if err != nil {
				t.Fatal(err)
			}
			m := transport.New(transport.Options{Node: id, Listener: ln, Dial: net.Dialer(id), Resolve: func(node string) (string, error) { return node, nil }})
			l, err := m.Open(transport.Raft, transport.Meta)
			if err != nil {
				t.Fatal(err)
			}
			return m, transport.NewRaft(l, transport.RaftOptions{})
		}
		muxA, a := open("a")
		muxB, b := open("b")
		defer func() { a.Close(); b.Close(); muxA.Close(); muxB.Close() }()
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			for {
				select {
				case m := <-b.Consumer():
					m.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
				case <-ended:
					return
				}
			}
		}()
		inner, err := a.AppendEntriesPipeline("b", "b")
		if err != nil {
			t.Fatal(err)
		}
		p := bounded{inner, time.Second}
		defer p.Close()
		for range 1000 {
			if _, err = p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); err != nil {
				break
			}
		}
		if !errors.Is(err, raft.ErrPipelineShutdown) {
			t.Errorf("the sender ended with %v", err)
		}
	})
}
