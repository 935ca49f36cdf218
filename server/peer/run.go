package peer

import (
	"context"
	"io"

	"google.golang.org/grpc"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// Sizes of what goes over a Run stream.
const (
	pieceMax    = 256 << 10 // bytes of one message
	fragmentMax = 1 << 20   // bytes of a fragment
	parallelMax = 64        // goroutines of a fragment
)

type runStream = grpc.BidiStreamingServer[peerv1.RunRequest, peerv1.RunResponse]

// Run works on one fragment.
func (s *Server) Run(stream runStream) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if len(m.Fragment) > fragmentMax {
		return errcode.New(errcode.TooLarge, "a fragment of %d bytes, the limit is %d", len(m.Fragment), fragmentMax)
	}
	f, err := plan.DecodeFragment(m.Fragment)
	if err != nil {
		return err
	}
	snap, done, err := s.leases.use(m.Handle)
	if err != nil {
		return err
	}
	defer done()
	memory := s.o.Memory
	if m.MemoryBytes > 0 {
		memory = min(memory, m.MemoryBytes)
	}
	o := exec.Options{Parallel: int(min(m.Parallel, parallelMax)), Memory: exec.NewBudget(memory)}
	worker, err := snap.Open(f, o)
	if err != nil {
		return err
	}
	defer worker.Close()
	w := &working{stream: stream, worker: worker, f: f, memory: o.Memory}
	if f.Cells != nil {
		return w.cells(stream.Context())
	}
	return w.rounds(stream.Context())
}

// working is a fragment at work for another node.
type working struct {
	stream runStream
	worker exec.Worker
	f      *plan.Fragment
	memory *exec.Budget
}

// send sends an answer in pieces, with the cost so far.
func (w *working) send(b []byte) error {
	for len(b) > pieceMax {
		if err := w.stream.Send(&peerv1.RunResponse{Piece: b[:pieceMax], More: true}); err != nil {
			return err
		}
		b = b[pieceMax:]
	}
	c := w.worker.Cost()
	return w.stream.Send(&peerv1.RunResponse{Piece: b, Cost: &peerv1.ScanCost{Blocks: c.Blocks, Cells: c.Cells, Rows: c.Rows}})
}

// rounds answers the first round, and then the second one as often as it is asked.
func (w *working) rounds(ctx context.Context) error {
	p, err := w.worker.First(ctx)
	if err != nil {
		return err
	}
	b, err := p.Encode(w.f)
	if err != nil {
		return err
	}
	if err := w.send(b); err != nil {
		return err
	}
	for {
		totals, err := w.totals()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		terms, err := w.worker.Second(ctx, totals)
		if err != nil {
			return err
		}
		if b, err = exec.EncodeTerms(terms); err != nil {
			return err
		}
		if err := w.send(b); err != nil {
			return err
		}
	}
}

// totals receives what the second round needs; io.EOF says that it is not needed.
func (w *working) totals() ([]exec.Totals, error) {
	var b []byte
	for {
		m, err := w.stream.Recv()
		if err != nil {
			return nil, err
		}
		if err := w.memory.Grow(int64(len(m.Totals))); err != nil {
			return nil, err
		}
		if b = append(b, m.Totals...); !m.More {
			return exec.DecodeTotals(b, w.memory)
		}
	}
}

// cells streams rows. The flow control of the stream holds the scan back.
func (w *working) cells(ctx context.Context) error {
	rows := exec.NewRows(w.f)
	err := w.worker.Cells(ctx, func(row []plan.Value) error {
		rows.Add(row)
		if rows.Size() < pieceMax/4 && rows.Len() < exec.RowsMax {
			return nil
		}
		return w.stream.Send(&peerv1.RunResponse{Piece: rows.Take(), More: true})
	})
	if err != nil {
		return err
	}
	return w.send(rows.Take())
}
