package membership

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/transporttest"
)

// voter answers questions about terms when the test lets it.
type voter struct {
	peerv1.UnimplementedMembershipServer
	asked  chan []uint32
	answer chan struct{}
}

func (v *voter) Confirm(_ context.Context, r *peerv1.ConfirmRequest) (*peerv1.ConfirmResponse, error) {
	v.asked <- r.Groups
	<-v.answer
	out := &peerv1.ConfirmResponse{ClockMs: 7}
	for _, g := range r.Groups {
		out.Terms = append(out.Terms, &peerv1.GroupTerm{Member: g != 9, Term: uint64(g)})
	}
	return out, nil
}

// pair is a client of node a and the service of node b, on a network in memory.
func pair(t *testing.T, s peerv1.MembershipServer) (c *Client, end func()) {
	t.Helper()
	network := &transporttest.Network{}
	resolve := func(node string) (string, error) { return node, nil }
	ln, err := network.Listen("b")
	if err != nil {
		t.Fatal(err)
	}
	a := transport.New(transport.Options{Node: "a", Dial: network.Dialer("a"), Resolve: resolve})
	b := transport.New(transport.Options{Node: "b", Listener: ln, Resolve: resolve})
	from, err := a.Open(transport.Admin, transport.Meta)
	if err != nil {
		t.Fatal(err)
	}
	to, err := b.Open(transport.Admin, transport.Meta)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(s, slog.New(slog.DiscardHandler))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(to) }) // ends with Stop
	c = NewClient(from)
	return c, func() {
		c.Close()
		server.Stop()
		serving.Wait()
		a.Close()
		b.Close()
	}
}

// What is asked while an exchange is on its way goes together into the next one, and never into the one that has begun.
func TestQuestionsShareTheNextExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &voter{asked: make(chan []uint32, 8), answer: make(chan struct{})}
		c, end := pair(t, v)
		defer end()
		terms := make(chan uint64, 8)
		ask := func(g transport.Group) {
			vote, err := c.Confirm(t.Context(), "b", g)
			if err != nil {
				t.Errorf("group %v: %v", g, err)
			}
			terms <- vote.Term
		}
		go ask(1)
		if first := <-v.asked; len(first) != 1 || first[0] != 1 {
			t.Fatalf("the first exchange asks for %v", first)
		}
		for _, g := range []transport.Group{1, 2, 3} {
			go ask(g)
		}
		synctest.Wait()
		v.answer <- struct{}{}
		second := <-v.asked
		if len(second) != 3 {
			t.Fatalf("the second exchange asks for %v", second)
		}
		v.answer <- struct{}{}
		sum := uint64(0)
		for range 4 {
			sum += <-terms
		}
		if sum != 1+1+2+3 {
			t.Errorf("terms sum up to %d", sum)
		}
		synctest.Wait()
		if len(v.asked) != 0 {
			t.Error("a third exchange")
		}
	})
}

func TestNodeWithoutAReplicaHasNoWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &voter{asked: make(chan []uint32, 8), answer: make(chan struct{}, 8)}
		v.answer <- struct{}{}
		c, end := pair(t, v)
		defer end()
		if _, err := c.Confirm(t.Context(), "b", 9); errcode.From(err).Code != errcode.Unavailable {
			t.Errorf("got %v", err)
		}
		if _, err := c.Confirm(t.Context(), "nobody", 1); errcode.From(err).Code != errcode.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

// A connection is dropped under a question: the answer comes, the connection ends, and the next question makes another one.
func TestDroppedUnderAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &voter{asked: make(chan []uint32, 8), answer: make(chan struct{})}
		c, end := pair(t, v)
		defer end()
		answered := make(chan error)
		ask := func() {
			_, err := c.Terms(t.Context(), "b", []transport.Group{3})
			answered <- err
		}
		go ask()
		<-v.asked
		old := c.conns["b"]
		c.Drop("b")
		c.Drop("nobody")
		synctest.Wait()
		if old.Closed() || len(c.conns) != 0 {
			t.Fatalf("closed: %v; %d connections", old.Closed(), len(c.conns))
		}
		close(v.answer)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !old.Closed() {
			t.Error("the connection lasts")
		}
		go ask()
		if err := <-answered; err != nil || c.conns["b"] == nil || c.conns["b"] == old {
			t.Errorf("asked again: %v", err)
		}
		if c.Drop("b"); len(c.left) != 1 {
			t.Errorf("%d connections are kept that have ended", len(c.left))
		}
	})
}
