package gateway_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/gateway"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/rpc/rpctest"
)

// parsing is a Queries that only parses.
type parsing struct{}

func (parsing) Query(_ context.Context, q *rpc.Query, sink rpc.Sink) error {
	if _, err := sql.ParseOne(q.SQL); err != nil {
		return errcode.New(errcode.SyntaxError, "%s: %w", q.SQL, err)
	}
	return sink.End(&apiv1.QueryEnd{Tag: "OK"})
}

func (parsing) CopyIn(_ context.Context, q *rpc.Query, r io.Reader) (*apiv1.QueryEnd, error) {
	if _, err := sql.ParseOne(q.SQL); err != nil {
		return nil, errcode.New(errcode.SyntaxError, "%s: %w", q.SQL, err)
	}
	n, err := io.Copy(io.Discard, r)
	return &apiv1.QueryEnd{Tag: "COPY", Rows: n}, err
}

func (p parsing) CopyOut(ctx context.Context, q *rpc.Query, w io.Writer) (*apiv1.QueryEnd, error) {
	return p.CopyIn(ctx, q, strings.NewReader(""))
}

// TestDocumentedCommands runs every curl command of docs/api.md, in order, and wants it to succeed. SQL is only parsed.
func TestDocumentedCommands(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	node := rpctest.New()
	s := rpc.New(node, parsing{}, rpc.Options{})
	gw, err := gateway.New(gateway.Options{GRPC: s.GRPC(), Ready: node.Ready})
	if err != nil {
		t.Fatal(err)
	}
	edge := gateway.NewEdge(s.GRPC(), gw, nil, nil)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go edge.Serve(lis)
	t.Cleanup(func() {
		gw.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		edge.Shutdown(ctx)
	})
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(doc, -1)
	ran := 0
	for _, b := range blocks {
		if strings.Contains(string(b[1]), "grpcurl") {
			continue
		}
		script := strings.ReplaceAll(string(b[1]), "localhost:7480", lis.Addr().String())
		script = strings.ReplaceAll(script, "curl -s", "curl --noproxy '*' --max-time 10 --show-error --fail-with-body -s")
		out, err := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s\n%s", err, b[1], out)
		}
		ran++
	}
	if ran < 5 {
		t.Errorf("only %d blocks of commands found", ran)
	}
}
