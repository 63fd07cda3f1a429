package background

import (
	"context"
	"errors"
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

// Scrubber is what all replicas of a process share of the scrub.
type Scrubber struct {
	slot  chan struct{}
	pacer pacer

	bytes, damage, replicas atomic.Uint64
	lastEnded               atomic.Int64 // milliseconds since 1970; 0: none has
}

// NewScrubber returns a scrubber that reads so many bytes per second at most.
func NewScrubber(bytesPerSecond int64, now func() time.Time) *Scrubber {
	return &Scrubber{slot: make(chan struct{}, 1), pacer: pacer{rate: bytesPerSecond, now: now}}
}

// Metrics is what has been scrubbed since the start of the process.
func (s *Scrubber) Metrics() protocol.ScrubMetrics {
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

// ScrubPlan says when one replica is due.
type ScrubPlan struct {
	every time.Duration // 0: never
	next  time.Time
	job   *scrubJob // under way
}

// NewScrubPlan makes a replica due for the first time within a seventh of the
// interval, however often the process is started, and replicas at different
// times.
func NewScrubPlan(every time.Duration, dir string, now time.Time) ScrubPlan {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	first := every / 7 / 1024 * time.Duration(h.Sum32()%1024)
	return ScrubPlan{every: every, next: now.Add(first)}
}

func (s *ScrubPlan) due(now time.Time) bool {
	return s.every > 0 && s.job == nil && !now.Before(s.next)
}

// scrubJob is one pass over one replica, on its own goroutine.
type scrubJob struct{ cancel context.CancelFunc }

// ScrubEnded is the end of a pass. Err is a *logfile.CorruptError if it found damage.
type ScrubEnded struct {
	job *scrubJob
	Err error
}

// Start begins a pass when one is due. Ended is called once, on another goroutine.
func (s *ScrubPlan) Start(now time.Time, shared *Scrubber, source func() *logfile.Scrub, ended func(*ScrubEnded)) {
	if !s.due(now) {
		return
	}
	work, cancel := context.WithCancel(context.Background())
	s.job = &scrubJob{cancel: cancel}
	m, from := &ScrubEnded{job: s.job}, source()
	go func() {
		select {
		case shared.slot <- struct{}{}:
			m.Err = shared.run(work, from)
			<-shared.slot
		case <-work.Done():
			m.Err = work.Err()
		}
		ended(m)
	}()
}

// Ended plans the next pass and counts this one; false if it was stopped.
func (s *ScrubPlan) Ended(m *ScrubEnded, now time.Time, shared *Scrubber) bool {
	if s.job == nil || s.job != m.job {
		return false
	}
	s.Stop()
	s.next = now.Add(s.every)
	var bad *logfile.CorruptError
	switch {
	case m.Err == nil:
		shared.replicas.Add(1)
		shared.lastEnded.Store(now.UnixMilli())
	case errors.As(m.Err, &bad):
		shared.damage.Add(1)
	}
	return true
}

// Stop ends the pass that is under way.
func (s *ScrubPlan) Stop() {
	if s.job != nil {
		s.job.cancel()
		s.job = nil
	}
}

func (s *Scrubber) run(ctx context.Context, source *logfile.Scrub) error {
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
			s.bytes.Add(uint64(n))
		}
		return ctx.Err()
	})
	return err
}
