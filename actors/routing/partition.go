package routing

import (
	"sync"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// electionGrace is how long a partition may be between two leaders before it
// counts as leaderless: a hand-over takes some milliseconds.
const electionGrace = time.Second

// FailoverPatience is how long a request waits for a partition's next leader
// before it answers that there is none.
const FailoverPatience = 5 * time.Second

// epoch is long before anything that is compared with it. Whoever sets the system's clock
// does not change what has passed since.
var epoch = time.Now().Add(-time.Hour)

// sinceEpoch is in milliseconds.
func sinceEpoch(at time.Time) int64 { return at.Sub(epoch).Milliseconds() }

// Replicas tells how many replicas of a partition run.
type Replicas interface{ Running() int }

// Partition is the cell that says who leads a partition.
type Partition struct {
	ID       protocol.PartitionID
	Placed   int // replicas, as placed
	Stats    PartitionStats
	replicas Replicas

	leader  atomic.Pointer[Leadership]
	led     atomic.Bool  // has had a leader since this process began
	lostAt  atomic.Int64 // when the last leader left, as by sinceEpoch; 0: there was none yet
	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever leader changes
}

// NewPartition makes the cell of a partition with that many placed replicas,
// without a leader. Replicas may be nil where nobody knows which of them run.
func NewPartition(id protocol.PartitionID, replicas Replicas, placed int) *Partition {
	return &Partition{ID: id, replicas: replicas, Placed: placed, changed: make(chan struct{})}
}

// Leader is who leads, nil if nobody does.
func (p *Partition) Leader() *Leadership { return p.leader.Load() }

// Set publishes a leader, unless one of a later term is known already.
func (p *Partition) Set(l *Leadership) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cur := p.leader.Load(); cur != nil && cur.Term > l.Term {
		return
	}
	p.leader.Store(l)
	p.led.Store(true)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Clear withdraws a leader that stepped down or stopped.
func (p *Partition) Clear(l *Leadership) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leader.Load() != l {
		return
	}
	p.lostAt.Store(sinceEpoch(time.Now()))
	p.leader.Store(nil)
	close(p.changed)
	p.changed = make(chan struct{})
}

// SetLost makes p a partition whose leader left at that time. It is for tests.
func (p *Partition) SetLost(at time.Time) {
	p.led.Store(true)
	p.lostAt.Store(sinceEpoch(at))
}

// Current returns who leads and what is closed when that changes.
func (p *Partition) Current() (*Leadership, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leader.Load(), p.changed
}

// Electing reports whether the last leader left just now, so that requests wait
// rather than fail.
func (p *Partition) Electing() bool {
	return sinceEpoch(time.Now())-p.lostAt.Load() < electionGrace.Milliseconds()
}

// Lost reports whether a partition has been without a leader for longer than
// an election takes, or too few replicas run for one.
func (p *Partition) Lost() bool {
	if p.leader.Load() != nil || !p.led.Load() || p.Electing() {
		return false
	}
	return p.Hopeless() || sinceEpoch(time.Now())-p.lostAt.Load() > FailoverPatience.Milliseconds()
}

// Hopeless reports whether it is useless to wait for a leader: there was one, and
// too few replicas run to elect another. The replicas of a partition that has
// never been led are most likely still being created, so it is not hopeless.
func (p *Partition) Hopeless() bool { return p.led.Load() && p.LacksMajority() }

// LacksMajority reports whether too few replicas run to elect a leader.
func (p *Partition) LacksMajority() bool {
	return p.replicas != nil && p.Placed > 0 && p.replicas.Running() < p.Placed/2+1
}

// Running is the number of replicas that run.
func (p *Partition) Running() int { return p.replicas.Running() }

// Await waits for a leader other than not, and returns it. At the deadline it
// returns whoever leads, nil if nobody does.
func (p *Partition) Await(not *Leadership, deadline time.Time) *Leadership {
	for {
		l, changed := p.Current()
		if l != nil && l != not {
			return l
		}
		wait := time.Until(deadline)
		if wait <= 0 {
			return l
		}
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// PartitionStats is what clients did with one partition; the zero value is
// ready, and it is safe for concurrent use.
type PartitionStats struct {
	ProducedRecords, ProducedBytes atomic.Uint64
	FetchedRecords, FetchedBytes   atomic.Uint64
}

// Produced counts records that were committed.
func (s *PartitionStats) Produced(l *protocol.Lines) {
	s.ProducedRecords.Add(uint64(l.Len()))
	s.ProducedBytes.Add(uint64(len(l.Buf)))
}

// Fetched counts records that were read for a client.
func (s *PartitionStats) Fetched(records, bytes int) {
	s.FetchedRecords.Add(uint64(records))
	s.FetchedBytes.Add(uint64(bytes))
}
