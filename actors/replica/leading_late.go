package replica

import (
	"time"

	"ottla/protocol"
)

// When a disk cannot keep up, requests wait until their senders give up. A
// leader that went on writing them, oldest first, would be busy for ever with
// what nobody waits for any more, and acknowledge nothing, long after the disk
// is well again. So what is not proposed yet is dropped when its time is up,
// or would be before the next round is through.

// errLate refuses a client's records; nothing happened.
var errLate = protocol.Errorf(protocol.CodeOverloaded, "the partition's disk does not keep up: it was not its turn in time")

//
// What has a producer's sequence stays: written late it is what the retry finds,
// and refused it would keep the producer from its next.

// maxPace bounds what a round is taken to last, and how long it says something
// about the next: a disk that has hung is taken for well again soon.
const maxPace = time.Second

// dropLate refuses the oldest requests as long as they are too late. The queue
// is in the order in which they came, and they all have about the same time, so
// those behind one that is not late are not either.
func (l *leading) dropLate() {
	for len(l.queue) > 0 && l.late(&l.queue[0]) {
		p := l.queue[0]
		l.take(1, p.size())
		l.answered++
		p.Answer(protocol.ProduceResult{Err: errLate})
	}
}

func (l *leading) late(p *Proposal) bool {
	if p.Request == nil || p.Request.NoAck || p.Request.Deadline.IsZero() || p.producer() != "" {
		return false
	}
	now := time.Now()
	left := p.Request.Deadline.Sub(now)
	if left > 0 && left < l.pace && now.Sub(l.paced) < maxPace {
		l.pace -= l.pace / 8 // one slow round must not refuse everybody for good
		return true
	}
	return left <= 0
}

// keepPace notes how long a round took.
func (l *leading) keepPace(began time.Time) {
	l.paced = time.Now()
	l.pace = min(l.paced.Sub(began), maxPace)
}
