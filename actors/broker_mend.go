package actors

import (
	"sync/atomic"
	"time"

	"ottla/actors/datadir"
	"ottla/actors/replica"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
)

// Messages about replicas that do not run.
type (
	// replicaEnded says that a replica's actor has ended.
	replicaEnded struct {
		Key     protocol.PartitionID
		Replica uint64
		Cause   error
	}
	// mendReplica asks for a damaged replica to be mended with what the lenders,
	// brokers of the cluster, have.
	mendReplica struct {
		Key     protocol.PartitionID
		Replica uint64
		Lenders []int
	}
	// mendEnded comes back from the goroutine that mends.
	mendEnded struct {
		job   *mendJob
		found bool // there was something to mend
		err   error
	}
	// mendFailed tells the cluster why a replica is not mended.
	mendFailed struct {
		Key     protocol.PartitionID
		Replica uint64
		Cause   error
	}
)

// ailing is a replica that does not run although it should, as its broker
// knows it.
type ailing struct {
	replica uint64
	fault   replica.Fault
	tries   int
	upAt    time.Time    // when it came up; zero: it is down
	retryAt time.Time    // zero: nothing is to be tried
	mend    *mendReplica // asked for
	job     *mendJob     // under way
	idle    bool         // the last one found nothing to mend
}

// A replica that does not run is tried again after a second, and then after
// twice as long each time, up to a minute. One that panics is given up after
// panicTries; a disk that is full may be so for long.
const (
	retryFirst = time.Second
	retryMost  = time.Minute
	panicTries = 6
	sameStory  = 10 * time.Minute // a panic, or damage, after so long is counted from one
)

// delay is how long the next try waits; false when there is none.
func (a *ailing) delay() (time.Duration, bool) {
	if a.fault == replica.FaultPanic && a.tries >= panicTries {
		return 0, false
	}
	return min(retryFirst<<min(a.tries, 10), retryMost), true
}

// schedule sets the time of the next try.
func (b *brokerActor) schedule(a *ailing) {
	a.retryAt = time.Time{}
	if d, again := a.delay(); again {
		a.retryAt = b.env.now().Add(d)
		a.tries++
	}
}

// replicaDown notes a replica that cannot go on, and tries those again that may.
func (b *brokerActor) replicaDown(ctx actor.Context, m *replicaDown) {
	r := b.replicas[m.Key]
	if r == nil || r.spec.id.ReplicaID != m.Replica {
		return
	}
	ctx.Send(b.parent, m)
	if m.Running {
		return
	}
	r.err = m.Cause
	a := b.ailing[m.Key]
	if a == nil || a.replica != m.Replica {
		a = &ailing{replica: m.Replica}
		b.ailing[m.Key] = a
	}
	a.wentDown(b.env.now(), m.Fault)
	if a.fault.Passes() {
		b.schedule(a)
	}
	if a.fault == replica.FaultPanic && a.retryAt.IsZero() {
		b.log.Error("replica is given up until its broker starts again", "topic", r.spec.id.Topic,
			"partition", m.Key.Partition, "tries", a.tries, "error", m.Cause)
	}
}

// replicaEnded notes a replica whose actor ended without a word.
func (b *brokerActor) replicaEnded(ctx actor.Context, m *replicaEnded) {
	r := b.replicas[m.Key]
	if b.state == brokerRunning && r != nil && r.spec.id.ReplicaID == m.Replica && r.pid == nil && r.err == nil {
		b.replicaDown(ctx, &replicaDown{Key: m.Key, Replica: m.Replica, Cause: m.Cause, Fault: replica.PanicFault(m.Cause)})
	}
}

// replicaUp forgets what ailed a replica, unless it may have to be counted.
func (b *brokerActor) replicaUp(ctx actor.Context, m *replicaUp) {
	if a := b.ailing[m.Key]; a != nil && !a.cameUp(b.env.now()) {
		delete(b.ailing, m.Key)
	}
	ctx.Send(b.parent, m)
}

// cameUp reports whether the next fault may be the same story: another panic,
// or damage that nobody finds who looks for it, as a failing disk or memory
// shows it. Without a pause such a replica would be mended and opened for ever.
func (a *ailing) cameUp(now time.Time) (again bool) {
	a.mend, a.retryAt, a.upAt = nil, time.Time{}, now
	return a.fault == replica.FaultPanic || a.fault == replica.FaultDamage && a.idle
}

func (a *ailing) wentDown(now time.Time, fault replica.Fault) {
	if !a.upAt.IsZero() && now.Sub(a.upAt) > sameStory {
		a.tries, a.idle = 0, false
	}
	a.fault, a.upAt = fault, time.Time{}
}

// tryAgain opens, creates or mends what is due. A tick calls it.
func (b *brokerActor) tryAgain(ctx actor.Context) {
	if len(b.ailing) == 0 {
		return
	}
	now := b.env.now()
	for key, a := range b.ailing {
		r := b.replicas[key]
		switch {
		case r == nil || r.spec.id.ReplicaID != a.replica:
			delete(b.ailing, key)
		case a.retryAt.IsZero() || now.Before(a.retryAt) || r.pid != nil || b.busy[r.spec.dir] != nil:
		case a.mend != nil:
			b.startMending(ctx, key, a)
		case a.fault.Passes():
			a.retryAt = time.Time{}
			delete(b.replicas, key)
			b.ensure(ctx, []partitionSpec{r.spec})
		}
	}
}

// mendReplica mends a damaged replica as soon as its actor has ended. Asked
// while that is under way it changes nothing, and after a failure it tries at
// once.
func (b *brokerActor) mendReplica(ctx actor.Context, m *mendReplica) {
	a, r := b.ailing[m.Key], b.replicas[m.Key]
	if b.state != brokerRunning || a == nil || r == nil || a.replica != m.Replica || a.fault != replica.FaultDamage || a.job != nil ||
		!a.upAt.IsZero() {
		return
	}
	a.mend = m
	switch {
	case !a.idle:
		a.retryAt = b.env.now()
	case a.retryAt.IsZero(): // it opens no better for being looked at again
		b.schedule(a)
	}
	b.tryAgain(ctx)
}

func (b *brokerActor) startMending(ctx actor.Context, key protocol.PartitionID, a *ailing) {
	r := b.replicas[key]
	job, work := newMendJob(b.env, r.spec, b.id, a.mend.Lenders, b.links)
	a.job, a.retryAt = job, time.Time{}
	b.busy[r.spec.dir] = &busyDirectory{}
	b.log.Info("mends a damaged replica", "topic", r.spec.id.Topic, "partition", key.Partition)
	self, root := ctx.Self(), ctx.ActorSystem().Root
	b.work.Go(func() {
		found, err := job.run(work)
		root.Send(self, &mendEnded{job, found, err})
	})
}

func (b *brokerActor) mendEnded(ctx actor.Context, m *mendEnded) {
	m.job.cancel()
	key := m.job.spec.key()
	a, r := b.ailing[key], b.replicas[key]
	if a != nil && a.job == m.job {
		a.job, a.idle = nil, m.err == nil && !m.found
		switch {
		case b.state != brokerRunning || r == nil || r.spec.id.ReplicaID != a.replica:
			delete(b.ailing, key)
		case m.err != nil:
			b.log.Error("damaged replica cannot be mended; if the others are gone for good, see '"+datadir.RepairCommand+"'", "topic", r.spec.id.Topic, "partition", key.Partition, "error", m.err)
			b.schedule(a)
			ctx.Send(b.parent, &mendFailed{Key: key, Replica: a.replica, Cause: m.err})
		default:
			if m.found {
				b.log.Warn("damaged replica is mended", "topic", r.spec.id.Topic, "partition", key.Partition)
			} else {
				b.env.stats.damageNotFound.Add(1)
				b.log.Warn("damage is not found again, the replica is opened as it is; next time after a pause",
					"topic", r.spec.id.Topic, "partition", key.Partition, "tries", a.tries)
			}
			a.mend, a.retryAt, r.err = nil, time.Time{}, nil
			b.spawn(ctx, r)
		}
	}
	b.free(ctx, m.job.spec.dir)
	b.continueStop(ctx)
}

// framesLent hands an answer to the goroutine that waits for it, or drops one
// that comes too late.
func (b *brokerActor) framesLent(m *framesLent) {
	if a := b.ailing[m.Key]; a != nil && a.job != nil {
		select {
		case a.job.answers <- m:
		default:
		}
	}
}

// framesAsked answers for this broker's copy. One that runs answers itself.
func (b *brokerActor) framesAsked(ctx actor.Context, m *framesAsked) {
	r := b.replicas[m.Key]
	if r != nil && r.pid != nil {
		ctx.Send(r.pid, m)
		return
	}
	if r == nil || b.state != brokerRunning {
		b.links.tellBroker(ctx, m.From, &framesLent{From: b.id, Key: m.Key, Seq: m.Seq, Err: "has no copy in use"})
		return
	}
	dirs := asideDirs(r.spec.dir)
	if m.From != b.id {
		dirs = append([]lentDir{{r.spec.dir, b.turnsOf(r.spec.dir)}}, dirs...)
	}
	b.work.Go(func() { lendFrames(b.env, b.links, m, b.id, r.spec.id, dirs, nil) })
}

// turnsOf counts how often a replica's directory was opened, made or moved.
func (b *brokerActor) turnsOf(dir string) *atomic.Uint64 {
	if b.turns == nil {
		b.turns = map[string]*atomic.Uint64{}
	}
	if b.turns[dir] == nil {
		b.turns[dir] = new(atomic.Uint64)
	}
	return b.turns[dir]
}

func (b *brokerActor) endAllMending() {
	for key := range b.ailing {
		b.endMending(key)
	}
}

// endMending ends what mends a directory that is to go.
func (b *brokerActor) endMending(key protocol.PartitionID) {
	if a := b.ailing[key]; a != nil && a.job != nil {
		a.job.cancel()
	}
}
