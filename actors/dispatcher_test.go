package actors

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (r *runners) idleNow() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.idle)
}

func TestRunnersRunWhatBlocksAndWhatItNeeds(t *testing.T) {
	r := &runners{}
	const depth = 3 * maxIdleRunners
	done := make(chan struct{})
	var next func(n int) func()
	next = func(n int) func() {
		return func() {
			if n == 0 {
				close(done)
				return
			}
			r.Schedule(next(n - 1))
			<-done // each holds its goroutine until the last one has run
		}
	}
	r.Schedule(next(depth))
	<-done
}

func TestRunnersAreUsedAgain(t *testing.T) {
	r := &runners{}
	ran := make(chan struct{})
	for range 1000 {
		r.Schedule(func() { ran <- struct{}{} })
		<-ran
		require.Eventually(t, func() bool { return r.idleNow() > 0 }, 10*time.Second, time.Millisecond)
	}
	assert.Equal(t, 1, r.idleNow(), "one at a time needs one goroutine")
}

func TestIdleRunnersAreBounded(t *testing.T) {
	r := &runners{}
	const busy = 4 * maxIdleRunners
	var all, ended sync.WaitGroup
	hold := make(chan struct{})
	all.Add(busy)
	ended.Add(busy)
	for range busy {
		r.Schedule(func() {
			defer ended.Done()
			all.Done()
			<-hold
		})
	}
	all.Wait() // all at once
	close(hold)
	ended.Wait()
	require.Eventually(t, func() bool { return r.idleNow() == maxIdleRunners }, 10*time.Second, time.Millisecond)
	var again sync.WaitGroup
	for range busy {
		again.Add(1)
		r.Schedule(again.Done)
	}
	again.Wait()
	require.Eventually(t, func() bool { return r.idleNow() == maxIdleRunners }, 10*time.Second, time.Millisecond)
}

// A step as deep as raft's, by a goroutine of its own each time and by the kept ones.
func BenchmarkDeepStep(b *testing.B) {
	ran := make(chan byte, 1)
	step := func() { ran <- deep(40) }
	b.Run("runners", func(b *testing.B) {
		r := &runners{}
		for b.Loop() {
			r.Schedule(step)
			<-ran
		}
	})
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			go step()
			<-ran
		}
	})
}

//go:noinline
func deep(n int) byte {
	var frame [256]byte
	frame[n] = byte(n)
	if n == 0 {
		return frame[0]
	}
	return deep(n-1) + frame[n]
}
