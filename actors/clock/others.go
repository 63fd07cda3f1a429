package clock

import (
	"fmt"
	"slices"
	"time"
)

// Times of this file are in nanoseconds since 1970, of a moment when steady was 0: whoever
// sets a node's clock changes this number for it, and nothing else does.

const (
	// drift is how much two clocks that nobody sets come apart, as a part of the time that passes.
	drift = 1.0 / 2000
	// step is from when on a clock counts as set, so that it is to be judged anew.
	step = 20 * time.Millisecond
)

// reading is what another node's clock said once.
type reading struct {
	at    int64
	err   time.Duration // that it is wrong by at most: half of the time that asking took
	taken time.Duration // by steady
}

// off is by how much it may be wrong by now.
func (r *reading) off(now time.Duration) time.Duration {
	return r.err + time.Duration(float64(now-r.taken)*drift)
}

// others are the clocks of the other nodes of a fleet.
type others struct {
	limit    time.Duration // by which clocks may differ; 0: nobody asks
	readings map[uint64]reading
}

// judgement says what is wrong with the clock, if it says own.
type judgement struct {
	own     int64
	correct time.Duration // what is to be added
	agreed  bool          // most nodes say the same as own
	wrong   bool          // most nodes say something else
	differ  int           // how many others do
	heard   int           // of how many
}

// Limit begins to compare the clock with those of other nodes, and says by how much they
// may differ.
func (c *Clock) Limit(limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others = others{limit: limit, readings: map[uint64]reading{}}
}

// Steady is the clock by which the times of Heard are.
func (c *Clock) Steady() time.Duration { return c.steady() }

// Wall is what the system's clock says, in nanoseconds since 1970: what other nodes are
// told, who judge it themselves.
func (c *Clock) Wall() int64 { return c.wall().UnixNano() }

// Heard takes what the clock of another node said, in nanoseconds since 1970, when it was
// asked at asked and answered at now. Of several answers the one that was the quickest
// counts, unless the clock was set meanwhile.
func (c *Clock) Heard(node uint64, said int64, asked, now time.Duration) {
	if now < asked {
		return
	}
	half := (now - asked) / 2
	r := reading{at: said - int64(asked+half), err: half, taken: now}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.others.readings == nil {
		return
	}
	last, known := c.others.readings[node]
	if !known || r.err <= last.off(now) || apart(r.at, last.at) > r.err+last.off(now) {
		c.others.readings[node] = r
	}
	c.judge(c.wall().UnixNano() - int64(now))
}

// Keep forgets all nodes but these.
func (c *Clock) Keep(nodes []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.others.readings {
		if !slices.Contains(nodes, id) {
			delete(c.others.readings, id)
		}
	}
	c.judge(c.wall().UnixNano() - int64(c.steady()))
}

// Offsets is by how much the clocks of other nodes are ahead of this one's.
func (c *Clock) Offsets() map[uint64]time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.wall().UnixNano() - int64(c.steady())
	all := make(map[uint64]time.Duration, len(c.others.readings))
	for id, r := range c.others.readings {
		all[id] = time.Duration(r.at - own)
	}
	return all
}

// Wrong is why the clock is not to be trusted, "" if it may be.
func (c *Clock) Wrong() string {
	c.correction(c.wall().UnixNano() - int64(c.steady()))
	j := c.judged.Load()
	if j == nil || !j.wrong {
		return ""
	}
	how := "ahead of"
	by := -j.correct
	if by < 0 {
		how, by = "behind", -by
	}
	return fmt.Sprintf("the clock of this node is %s %s those of %d of %d other nodes: set it", by.Round(10*time.Millisecond), how, j.differ, j.heard)
}

// Decided reports whether enough other clocks were heard to say whether this one is right.
func (c *Clock) Decided() bool {
	j := c.judged.Load()
	return j != nil && (j.agreed || j.wrong)
}

// Doubt names a node whose clock differs where it cannot be said who is right, because too
// few have been heard; 0: there is none.
func (c *Clock) Doubt() (node uint64, ahead time.Duration) {
	j := c.judged.Load()
	if j == nil || j.wrong || j.agreed {
		return 0, 0
	}
	for id, by := range c.Offsets() {
		if by.Abs() > ahead.Abs() {
			node, ahead = id, by
		}
	}
	return node, ahead
}

// correction is what is to be added to the system's clock, if it says own.
func (c *Clock) correction(own int64) time.Duration {
	j := c.judged.Load()
	if j == nil {
		return 0
	}
	if apart(own, j.own) > step {
		c.mu.Lock()
		c.judge(own)
		c.mu.Unlock()
		j = c.judged.Load()
	}
	if j == nil || j.correct == 0 {
		return 0
	}
	return j.correct - time.Duration(own-j.own)
}

// judge compares the clock with those of the others.
func (c *Clock) judge(own int64) {
	if len(c.others.readings) == 0 {
		c.judged.Store(nil)
		return
	}
	now, limit := c.steady(), c.others.limit
	if last := c.judged.Load(); last != nil && last.wrong {
		limit /= 2 // else one that is off by just that much would be wrong and right by turns
	}
	j := &judgement{own: own, heard: len(c.others.readings)}
	all := []int64{own}
	for _, r := range c.others.readings {
		all = append(all, r.at)
		if apart(r.at, own) > limit+r.off(now) {
			j.differ++
		}
	}
	same := len(all) - j.differ
	j.wrong, j.agreed = j.differ > same, same > j.differ
	if j.wrong {
		slices.Sort(all)
		j.correct = time.Duration(all[(len(all)-1)/2] - own)
	}
	c.judged.Store(j)
}

func apart(a, b int64) time.Duration { return time.Duration(a - b).Abs() }
