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

// CorrectTime has an entry written that says what time it is, if the last entry of the
// log, or the last one that producers were heard of by, has been far ahead for as long as
// clocks differ at most: nobody may write another one for long, and a clock that was
// behind is most likely right by then. It does nothing on a follower. It is called again
// and again.
func (r *Replica) CorrectTime() {
	now, latest := r.cfg.Millis(), max(r.log.LastAppendTime(), r.producers.latest)
	switch {
	case r.leading == nil || !r.leading.serving || !r.isAhead(latest, now):
		r.aheadSince = 0
	case r.aheadSince == 0 || now < r.aheadSince:
		r.aheadSince = now
	case now-r.aheadSince >= r.cfg.ClockJump.Milliseconds() && !r.Gathered():
		r.aheadSince = 0
		r.proposeControl(control{Time: true})
	}
}

// clockSays applies an entry of CorrectTime: nobody in the table was heard of later.
func (t *producerTable) clockSays(at int64) {
	t.each(func(s *producerState) { s.at = min(s.at, at) })
	t.latest = min(t.latest, at)
}
