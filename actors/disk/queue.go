package disk

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Bounds of one round. A vote that comes while a round runs waits for that
// round, so rounds stay short; beside writes with priority they are shorter still.
const (
	maxLaneBytes        = 1 << 20  // of one replica, unless a single write is larger
	maxRoundBytes       = 16 << 20 // of all
	maxBytesBesideVotes = 1 << 20  // of the others in a round with such writes
	maxFlushLanes       = 16       // whose unsynced files one round covers in the background
)

// queue is what waits for Disk's next round: the pure core of Disk. Times are monotonic
// durations since any moment. It has one owner.
//
// A write is in exactly one place: a lane's queue, the running round, or answered. Lanes
// with writes, and no others, stand in order.
type queue struct {
	siblingWait time.Duration // longest time a write waits for its siblings
	mostLanes   int           // in a round, each with a file that stays open until it is synced; 0: any number

	lanes   map[laneKey]*lane
	groups  map[Group][]*lane  // every lane stands in the list of its group
	order   []*lane            // exactly the lanes with queued writes, in the order of their turns
	expects map[*lane]struct{} // lanes whose siblings have not written yet
	first   int                // queued writes with Priority
	urgent  int                // those with Urgent
	due     []*lane            // lanes to be synced in the background, see flush
	running bool               // a round is out; next makes none until finish has taken it back
}

// laneKey is the value of a PID.
type laneKey struct{ address, id string }

// lane is one replica's place in the queue.
type lane struct {
	key    laneKey
	from   *actor.PID
	group  Group
	queue  []queuedWrite
	first  int    // queued writes with Priority
	urgent int    // those with Urgent
	last   uint64 // greatest raft index queued

	// While the lane is in queue.expects: as many other lanes of the group are
	// about to write this index.
	expectIndex uint64
	expectCount int

	blocked   error  // why later writes are refused, nil when they are not
	blockedBy uint64 // the write that failed

	dirty   []File // written, but not synced; to be synced each by its own descriptor. The running round's while inRound
	isDue   bool   // in queue.due
	inRound bool   // part of the running round
	stopped bool   // its replica has ended: removed once nothing depends on it
}

type queuedWrite struct {
	*Write
	at time.Duration
}

// laneAnswer is a Done on its way, or with failed a Failed.
type laneAnswer struct {
	to     *actor.PID
	done   Done
	failed bool
}

func newQueue(siblingWait time.Duration) *queue {
	return &queue{
		siblingWait: siblingWait,
		lanes:       map[laneKey]*lane{},
		groups:      map[Group][]*lane{},
		expects:     map[*lane]struct{}{},
	}
}

// push queues a write, or returns its refusal when its lane is blocked. IsNew
// reports that the lane was made: its owner is to be watched.
func (q *queue) push(w *Write, now time.Duration) (refused *laneAnswer, isNew bool) {
	l, isNew := q.lane(w)
	if l.blocked != nil {
		// The owner sends again from the failed write on; what it sent before it knew of the
		// failure, under later numbers, is still on its way and is refused.
		if w.Seq > l.blockedBy || !Retriable(l.blocked) {
			err := &earlierError{seq: l.blockedBy, cause: l.blocked}
			return &laneAnswer{to: w.From, done: Done{Seq: w.Seq, Err: err}}, isNew
		}
		l.blocked = nil
	}
	if len(l.queue) == 0 {
		q.order = append(q.order, l)
	}
	l.queue = append(l.queue, queuedWrite{Write: w, at: now})
	l.last = max(l.last, w.Index)
	q.count(l, w, 1)
	if _, expecting := q.expects[l]; w.Siblings > 0 && !expecting {
		l.expectIndex, l.expectCount = w.Index, w.Siblings
		q.expects[l] = struct{}{}
	}
	q.dropMet(l.group)
	return nil, isNew
}

// count counts a write among those of its lane that go first, or not any more.
func (q *queue) count(l *lane, w *Write, by int) {
	if w.Priority {
		l.first += by
		q.first += by
	}
	if w.Urgent {
		l.urgent += by
		q.urgent += by
	}
}

func (q *queue) lane(w *Write) (l *lane, isNew bool) {
	key := laneKey{w.From.Address, w.From.Id}
	l = q.lanes[key]
	if l == nil {
		l, isNew = &lane{key: key, from: w.From, group: w.Group}, true
		q.lanes[key] = l
		q.groups[l.group] = append(q.groups[l.group], l)
	}
	l.stopped = false
	return l, isNew
}

// dropMet ends the waits in a group whose siblings have all written.
func (q *queue) dropMet(g Group) {
	if len(q.expects) == 0 {
		return
	}
	for _, l := range q.groups[g] {
		if _, ok := q.expects[l]; ok && q.siblings(l) >= l.expectCount {
			delete(q.expects, l)
		}
	}
}

func (q *queue) siblings(l *lane) (n int) {
	for _, other := range q.groups[l.group] {
		if other != l && len(other.queue) > 0 && other.last >= l.expectIndex {
			n++
		}
	}
	return n
}

// next returns the round to run now; or nil and how long to wait for siblings
// before asking again; or nil and 0 when there is nothing to do or a round runs.
func (q *queue) next(now time.Duration) (r *round, wait time.Duration) {
	if q.running || len(q.order) == 0 && len(q.due) == 0 {
		return nil, 0
	}
	if wait := q.wait(now); wait > 0 {
		return nil, wait
	}
	q.running = true
	return q.compose(), 0
}

// wait returns for how long the next round may still wait for siblings: 0 when all
// have written, something is urgent, or the oldest write has waited long enough.
func (q *queue) wait(now time.Duration) time.Duration {
	if len(q.expects) == 0 || q.urgent > 0 {
		return 0
	}
	oldest := now
	for _, l := range q.order {
		oldest = min(oldest, l.queue[0].at)
	}
	return max(0, oldest+q.siblingWait-now)
}

// compose makes a round: lanes with priority first, else first come first. What is left
// of a lane goes behind the lanes that had no turn.
func (q *queue) compose() *round {
	r := &round{}
	// Stable, so that lanes keep their turns among each other.
	slices.SortStableFunc(q.order, func(a, b *lane) int { return min(b.first, 1) - min(a.first, 1) })
	budget := maxRoundBytes
	if q.first > 0 {
		budget = maxBytesBesideVotes
	}
	var waiting, leftover []*lane
	for _, l := range q.order {
		first := l.first > 0
		if !first && budget <= 0 || q.mostLanes > 0 && len(r.lanes) >= q.mostLanes {
			waiting = append(waiting, l)
			continue
		}
		n := q.addWrites(r, l)
		if !first {
			budget -= n
		}
		if len(l.queue) > 0 {
			leftover = append(leftover, l)
		}
	}
	q.order = append(waiting, leftover...)
	q.addDue(r)
	return r
}

// addWrites moves at most maxLaneBytes of a lane, and at least one write, into
// the round, and returns how many bytes that was.
func (q *queue) addWrites(r *round, l *lane) (bytes int) {
	n := 0
	for ; n < len(l.queue); n++ {
		size := batchBytes(l.queue[n].Batch)
		if n > 0 && bytes+size > maxLaneBytes {
			break
		}
		bytes += size
		q.count(l, l.queue[n].Write, -1)
	}
	rl := q.join(r, l)
	for _, w := range l.queue[:n] {
		rl.writes = append(rl.writes, w.Write)
	}
	if l.queue = slices.Delete(l.queue, 0, n); len(l.queue) == 0 {
		l.queue, l.last = nil, 0
	}
	delete(q.expects, l)
	return bytes
}

// addDue adds lanes whose unsynced files are due for a background sync.
func (q *queue) addDue(r *round) {
	for n := 0; n < maxFlushLanes && len(q.due) > 0; n++ {
		l := q.due[0]
		q.due = q.due[1:]
		l.isDue = false
		if len(l.dirty) > 0 {
			q.join(r, l).flush = true
		}
	}
}

// join returns the lane's part of the round, and makes it if there is none.
func (q *queue) join(r *round, l *lane) *roundLane {
	if l.inRound {
		i := slices.IndexFunc(r.lanes, func(rl *roundLane) bool { return rl.lane == l })
		return r.lanes[i]
	}
	l.inRound = true
	rl := &roundLane{lane: l, dirty: l.dirty}
	r.lanes = append(r.lanes, rl)
	return rl
}

// flush makes every lane with unsynced files due for a background sync.
func (q *queue) flush() {
	for _, l := range q.lanes {
		if len(l.dirty) > 0 && !l.isDue {
			l.isDue = true
			q.due = append(q.due, l)
		}
	}
}

// finish takes back a round that has run and returns the answers to give, in
// order. A lane in which a write failed is blocked from here on, and what else
// it has queued fails with it: executed, it would leave a hole in the log.
func (q *queue) finish(r *round) []laneAnswer {
	q.running = false
	var out []laneAnswer
	for _, rl := range r.lanes {
		l := rl.lane
		l.inRound, l.dirty = false, rl.dirty
		for i, w := range rl.writes {
			out = append(out, laneAnswer{to: w.From, done: Done{Seq: w.Seq, Err: rl.errs[i]}})
			if err := rl.errs[i]; err != nil && l.blocked == nil {
				l.blocked, l.blockedBy = err, w.Seq
			}
		}
		if rl.dirtyErr != nil {
			out = append(out, laneAnswer{to: l.from, failed: true, done: Done{Err: rl.dirtyErr}})
			l.blocked = rl.dirtyErr
		}
		if l.blocked != nil {
			out = append(out, q.failLane(l, &earlierError{seq: l.blockedBy, cause: l.blocked})...)
		}
		q.removeStopped(l)
	}
	return out
}

// failLane answers all that a lane has queued with err.
func (q *queue) failLane(l *lane, err error) (out []laneAnswer) {
	for _, w := range l.queue {
		out = append(out, laneAnswer{to: w.From, done: Done{Seq: w.Seq, Err: err}})
	}
	if len(l.queue) > 0 {
		q.order = slices.DeleteFunc(q.order, func(o *lane) bool { return o == l })
	}
	q.first -= l.first
	q.urgent -= l.urgent
	l.queue, l.first, l.urgent, l.last = nil, 0, 0, 0
	delete(q.expects, l)
	return out
}

// failAll answers everything queued with err.
func (q *queue) failAll(err error) (out []laneAnswer) {
	for _, l := range slices.Clone(q.order) {
		out = append(out, q.failLane(l, err)...)
	}
	return out
}

// forget removes the lane of a replica that has stopped, now or when the last
// that depends on it is through.
func (q *queue) forget(from *actor.PID) {
	if l := q.lanes[laneKey{from.Address, from.Id}]; l != nil {
		l.stopped = true
		q.removeStopped(l)
	}
}

// removeStopped removes a lane whose replica has stopped, unless it has writes, or
// files that are still to be synced.
func (q *queue) removeStopped(l *lane) {
	if !l.stopped || l.inRound || len(l.queue) > 0 || len(l.dirty) > 0 && l.blocked == nil {
		return
	}
	delete(q.lanes, l.key)
	rest := slices.DeleteFunc(q.groups[l.group], func(o *lane) bool { return o == l })
	if q.groups[l.group] = rest; len(rest) == 0 {
		delete(q.groups, l.group)
	}
}

func batchBytes(b Batch) int {
	if b == nil || b.Empty() {
		return 0
	}
	return b.Bytes()
}
