package router

import (
	"errors"
	"testing"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// oneRow is a stamped batch of one observation.
func oneRow(seq uint64) *Batch {
	b := manyDepts(1)
	b.Rows, b.Seq = 1, seq
	return b
}

func TestSingleRowBeginsWithoutWaiting(t *testing.T) {
	n, r := newFakeNode(t, 4)
	b := oneRow(3)
	b.Session, b.AckUpTo = 8, 2
	s := r.Begin(b)
	if s == nil {
		t.Fatal("not begun")
	}
	<-s.Done()
	receipt, ok := s.Counted()
	if !ok || receipt != (schema.Receipt{Shard: s.Shard(), Index: 9}) || s.MapVersion() != n.view.slots.Version {
		t.Errorf("%+v, %v, map version %d", receipt, ok, s.MapVersion())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	want := command.Part{Kind: command.Durable, Session: 8, Seq: 3, AckUpTo: 2, Home: s.Shard(), MapVersion: n.view.slots.Version}
	if parts := n.parts[s.Shard()]; len(parts) != 1 || parts[0] != (counted{stamp: want, sum: 1}) {
		t.Errorf("the shard saw %+v", parts)
	}
}

func TestSingleRowThatWasNotCountedIsWaitedFor(t *testing.T) {
	n, r := newFakeNode(t, 1)
	below := errcode.New(errcode.BelowZero, "below zero")
	n.refuse[0] = below
	s := r.Begin(oneRow(1))
	<-s.Done()
	if _, ok := s.Counted(); ok {
		t.Error("a refused row was counted")
	}
	if res, err := s.Wait(t.Context()); err != nil || len(res.Refused) != 1 || !errors.Is(res.Refused[0].Err, below) || res.Refused[0].Rows != nil {
		t.Errorf("%+v, %v", res, err)
	}
	n.mu.Lock()
	n.refuse[0], n.behind[0] = nil, true
	n.mu.Unlock()
	s = r.Begin(oneRow(2))
	<-s.Done()
	if _, ok := s.Counted(); ok {
		t.Error("a shard that is behind has counted")
	}
	if res, err := s.Wait(t.Context()); err != nil || len(res.Receipts) != 1 || n.behind[0] {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWhatNeedsMoreThanOnePartIsNotBegun(t *testing.T) {
	n, r := newFakeNode(t, 2)
	for name, change := range map[string]func(*Batch){
		"two rows":           func(b *Batch) { *b = *manyDepts(2); b.Rows = 2 },
		"no stamp":           func(b *Batch) { b.Session, b.Seq = 0, 0 },
		"no number":          func(b *Batch) { b.Seq = 0 },
		"a key":              func(b *Batch) { b.Session, b.Seq, b.Key = 0, 0, "k" },
		"a key and a stamp":  func(b *Batch) { b.Key = "k" },
		"unknown table":      func(b *Batch) { b.Table.Table = "nope" },
		"a later version":    func(b *Batch) { b.TableVersion = 99 },
		"a dead session":     func(b *Batch) { b.Session = 5 },
		"another's session":  func(b *Batch) { b.Principal = "bob" },
		"unknown column":     func(b *Batch) { b.Dims[0].Name = "nope" },
		"a missing value":    func(b *Batch) { b.Dims = b.Dims[1:] },
		"a count out of int": func(b *Batch) { b.Counts = []int64{-1 << 63} },
	} {
		b := oneRow(1)
		change(b)
		if r.Begin(b) != nil {
			t.Errorf("%s: begun", name)
		}
	}
	if n.refreshes > 0 || n.sum() > 0 {
		t.Errorf("%d refreshes, %d counted", n.refreshes, n.sum())
	}
}
