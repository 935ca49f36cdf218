package storage

import "sync"

// waiters wait for the applied index to reach theirs.
type waiters struct {
	mu   sync.Mutex
	next int
	all  map[int]waiter
}

type waiter struct {
	index uint64
	ch    chan struct{}
}

func (w *waiters) enter(index uint64) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[int]waiter)
	}
	id := w.next
	w.next++
	ch := make(chan struct{})
	w.all[id] = waiter{index, ch}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

func (w *waiters) wake(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, x := range w.all {
		if x.index <= index {
			close(x.ch)
			delete(w.all, id)
		}
	}
}
