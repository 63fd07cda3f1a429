package replica

import "time"

// Append times are monotone over leaders whose clocks differ a little: an entry's is not
// before that of the entry before it. But a clock that was years ahead for a moment would
// have all entries after it in that year: nothing would get old enough for retention, and
// no producer be forgotten. So the append time goes back where that of the last entry is
// further ahead than clocks differ. Whatever was written before an entry is not younger
// than the entry, whatever its own time says.
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

// CorrectTime has an entry written that says what time it is, if the last entry of the
// log, or the last one that producers were heard of by, has a time that is far ahead:
// nobody may write another one for long. It does nothing on a follower.
func (r *Replica) CorrectTime() {
	latest := max(r.log.LastAppendTime(), r.producers.latest)
	if r.leading != nil && r.leading.serving && !r.Gathered() && r.isAhead(latest, r.cfg.Millis()) {
		r.proposeControl(control{Time: true})
	}
}

// clockSays notes the append time of an entry. If it goes back, nobody in the table was
// heard of later than that.
func (t *producerTable) clockSays(at int64) {
	if at < t.latest {
		t.each(func(s *producerState) { s.at = min(s.at, at) })
	}
	t.latest = at
}
