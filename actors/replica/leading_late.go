package replica

import (
	"time"

	"ottla/protocol"
)

// When a disk cannot keep up, requests wait until their senders give up. A
// leader that went on writing them, oldest first, would be busy for ever with
// what nobody waits for any more, and acknowledge nothing, long after the disk
// is well again. So what is not proposed yet is dropped when its time is up,
// or would be before the next entry is committed.
//
// A request with a producer's sequence is never dropped: written late it is
// what the producer's retry finds, and refused it would keep the producer from
// its next sequence.

// errLate refuses a client's records; nothing happened.
var errLate = protocol.Errorf(protocol.CodeOverloaded,
	"the partition's disk does not keep up: the request's time was over before its records could be written")

// maxLatency bounds what an entry is assumed to take, and for how long the last
// one says something about the next: a disk that has hung is soon assumed to be
// well again.
const maxLatency = time.Second

// commitLatency is how long the last committed entry took, from when it was
// proposed to when it was applied.
type commitLatency struct {
	last time.Duration // at most maxLatency
	at   time.Time     // when it was applied
}

func (c *commitLatency) note(began, now time.Time) {
	*c = commitLatency{last: min(now.Sub(began), maxLatency), at: now}
}

// exceeds reports whether an entry that is proposed now is likely to take
// longer than left.
func (c *commitLatency) exceeds(left time.Duration, now time.Time) bool {
	return left < c.last && now.Sub(c.at) < maxLatency
}

// dropLate refuses the oldest requests as long as they are too late. The queue
// is in the order in which they came, and they all have about the same time, so
// those behind one that is not late are not either.
func (l *leading) dropLate(now time.Time) {
	for len(l.queue.items) > 0 {
		p := l.queue.items[0]
		if !p.expires() {
			return
		}
		if left := p.Request.Deadline.Sub(now); left > 0 {
			if !l.latency.exceeds(left, now) {
				return
			}
			l.latency.last -= l.latency.last / 8 // one slow entry must not refuse everybody for good
		}
		l.queue.drop(1, p.size())
		l.answered++
		p.Answer(protocol.ProduceResult{Err: errLate})
	}
}

// expires reports whether the proposal may be dropped when its deadline has
// passed.
func (p *Proposal) expires() bool {
	return p.Request != nil && !p.Request.NoAck && !p.Request.Deadline.IsZero() && p.producer() == ""
}
