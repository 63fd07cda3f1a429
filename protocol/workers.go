package protocol

import "sync"

// Workers runs functions on goroutines of their own, as the go statement does,
// but keeps some that have ended: their stacks have grown already, and copying
// a growing stack costs more than many a function that is run. The zero value
// keeps none.
type Workers struct {
	Keep int // how many that have nothing to do are kept

	mu   sync.Mutex
	idle []chan func() // of the kept ones; who came last goes first
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
