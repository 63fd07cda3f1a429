package replica

import "time"

// Append times are monotone over leaders whose clocks differ a little: an entry's is not
// before that of the entry before it. But a clock that was years ahead for a moment would
// have all entries after it in that year: nothing would get old enough for retention, and
// no producer be forgotten. So the append time goes back where that of the last entry is
// further ahead than clocks differ. Whether the clock was ahead then, or the one that is
// read now is behind, nobody can say at once, so that nothing gets an earlier time by that.
const defaultClockJump = 10 * time.Minute

// appendClock says what time an entry gets.
type appendClock struct {
	now  func() int64 // milliseconds since 1970
	jump int64        // by how many milliseconds clocks differ at most
}

// after is the append time of an entry that follows one of last, in milliseconds since
// 1970.
func (c *appendClock) after(last int64) int64 {
	now := c.now()
	if last <= now || c.isAhead(last, now) {
		return now
	}
	return last
}

func (c *appendClock) isAhead(at, now int64) bool { return at-now > c.jump }

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
