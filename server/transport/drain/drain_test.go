package drain_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/quipudb/quipu/server/transport/drain"
)

// service answers when the test lets it.
type service struct {
	grpc_health_v1.UnimplementedHealthServer
	asked  chan struct{}
	answer chan struct{}
}

func (s *service) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	s.asked <- struct{}{}
	<-s.answer
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (s *service) Watch(_ *grpc_health_v1.HealthCheckRequest, st grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	s.asked <- struct{}{}
	<-s.answer
	return st.Send(&grpc_health_v1.HealthCheckResponse{})
}

func connect(t *testing.T, s *service) *drain.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(func() { server.Stop(); <-done })
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	c := drain.New(conn)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// closed waits until the connection is.
func closed(t *testing.T, c *drain.Conn) {
	t.Helper()
	for s := c.GetState(); s != connectivity.Shutdown; s = c.GetState() {
		if !c.WaitForStateChange(t.Context(), s) {
			t.Fatal("the connection was not closed")
		}
	}
}

func TestCallsInFlightEnd(t *testing.T) {
	s := &service{asked: make(chan struct{}), answer: make(chan struct{})}
	c := connect(t, s)
	client := grpc_health_v1.NewHealthClient(c)
	calls := map[string]func(context.Context) error{
		"unary": func(ctx context.Context) error {
			_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			return err
		},
		"stream": func(ctx context.Context) error {
			st, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
			for err == nil {
				if _, err = st.Recv(); err != nil {
					break
				}
			}
			return err
		},
	}
	ended := make(chan error, len(calls))
	for name, call := range calls {
		go func() {
			err := call(t.Context())
			if name == "stream" && err.Error() == "EOF" {
				err = nil
			}
			ended <- err
		}()
		<-s.asked
	}
	given, cancel := context.WithCancel(t.Context()) // a stream that its caller leaves
	left, err := client.Watch(given, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-s.asked
	c.Drain()
	if c.Closed() {
		t.Fatal("the connection was closed under its calls")
	}
	cancel()
	if _, err := left.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("a stream that was left: %v", err)
	}
	close(s.answer)
	for range calls {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	closed(t, c)
	for name, call := range calls {
		if err := call(t.Context()); status.Code(err) != codes.Unavailable {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
}

func TestHold(t *testing.T) {
	c := connect(t, &service{})
	done, err := c.Hold()
	if err != nil {
		t.Fatal(err)
	}
	c.Drain()
	if c.Closed() {
		t.Fatal("the connection was closed while it was held")
	}
	done()
	done()
	closed(t, c)
	if _, err := c.Hold(); status.Code(err) != codes.Unavailable {
		t.Errorf("held after its end: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestDrainOfWhatNobodyUses(t *testing.T) {
	c := connect(t, &service{})
	c.Drain()
	closed(t, c)
}
