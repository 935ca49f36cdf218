package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/gateway"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestOnePort(t *testing.T) {
	p := open(t, gateway.Options{})
	conn, err := grpc.NewClient(p.url[len("http://"):], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	info, err := apiv1.NewClusterClient(conn).Info(t.Context(), &apiv1.ClusterInfoRequest{})
	if err != nil || info.ClusterId != "c1" {
		t.Errorf("gRPC: %v, %v", info, err)
	}
	p.want(p.do("GET", "/v1/cluster", ""), 200, `"clusterId":"c1"`)
}

// pipes is a listener whose connections live in memory, so that time can be virtual.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// inMemory runs test with an edge over an empty gRPC server in virtual time.
func inMemory(t *testing.T, test func(t *testing.T, p *pipes, e *gateway.Edge)) {
	synctest.Test(t, func(t *testing.T) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
		e := gateway.NewEdge(grpc.NewServer(), h, nil, nil)
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- e.Serve(p) }()
		test(t, p, e)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// closedAfter reads until the other side closes, and says after what time it did.
func closedAfter(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("read: %v", err)
	}
	return time.Since(start)
}

func TestSlowClientsAreCutOff(t *testing.T) {
	for name, sent := range map[string]string{
		"silent":             "",
		"a few bytes":        "GET",
		"half a header":      "GET / HTTP/1.1\r\nHost: localhost\r\n",
		"half an HTTP/2 one": "PRI ",
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, p *pipes, _ *gateway.Edge) {
				c := p.dial()
				defer c.Close()
				if _, err := io.WriteString(c, sent); err != nil {
					t.Fatal(err)
				}
				if d := closedAfter(t, c); d > 11*time.Second {
					t.Errorf("closed after %v", d)
				}
			})
		})
	}
}

func TestSilentConnectionsHoldNobodyUp(t *testing.T) {
	inMemory(t, func(t *testing.T, p *pipes, _ *gateway.Edge) {
		for range 100 {
			defer p.dial().Close()
		}
		start := time.Now()
		client := &http.Client{Transport: &http.Transport{
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
			DisableKeepAlives: true,
		}}
		resp, err := client.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
			t.Errorf("%s, %v", body, err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("answered after %v", d)
		}
	})
}

func TestServeAfterShutdown(t *testing.T) {
	inMemory(t, func(t *testing.T, p *pipes, e *gateway.Edge) {
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		other := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		if err := e.Serve(other); err != nil {
			t.Error(err)
		}
		if _, err := other.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error("the listener was left open")
		}
	})
}
