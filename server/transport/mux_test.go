package transport

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func open(t *testing.T, cluster ClusterID, opts Options) (*Mux, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.ClusterID, opts.Listener, opts.Advertise = cluster, ln, ln.Addr().String()
	m := New(opts)
	t.Cleanup(func() { m.Close() })
	return m, ln.Addr().String()
}

func layer(t *testing.T, m *Mux, proto Proto, g Group) *Layer {
	t.Helper()
	l, err := m.Open(proto, g)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, l *Layer, addr string) net.Conn {
	t.Helper()
	c, err := l.Dial(raft.ServerAddress(addr), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestConnectionReachesItsGroup(t *testing.T) {
	a, _ := open(t, ClusterID{1}, Options{})
	b, addr := open(t, ClusterID{1}, Options{})
	layers := map[Group]*Layer{Meta: layer(t, b, Raft, Meta), Shard(0): layer(t, b, Raft, Shard(0)), Shard(7): layer(t, b, Raft, Shard(7))}
	for g, l := range layers {
		out := dial(t, layer(t, a, Raft, g), addr)
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(in, buf); err != nil || string(buf) != "hello" {
			t.Fatalf("%v: read %q, %v", g, buf, err)
		}
	}
}

func TestRefusedConnectionsAreClosed(t *testing.T) {
	same, other := ClusterID{1}, ClusterID{2}
	b, addr := open(t, same, Options{HeaderTimeout: 50 * time.Millisecond})
	layer(t, b, Raft, Meta)
	for name, dialer := range map[string]func() net.Conn{
		"unknown group": func() net.Conn { m, _ := open(t, same, Options{}); return dial(t, layer(t, m, Raft, Shard(9)), addr) },
		"other protocol": func() net.Conn {
			m, _ := open(t, same, Options{})
			return dial(t, layer(t, m, Bulk, Meta), addr)
		},
		"other cluster": func() net.Conn { m, _ := open(t, other, Options{}); return dial(t, layer(t, m, Raft, Meta), addr) },
		"not a peer": func() net.Conn {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: example\r\n\r\n")
			return c
		},
		"silent": func() net.Conn {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialer()
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, err := c.Read(make([]byte, 1))
			if err == nil {
				t.Fatal("the connection was served")
			}
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection stayed open")
			}
		})
	}
}

// An address may have become another node's: only the node that is meant answers.
func TestOnlyTheNodeThatIsMeantAnswers(t *testing.T) {
	b, addr := open(t, ClusterID{1}, Options{Node: "n-b"})
	served := layer(t, b, Raft, Meta)
	resolve := func(string) (string, error) { return addr, nil }
	a, _ := open(t, ClusterID{1}, Options{Node: "n-a", Resolve: resolve})
	from := layer(t, a, Raft, Meta)
	dial(t, from, "n-b")
	if _, err := served.Accept(); err != nil {
		t.Fatal(err)
	}
	wrong := dial(t, from, "n-c")
	if _, err := wrong.Read(make([]byte, 1)); err == nil {
		t.Fatal("n-b answered for n-c")
	}
}

func TestNodeReachesItselfWithoutTheNetwork(t *testing.T) {
	m := New(Options{Node: "n-a"})
	defer m.Close()
	l := layer(t, m, Raft, Meta)
	out := dial(t, l, "n-a")
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go out.Write([]byte("x"))
	if n, err := in.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
}

// A node that wants to join knows no cluster; nothing but the protocol Join listens to it.
func TestJoinComesFromAnyCluster(t *testing.T) {
	b, addr := open(t, ClusterID{1}, Options{Node: "n-b"})
	served := layer(t, b, Join, Meta)
	c, err := DialJoin(t.Context(), Options{Node: "n-new"}, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := served.Accept(); err != nil {
		t.Fatal(err)
	}
}

func TestLayerCloseEndsItsConnectionsOnly(t *testing.T) {
	a, _ := open(t, ClusterID{1}, Options{})
	b, addr := open(t, ClusterID{1}, Options{})
	one, two := layer(t, b, Raft, Shard(1)), layer(t, b, Raft, Shard(2))
	out1, out2 := dial(t, layer(t, a, Raft, Shard(1)), addr), dial(t, layer(t, a, Raft, Shard(2)), addr)
	if _, err := one.Accept(); err != nil {
		t.Fatal(err)
	}
	in2, err := two.Accept()
	if err != nil {
		t.Fatal(err)
	}
	one.Close()
	if _, err := out1.Read(make([]byte, 1)); err == nil {
		t.Fatal("a connection of the closed layer is open")
	}
	go out2.Write([]byte("x"))
	if _, err := in2.Read(make([]byte, 1)); err != nil {
		t.Fatalf("a connection of another layer: %v", err)
	}
}

func TestPreambleText(t *testing.T) {
	want := preamble{proto: Admin, group: Shard(3), cluster: ClusterID{9}, to: "n-1", from: strings.Repeat("x", nodeBytesMax)}
	b := want.encode()
	got, err := readPreamble(strings.NewReader(string(b)))
	if err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := readPreamble(strings.NewReader(string(b[:n]))); err == nil {
			t.Fatalf("%d of %d bytes were taken for a preamble", n, len(b))
		}
	}
	b[preambleBytes] = nodeBytesMax + 1
	if _, err := readPreamble(strings.NewReader(string(b) + strings.Repeat("x", 100))); err == nil {
		t.Fatal("a node id that is too long was read")
	}
}

func TestTooManyConnectionsAreClosed(t *testing.T) {
	a, _ := open(t, ClusterID{1}, Options{})
	b, addr := open(t, ClusterID{1}, Options{ConnectionsMax: 1})
	served, from := layer(t, b, Raft, Meta), layer(t, a, Raft, Meta)
	dial(t, from, addr)
	first, err := served.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := dial(t, from, addr)
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("the second connection was served")
	}
	first.Close()
}

func TestFullAcceptQueueNeverBlocksOtherGroups(t *testing.T) {
	a, _ := open(t, ClusterID{1}, Options{})
	b, addr := open(t, ClusterID{1}, Options{})
	layer(t, b, Raft, Meta) // nobody accepts
	quiet := layer(t, a, Raft, Meta)
	for range acceptQueueMax + 4 {
		dial(t, quiet, addr)
	}
	served := layer(t, b, Raft, Shard(1))
	dial(t, layer(t, a, Raft, Shard(1)), addr)
	if _, err := served.Accept(); err != nil {
		t.Fatal(err)
	}
}

func TestLayerCloseLeavesTheListener(t *testing.T) {
	a, _ := open(t, ClusterID{1}, Options{})
	b, addr := open(t, ClusterID{1}, Options{})
	gone := layer(t, b, Raft, Shard(1))
	if _, err := b.Open(Raft, Shard(1)); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Fatalf("second Open = %v", err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Accept(); err != ErrClosed {
		t.Fatalf("Accept = %v", err)
	}
	again := layer(t, b, Raft, Shard(1))
	dial(t, layer(t, a, Raft, Shard(1)), addr)
	if _, err := again.Accept(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsEveryConnection(t *testing.T) {
	a, _ := open(t, ClusterID{1}, Options{})
	b, addr := open(t, ClusterID{1}, Options{})
	served := layer(t, b, Raft, Meta)
	out := dial(t, layer(t, a, Raft, Meta), addr)
	in, err := served.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Fatal("the accepted connection is open")
	}
	if _, err := out.Read(make([]byte, 1)); err == nil {
		t.Fatal("the dialled connection is open")
	}
	if _, err := b.Open(Raft, Meta); err != ErrClosed {
		t.Fatalf("Open after Close = %v", err)
	}
}

func TestWithoutListener(t *testing.T) {
	m := New(Options{})
	l, err := m.Open(Raft, Meta)
	if err != nil {
		t.Fatal(err)
	}
	tr := NewRaft(l, RaftOptions{})
	if tr.LocalAddr() != "local" {
		t.Fatalf("address %q", tr.LocalAddr())
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSafeTransportKeepsPreVote(t *testing.T) {
	var tr any = Safe{}
	if _, ok := tr.(raft.WithPreVote); !ok {
		t.Fatal("pre-vote is hidden")
	}
	if _, ok := tr.(raft.WithClose); !ok {
		t.Fatal("close is hidden")
	}
}

func TestClusterIDText(t *testing.T) {
	want := ClusterID{0xab, 1, 2}
	got, err := ParseClusterID(want.String())
	if err != nil || got != want {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("z", 32)} {
		if _, err := ParseClusterID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestEndOfARaftConnectionIsTold(t *testing.T) {
	heard := make(chan string, 4)
	a, _ := open(t, ClusterID{1}, Options{Node: "n-a"})
	b, addr := open(t, ClusterID{1}, Options{Ended: func(node string) { heard <- node }})
	for _, proto := range []Proto{Admin, Raft} { // of the first kind nobody is told
		here := layer(t, b, proto, Meta)
		out := dial(t, layer(t, a, proto, Meta), addr)
		in, err := here.Accept()
		if err != nil {
			t.Fatal(err)
		}
		out.Close()
		if _, err := in.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		in.Close()
		in.Close()
	}
	if got := <-heard; got != "n-a" {
		t.Errorf("the connection of %q has ended", got)
	}
	own := layer(t, b, Raft, Shard(0))
	dial(t, layer(t, a, Raft, Shard(0)), addr)
	if _, err := own.Accept(); err != nil {
		t.Fatal(err)
	}
	own.Close()
	if len(heard) != 0 {
		t.Error("told of a connection that this side closed, or twice of one")
	}
}
