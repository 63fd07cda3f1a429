package protocol

import (
	"runtime"
	"sync"
	"testing"
)

// All functions run, at the same time if necessary, and idle goroutines are kept up
// to the limit.
func TestWorkersRunEverything(t *testing.T) {
	w := Workers{Keep: 4}
	for range 3 {
		var met, ended sync.WaitGroup
		met.Add(20)
		for range 20 {
			ended.Add(1)
			w.Go(func() {
				defer ended.Done()
				met.Done()
				met.Wait() // for all the others: a bound would stop here
			})
		}
		ended.Wait()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.idle); n > w.Keep {
		t.Errorf("%d goroutines are kept, the limit is %d", n, w.Keep)
	}
}

// A goroutine that is kept runs the next function.
func TestWorkersAreUsedAgain(t *testing.T) {
	w := Workers{Keep: 1}
	done := make(chan struct{})
	w.Go(func() { close(done) })
	<-done
	for {
		w.mu.Lock()
		kept := len(w.idle)
		w.mu.Unlock()
		if kept == 1 {
			break
		}
		runtime.Gosched()
	}
	again := make(chan int)
	w.Go(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		again <- len(w.idle)
	})
	if n := <-again; n != 0 {
		t.Errorf("a kept goroutine was left out: %d are idle", n)
	}
}

func BenchmarkWorkers(b *testing.B) {
	w := Workers{Keep: 16}
	var deep func(n int) int
	deep = func(n int) int {
		var room [128]byte
		if n == 0 {
			return len(room)
		}
		return deep(n-1) + int(room[n])
	}
	done := make(chan int)
	work := func() { done <- deep(40) }
	b.Run("workers", func(b *testing.B) {
		for b.Loop() {
			w.Go(work)
			<-done
		}
	})
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			go work()
			<-done
		}
	})
}
