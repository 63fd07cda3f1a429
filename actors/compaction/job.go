package compaction

import (
	"context"

	"ottla/actors/background"
	"ottla/logfile"
)

// State is what a replica knows of its compactions. The zero value is ready.
type State struct {
	job     *job   // under way
	retryAt int    // the tick at which a failed one is tried again
	asked   uint64 // generation that was the newest when this leader asked for another
	askedAt int    // and the tick
	served  int    // the tick at which parts were last read for another replica
	fetch   *fetch // parts on their way here
}

// job is one compaction on its own goroutine.
type job struct{ cancel context.CancelFunc }

// Done is the end of a compaction.
type Done struct {
	job *job
	Set *logfile.CompactedSet
	Err error
}

// Patience says how long things take, in ticks.
type Patience struct {
	Retry int // how long a failed compaction rests, and how long a leader waits for its own request to appear in the log
	Serve int // how long a leader does not compact again for the sake of a replica that reads its compacted records
}

// Busy reports whether a compaction is under way, or has failed a moment ago.
func (s *State) Busy(tick int) bool { return s.job != nil || s.fetch != nil || tick < s.retryAt }

// Start compacts a log. Done is called once, on another goroutine.
func (s *State) Start(bg *background.Budget, source *logfile.CompactionSource, spec logfile.Compaction, done func(*Done)) {
	work, cancel := context.WithCancel(context.Background())
	s.job = &job{cancel: cancel}
	m := &Done{job: s.job}
	go func() {
		select {
		case bg.Slot <- struct{}{}:
			m.Set, m.Err = source.Compact(spec, bg.Pace(work))
			<-bg.Slot
		case <-work.Done():
			m.Err = work.Err()
		}
		done(m)
	}()
}

// Done takes the end of a compaction; false if it was stopped, and what it has made
// is not wanted.
func (s *State) Done(m *Done, tick int, p Patience) bool {
	if s.job == nil || s.job != m.job {
		return false
	}
	s.job = nil
	m.job.cancel()
	if m.Err != nil {
		s.retryAt = tick + p.Retry
	}
	return true
}

// MayAsk reports whether a leader may ask for a compaction: not while another replica
// is being given the present parts of this generation, nor again at once.
func (s *State) MayAsk(tick int, generation uint64, p Patience) bool {
	if s.served > 0 && tick-s.served < p.Serve {
		return false
	}
	return s.askedAt == 0 || s.asked != generation || tick-s.askedAt >= p.Retry
}

// Asks notes that the leader has asked.
func (s *State) Asks(tick int, generation uint64) { s.asked, s.askedAt = generation, tick }

// Stop ends the goroutines.
func (s *State) Stop() {
	if s.job != nil {
		s.job.cancel()
		s.job = nil
	}
	s.EndFetch()
}
