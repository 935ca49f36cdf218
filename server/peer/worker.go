package peer

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// worker is a fragment at work on a snapshot at another node. It belongs to one goroutine.
type worker struct {
	s      *Snapshot
	f      *plan.Fragment
	o      exec.Options
	stream grpc.BidiStreamingClient[peerv1.RunRequest, peerv1.RunResponse]
	cancel context.CancelFunc
	cost   exec.ScanStats
}

func newWorker(s *Snapshot, f *plan.Fragment, o exec.Options) *worker {
	return &worker{s: s, f: f, o: o, cost: exec.ScanStats{Elsewhere: 1}}
}

// Blocks says that the work is done elsewhere.
func (w *worker) Blocks() int { return exec.Elsewhere }

// Cost is what the node has read, as far as it has said, and what went over the wire.
func (w *worker) Cost() exec.ScanStats { return w.cost }

// Close ends the work, also in the middle.
func (w *worker) Close() {
	if w.cancel != nil {
		w.cancel()
	}
}

// begin opens the stream and sends the fragment. The stream lives until Close.
func (w *worker) begin(ctx context.Context, round *exec.Traffic) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	life, cancel := context.WithCancel(w.s.node.client.ctx)
	w.cancel = cancel
	var err error
	if w.stream, err = w.s.node.service.Run(life); err != nil {
		return w.s.node.unreachable(err)
	}
	return w.send(round, &peerv1.RunRequest{Handle: w.s.handle, Fragment: w.f.Encode(), Parallel: uint32(max(0, w.o.Parallel)), MemoryBytes: w.o.Memory.Limit()})
}

func (w *worker) send(round *exec.Traffic, m *peerv1.RunRequest) error {
	round.Down += int64(proto.Size(m))
	if err := w.stream.Send(m); err != nil && err != io.EOF { // after EOF the reason comes with Recv
		return w.s.node.unreachable(err)
	}
	return nil
}

func (w *worker) recv(round *exec.Traffic) (*peerv1.RunResponse, error) {
	m, err := w.stream.Recv()
	if err == io.EOF {
		return nil, errcode.New(errcode.Corrupt, "node %s ended a fragment before its answer", w.s.node.id)
	}
	if err != nil {
		return nil, w.s.node.unreachable(err)
	}
	round.Up += int64(proto.Size(m))
	if c := m.Cost; c != nil {
		w.cost.Blocks, w.cost.Cells, w.cost.Rows = c.Blocks, c.Cells, c.Rows
	}
	return m, nil
}

// until makes the end of ctx the end of the stream, while one call works.
func (w *worker) until(ctx context.Context, err *error) (done func()) {
	stop := context.AfterFunc(ctx, func() { w.cancel() })
	return func() {
		if !stop() && *err != nil {
			*err = ctx.Err()
		}
	}
}

// answer receives the pieces of one answer. They are counted in the memory of the query until forget.
func (w *worker) answer(round *exec.Traffic) (b []byte, forget func(), err error) {
	counted := int64(0)
	forget = func() { w.o.Memory.Shrink(counted) }
	for {
		m, err := w.recv(round)
		if err != nil {
			return nil, forget, err
		}
		if err := w.o.Memory.Grow(int64(len(m.Piece))); err != nil {
			return nil, forget, err
		}
		counted += int64(len(m.Piece))
		if b == nil && !m.More {
			return m.Piece, forget, nil
		}
		if b = append(b, m.Piece...); !m.More {
			return b, forget, nil
		}
	}
}

// First has the node group its cells.
func (w *worker) First(ctx context.Context) (p *exec.Partial, err error) {
	round := &w.cost.Rounds[0]
	if err := w.begin(ctx, round); err != nil {
		return nil, err
	}
	defer w.until(ctx, &err)()
	b, forget, err := w.answer(round)
	defer forget()
	if err != nil {
		return nil, err
	}
	return exec.DecodePartial(b, w.f, w.o.Memory)
}

// Second has the node add up its cells under the totals of all shards.
func (w *worker) Second(ctx context.Context, totals []exec.Totals) (terms []exec.Term, err error) {
	round := &w.cost.Rounds[1]
	defer w.until(ctx, &err)()
	b := exec.EncodeTotals(totals)
	for len(b) > pieceMax {
		if err := w.send(round, &peerv1.RunRequest{Totals: b[:pieceMax], More: true}); err != nil {
			return nil, err
		}
		b = b[pieceMax:]
	}
	if err := w.send(round, &peerv1.RunRequest{Totals: b}); err != nil {
		return nil, err
	}
	b, forget, err := w.answer(round)
	defer forget()
	if err != nil {
		return nil, err
	}
	return exec.DecodeTerms(b, w.f, totals, w.o.Memory)
}

// Cells streams the node's cells.
func (w *worker) Cells(ctx context.Context, emit func(row []plan.Value) error) (err error) {
	round := &w.cost.Rounds[0]
	if err := w.begin(ctx, round); err != nil {
		return err
	}
	defer w.until(ctx, &err)()
	for {
		m, err := w.recv(round)
		if err != nil {
			return err
		}
		if err := exec.EachRow(m.Piece, w.f, emit); err != nil || !m.More {
			return err
		}
	}
}
