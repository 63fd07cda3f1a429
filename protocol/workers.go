package protocol

import "sync"

// Workers runs functions on separate goroutines, as the go statement does, but
// keeps some goroutines for reuse: their stacks have grown already, and growing a
// stack costs more than many of the functions. The zero value keeps none.
type Workers struct {
	Keep int // how many idle goroutines are kept

	mu   sync.Mutex
	idle []chan func() // of the kept goroutines; the last one is used first
}

// Go runs f on another goroutine. Any number run at the same time.
func (w *Workers) Go(f func()) {
	w.mu.Lock()
	n := len(w.idle) - 1
	if n < 0 {
		w.mu.Unlock()
		go w.work(f)
		return
	}
	next := w.idle[n]
	w.idle[n] = nil
	w.idle = w.idle[:n]
	w.mu.Unlock()
	next <- f
}

func (w *Workers) work(f func()) {
	next := make(chan func(), 1)
	for {
		f()
		w.mu.Lock()
		if len(w.idle) >= w.Keep {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, next)
		w.mu.Unlock()
		f = <-next
	}
}
