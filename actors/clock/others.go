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
	asked time.Duration // when it was confirmed the last time
	moved time.Duration // when it was found to have been set; 0: never
}

// off is by how much it may be wrong by now.
func (r *reading) off(now time.Duration) time.Duration {
	return r.err + time.Duration(float64(now-r.taken)*drift)
}

// others are the clocks of the other nodes of a fleet.
type others struct {
	limit    time.Duration // by which clocks may differ; 0: nobody asks
	readings map[uint64]reading
	kept     []uint64      // the only nodes that count; nil: all do
	moved    time.Duration // when a clock was found to have been set, this one or another
	believed *int64        // what most clocks said; nil: that was never known
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
	r := reading{at: said - int64(asked+half), err: half, taken: now, asked: asked}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.others.readings == nil || c.others.kept != nil && !slices.Contains(c.others.kept, node) {
		return
	}
	last, known := c.others.readings[node]
	off := r.err + last.off(now)
	r.moved = last.moved
	switch {
	case !known:
	case apart(r.at, last.at) > off:
		if apart(r.at, last.at) > off+c.others.limit/2 {
			r.moved, c.others.moved = now, now
		}
	case r.err > last.off(now):
		last.asked = asked
		r = last
	}
	c.others.readings[node] = r
	c.judge(c.own())
}

// own is what the system's clock said at that time by steady. A pause between two looks
// would be taken for a wrong clock.
func (c *Clock) own() (own int64, now time.Duration) {
	for range 3 {
		before := c.steady()
		wall := c.wall().UnixNano()
		now = c.steady()
		own = wall - int64(now)
		if now-before < time.Millisecond {
			break
		}
	}
	return own, now
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
	c.others.kept = append([]uint64{}, nodes...)
	c.judge(c.own())
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
	own, _ := c.own()
	c.correction(own)
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
		own, now := c.own()
		c.judge(own, now)
		c.mu.Unlock()
		j = c.judged.Load()
	}
	if j == nil || j.correct == 0 {
		return 0
	}
	return j.correct - time.Duration(own-j.own)
}

// judge compares the clock with those of the others. What it finds counts at once as
// long as that leaves the time what it was. Else it counts when those who say so have all been asked since
// a clock was last found to have been set: an answer that is older may be that of a
// clock that was put right meanwhile, and with another that is wrong now would outvote
// one that is right.
func (c *Clock) judge(own int64, now time.Duration) {
	o, last := &c.others, c.judged.Load()
	if len(o.readings) == 0 {
		o.believed = nil
		c.judged.Store(nil)
		return
	}
	if len(o.readings) == 1 {
		o.believed = nil // of two nobody knows
	}
	near := o.limit // how far from others this clock may be
	if last != nil && last.wrong {
		near /= 2 // else one that is off by just that much would be wrong and right by turns
	}
	if last != nil && apart(own, last.own) > o.limit/2 {
		o.moved = now
	}
	j := &judgement{own: own, heard: len(o.readings)}
	for _, r := range o.readings {
		if apart(r.at, own) > near+r.off(now) {
			j.differ++
		}
	}
	at, confirmed, most := o.majority(own, near, now)
	switch {
	case most && (o.believed == nil || confirmed || apart(at, *o.believed) <= o.limit):
		o.believed = &at
	case o.believed == nil:
		c.judged.Store(j)
		return
	}
	j.wrong = apart(own, *o.believed) > near
	j.agreed = !j.wrong
	if j.wrong {
		j.correct = time.Duration(*o.believed - own)
	} else {
		o.believed = &j.own
	}
	c.judged.Store(j)
}

// majority is what most clocks say: the same as own if it is one of them. Confirmed says
// that these have all been asked since a clock was found to have been set.
func (o *others) majority(own int64, near, now time.Duration) (at int64, confirmed, most bool) {
	centers := []reading{{at: own, taken: now}}
	for _, r := range o.readings {
		centers = append(centers, r)
	}
	best := 0
	for i, center := range centers {
		found := []int64{}
		fresh, with := true, i == 0
		for k, r := range centers {
			bound := o.limit + r.off(now) + center.off(now)
			if i == 0 || k == 0 {
				bound += near - o.limit
			}
			switch {
			case apart(r.at, center.at) > bound:
				continue
			case k == 0:
				with = true
			default:
				fresh = fresh && (r.asked > o.moved || r.moved == o.moved)
			}
			found = append(found, r.at)
		}
		if len(found) <= best || 2*len(found) <= len(centers) {
			continue
		}
		best, confirmed, most, at = len(found), fresh, true, own
		if !with {
			slices.Sort(found)
			at = found[(len(found)-1)/2]
		}
	}
	return at, confirmed, most
}

func apart(a, b int64) time.Duration { return time.Duration(a - b).Abs() }
