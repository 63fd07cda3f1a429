package actors

import (
	"context"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// The scrub reads what is sealed, every replica once in an interval, and
// verifies it: damage that nobody reads would otherwise wait until the other
// copies are damaged too. One replica at a time in the process, so many bytes
// per second, on a goroutine; it syncs nothing and holds no lock that a writer
// needs.

// scrubber is what all replicas of a process share of it.
type scrubber struct {
	slot  chan struct{}
	pacer pacer
	stats scrubStats
}

// scrubStats is what a node tells of it; the zero value is ready.
type scrubStats struct {
	bytes, damage, replicas atomic.Uint64
	lastEnded               atomic.Int64 // milliseconds since 1970; 0: none has
}

func newScrubber(bytesPerSecond int64, now func() time.Time) *scrubber {
	return &scrubber{slot: make(chan struct{}, 1), pacer: pacer{rate: bytesPerSecond, now: now}}
}

func (s *scrubStats) metrics() protocol.ScrubMetrics {
	return protocol.ScrubMetrics{
		Bytes: s.bytes.Load(), Damage: s.damage.Load(), Replicas: s.replicas.Load(), LastEnded: s.lastEnded.Load(),
	}
}

// pacer spreads work evenly over time.
type pacer struct {
	rate int64 // bytes per second
	now  func() time.Time

	mu   sync.Mutex
	free time.Time // when the bytes granted so far are paid for
}

// Take grants n bytes and returns how long to wait before they may be read.
func (p *pacer) take(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.free.Before(now) {
		p.free = now
	}
	wait := p.free.Sub(now)
	p.free = p.free.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
	return wait
}

// scrubPlan says when one replica is due.
type scrubPlan struct {
	every time.Duration // 0: never
	next  time.Time
	job   *scrubJob // under way
}

// newScrubPlan makes a replica due for the first time within a seventh of the
// interval, however often the process is started, and replicas at different
// times.
func newScrubPlan(every time.Duration, dir string, now time.Time) scrubPlan {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	first := every / 7 / 1024 * time.Duration(h.Sum32()%1024)
	return scrubPlan{every: every, next: now.Add(first)}
}

func (s *scrubPlan) due(now time.Time) bool {
	return s.every > 0 && s.job == nil && !now.Before(s.next)
}

// scrubJob is one pass over one replica, on its own goroutine.
type scrubJob struct{ cancel context.CancelFunc }

// scrubEnded comes back from it.
type scrubEnded struct {
	job *scrubJob
	err error
}

func (s *scrubber) run(ctx context.Context, source *logfile.Scrub) error {
	_, err := source.Run(func(n int) error {
		if wait := s.pacer.take(n); wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() == nil {
			s.stats.bytes.Add(uint64(n))
		}
		return ctx.Err()
	})
	return err
}
