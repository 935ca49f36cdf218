package fsm

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Options of a Bridge.
type Options struct {
	Halt   func(error)  // stops the node; called once
	Logger *slog.Logger // discards if nil
}

// Bridge applies a Raft log to a machine and its store. It implements raft.BatchingFSM.
type Bridge struct {
	machine Machine
	store   *storage.Store
	halt    func(error)
	log     *slog.Logger
	halted  atomic.Bool
}

var _ raft.BatchingFSM = (*Bridge)(nil)

// stepBytes bounds the commands of one step, and so how long a snapshot waits for it: 64 entries of full size take some 20 ms.
const stepBytes = 512 << 10

// NewBridge loads the machine from the store.
func NewBridge(m Machine, store *storage.Store, o Options) (*Bridge, error) {
	b := &Bridge{machine: m, store: store, halt: o.Halt, log: o.Logger}
	if b.halt == nil {
		b.halt = func(error) {}
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bridge) load() (err error) {
	b.store.Update(func(tx *storage.Tx) { err = b.machine.Load(tx) })
	if err != nil {
		return fmt.Errorf("fsm: load the machine at index %d: %w", b.store.Applied().Index, err)
	}
	return nil
}

// Apply applies one entry; Raft uses ApplyBatch.
func (b *Bridge) Apply(l *raft.Log) any { return b.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies commands and configurations in order, in one or a few steps.
func (b *Bridge) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	for from := 0; from < len(logs); {
		to, size := from, 0
		for to < len(logs) && (to == from || size+len(logs[to].Data) <= stepBytes) {
			size += len(logs[to].Data)
			to++
		}
		if !b.step(logs[from:to], results[from:to]) {
			for i := from; i < len(logs); i++ {
				results[i] = ErrHalted
			}
			return results
		}
		from = to
	}
	return results
}

// step applies entries together. It reports false once the machine has stopped.
func (b *Bridge) step(logs []*raft.Log, results []any) (ok bool) {
	if b.halted.Load() {
		return false
	}
	defer func() { _ = recover() }() // stop has told the node why
	b.store.Update(func(tx *storage.Tx) {
		var current *raft.Log
		defer func() {
			if p := recover(); p != nil {
				b.stop(current, p)
				panic(p) // so that the store writes nothing of it either
			}
		}()
		for i, l := range logs {
			current = l
			results[i] = b.apply(tx, l)
		}
		b.machine.Settle(tx)
	})
	return true
}

func (b *Bridge) apply(tx *storage.Tx, l *raft.Log) any {
	if l.Index <= tx.Applied().Index {
		b.log.Warn("an entry came again and was skipped", "index", l.Index, "term", l.Term)
		return ErrSkipped
	}
	var result any
	switch l.Type {
	case raft.LogCommand:
		result = b.machine.Apply(tx, Entry{Index: l.Index, Term: l.Term, Data: l.Data})
	case raft.LogConfiguration:
		tx.SetConfig(encodeConfig(l.Index, l.Data))
	}
	tx.SetApplied(schema.Applied{Index: l.Index, Term: l.Term})
	return result
}

// stop halts the node because of a panic in entry l.
func (b *Bridge) stop(l *raft.Log, cause any) {
	if b.halted.Swap(true) {
		return
	}
	what := "no entry"
	if l != nil {
		what = fmt.Sprintf("entry %d of term %d (%s)", l.Index, l.Term, describe(l))
	}
	err, isError := cause.(error)
	if !isError {
		err = fmt.Errorf("%v", cause)
	}
	err = fmt.Errorf("fsm: %s cannot be applied: %w", what, err)
	b.log.Error("the state machine stopped", "err", err)
	b.halt(err)
}

func describe(l *raft.Log) string {
	if l.Type != raft.LogCommand || len(l.Data) < 2 {
		return l.Type.String()
	}
	return command.Kind(l.Data[1]).String()
}

// Snapshot is constant work: the state is its own snapshot, and Persist only makes it durable.
func (b *Bridge) Snapshot() (raft.FSMSnapshot, error) {
	if b.halted.Load() {
		return nil, ErrHalted
	}
	return live{b.store}, nil
}

// Restore installs a state that a leader sent. The machine and its store are as before if it fails before the switch; after
// it, failing stops the node.
func (b *Bridge) Restore(source io.ReadCloser) error {
	if w, ok := source.(raft.ReadCloserWrapper); ok {
		source = w.WrappedReadCloser()
	}
	r, ok := source.(*received)
	if !ok {
		return fmt.Errorf("fsm: a state comes from a leader's stream or not at all; %T is neither (a backup is loaded through ordinary commands)", source)
	}
	if b.halted.Load() {
		return ErrHalted
	}
	if err := r.install(); err != nil {
		return fmt.Errorf("fsm: install a streamed state: %w", err)
	}
	if err := b.load(); err != nil {
		b.halted.Store(true)
		b.halt(err)
		return err
	}
	return nil
}

// encodeConfig is a Raft configuration with the index of its entry, as the store keeps it.
func encodeConfig(index uint64, encoded []byte) []byte {
	return append(binary.AppendUvarint(nil, index), encoded...)
}

// decodeConfig reads it back. A store that has never seen one gives an empty configuration.
func decodeConfig(b []byte) (c raft.Configuration, index uint64, err error) {
	if len(b) == 0 {
		return c, 0, nil
	}
	index, n := binary.Uvarint(b)
	if n <= 0 {
		return c, 0, fmt.Errorf("fsm: the stored Raft configuration does not decode")
	}
	defer func() { // raft panics on what it cannot decode
		if p := recover(); p != nil {
			err = fmt.Errorf("fsm: the stored Raft configuration does not decode: %v", p)
		}
	}()
	return raft.DecodeConfiguration(b[n:]), index, nil
}
