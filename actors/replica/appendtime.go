package replica

import "time"

// Append times are monotone over leaders whose clocks differ a little: an entry's is not
// before that of the entry before it. But a clock that was years ahead for a moment would
// have all entries after it in that year: nothing would get old enough for retention, and
// no producer be forgotten. So the append time goes back where that of the last entry is
// further ahead than clocks differ. Whether the clock was ahead then, or the one that is
// read now is behind, nobody can say at once, so that nothing gets an earlier time by that.
const defaultClockJump = 10 * time.Minute

// appendTime is that of the next entry, in milliseconds since 1970.
func (r *Replica) appendTime() int64 {
	now, last := r.cfg.Millis(), r.log.LastAppendTime()
	if last <= now || r.isAhead(last, now) {
		return now
	}
	return last
}

func (r *Replica) isAhead(at, now int64) bool { return at-now > r.cfg.ClockJump.Milliseconds() }

// CorrectTime has an entry written that says what time it is, where nobody may write
// another one for long, in two cases. The last entry of the log, or the last one that
// producers were heard of by, has been far ahead for as long as clocks differ at most: a
// clock that was behind is most likely right by then. Or Idempotency-Keys are remembered
// that are old enough to go, and count among those of the process. It does nothing on a
// follower. It is called again and again.
func (r *Replica) CorrectTime() {
	if r.leading == nil || !r.leading.serving {
		r.aheadSince = 0
		return
	}
	now, latest := r.cfg.Millis(), max(r.log.LastAppendTime(), r.producers.latest)
	due := false
	switch {
	case !r.isAhead(latest, now):
		r.aheadSince = 0
		oldest := r.producers.keys.oldest()
		due = oldest != nil && oldest.at < r.appendTime()-r.producers.keys.retention
	case r.aheadSince == 0 || now < r.aheadSince:
		r.aheadSince = now
	default:
		due = now-r.aheadSince >= r.cfg.ClockJump.Milliseconds()
	}
	if due && !r.Gathered() {
		r.aheadSince = 0
		r.proposeControl(control{Time: true})
	}
}

// clockSays applies an entry of CorrectTime: nobody in the table was heard of later, and
// those that are old by then are forgotten.
func (t *producerTable) clockSays(at int64) {
	if t.latest > at {
		for s := t.others.front; s != nil; s = s.newer {
			s.at = min(s.at, at)
		}
		t.keys.each(func(k *knownKey, _ string) { k.at = min(k.at, at) })
		t.latest = at
	}
	t.expire(at)
}
