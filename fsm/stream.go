package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/storage"
)

// stream is the state on its way to a follower.
type stream struct {
	*storage.Export
	s *Snapshots
}

// Open begins to send the state of now, or gives what a leader sent to Restore. Index and configuration of the state are taken
// from the copy that is sent, not from memory, which goes on.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id != liveID {
		return s.openReceived(id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkpointTimeout)
	defer cancel()
	export, err := s.store.Export(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, index, err := decodeConfig(export.Config())
	if err != nil {
		return nil, nil, errors.Join(err, export.Close())
	}
	m := meta(export.Applied(), c, index)
	m.Size = export.Size()
	st := &stream{Export: export, s: s}
	s.mu.Lock()
	s.streams[st] = s.now()
	s.mu.Unlock()
	return m, st, nil
}

// Close ends the stream, read to its end or not.
func (st *stream) Close() error {
	st.s.mu.Lock()
	delete(st.s.streams, st)
	st.s.mu.Unlock()
	return st.Export.Close()
}

// receiver turns the writes of a sink into the reader that storage imports from.
type receiver struct {
	id   string
	to   *io.PipeWriter
	done chan struct{} // closed when state and err are there
	got  *storage.Incoming
	err  error
	size int64
}

func (k *sink) receive() *receiver {
	from, to := io.Pipe()
	k.s.mu.Lock()
	k.s.lastReceived++
	in := &receiver{id: fmt.Sprintf("received-%d", k.s.lastReceived), to: to, done: make(chan struct{})}
	k.s.mu.Unlock()
	go func() { // ends when the pipe is closed, by Close or Cancel
		in.got, in.err = k.s.store.Import(context.Background(), from)
		_ = from.CloseWithError(errors.Join(in.err, io.ErrClosedPipe)) // always nil
		close(in.done)
	}()
	return in
}

// Write takes in a piece of a leader's stream.
func (k *sink) Write(p []byte) (int, error) {
	if k.in == nil {
		k.in = k.receive()
	}
	n, err := k.in.to.Write(p)
	k.in.size += int64(n)
	return n, err
}

// ID names what the sink makes, for Open.
func (k *sink) ID() string {
	if k.in == nil {
		return liveID
	}
	return k.in.id
}

// Close ends a received state, which must be whole and of the index that was announced; it waits for Restore then. For a
// snapshot that Raft takes here, Persist has done everything.
func (k *sink) Close() error {
	if k.in == nil {
		return nil
	}
	err := k.in.to.Close()
	<-k.in.done
	if err = errors.Join(err, k.in.err); err != nil {
		return err
	}
	if got := k.in.got.Applied(); got != k.at {
		return errors.Join(fmt.Errorf("fsm: the state that arrived is of entry %d of term %d, announced was %d of %d", got.Index, got.Term, k.at.Index, k.at.Term), k.in.got.Discard())
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.s.received[k.in.id] = k.in
	return nil
}

// Cancel gives up what was received so far.
func (k *sink) Cancel() error {
	if k.in == nil {
		return nil
	}
	_ = k.in.to.CloseWithError(errors.New("fsm: the stream was given up")) // always nil
	<-k.in.done
	k.s.mu.Lock()
	delete(k.s.received, k.in.id)
	k.s.mu.Unlock()
	if k.in.got == nil {
		return nil
	}
	return k.in.got.Discard()
}

// received is a state that arrived and can be installed once.
type received struct {
	s  *Snapshots
	in *receiver
}

func (s *Snapshots) openReceived(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	in := s.received[id]
	delete(s.received, id)
	s.mu.Unlock()
	if in == nil {
		return nil, nil, fmt.Errorf("fsm: there is no snapshot %q", id)
	}
	c, index, err := decodeConfig(in.got.Config())
	if err != nil {
		return nil, nil, errors.Join(err, in.got.Discard())
	}
	m := meta(in.got.Applied(), c, index)
	m.ID, m.Size = id, in.size
	return m, &received{s, in}, nil
}

// install makes the state the store's.
func (r *received) install() error {
	got := r.in.got
	r.in.got = nil
	if err := r.s.store.Install(got); err != nil {
		if r.s.store.Err() == nil {
			err = errors.Join(err, got.Discard())
		}
		return err
	}
	return nil
}

// Read gives nothing: the state lies in files already.
func (r *received) Read([]byte) (int, error) { return 0, io.EOF }

// Close discards the state unless it was installed.
func (r *received) Close() error {
	if r.in.got == nil {
		return nil
	}
	got := r.in.got
	r.in.got = nil
	return got.Discard()
}
