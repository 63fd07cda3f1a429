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

// downReplica is a replica that does not run although it should, as its broker
// knows it; also one that runs again, as long as its next fault may belong to
// the same story.
type downReplica struct {
	replica uint64
	fault   replica.Fault
	backoff backoff   // calm since it runs again
	retryAt time.Time // zero: nothing is to be tried

	mend         *mendReplica // asked for
	job          *mendJob     // under way
	nothingFound bool         // the last one found nothing to mend
}

// panicTries is how often a replica that panics is opened again; one whose disk
// is full is tried for ever.
const panicTries = 6

// schedule sets the time of the next try, if there is to be one.
func (d *downReplica) schedule(now time.Time) {
	d.retryAt = time.Time{}
	if d.fault != replica.FaultPanic || d.backoff.tries < panicTries {
		d.retryAt = now.Add(d.backoff.next(now))
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
	d := b.down[m.Key]
	if d == nil || d.replica != m.Replica {
		d = &downReplica{replica: m.Replica}
		b.down[m.Key] = d
	}
	d.wentDown(b.env.now(), m.Fault)
	if d.fault.Transient() {
		d.schedule(b.env.now())
	}
	if d.fault == replica.FaultPanic && d.retryAt.IsZero() {
		b.log.Error("replica is given up until its broker starts again", "topic", r.spec.id.Topic,
			"partition", m.Key.Partition, "tries", d.backoff.tries, "error", m.Cause)
	}
}

// replicaEnded notes a replica whose actor ended without a word.
func (b *brokerActor) replicaEnded(ctx actor.Context, m *replicaEnded) {
	r := b.replicas[m.Key]
	if b.state == brokerRunning && r != nil && r.spec.id.ReplicaID == m.Replica && r.pid == nil && r.err == nil {
		b.replicaDown(ctx, &replicaDown{Key: m.Key, Replica: m.Replica, Cause: m.Cause, Fault: replica.PanicFault(m.Cause)})
	}
}

// replicaUp forgets that a replica was down, unless that may have to be counted.
func (b *brokerActor) replicaUp(ctx actor.Context, m *replicaUp) {
	if d := b.down[m.Key]; d != nil && !d.cameUp(b.env.now()) {
		delete(b.down, m.Key)
	}
	ctx.Send(b.parent, m)
}

// cameUp reports whether the next fault may be the same story: another panic,
// or damage that nobody finds who looks for it, as a failing disk or memory
// shows it. Without a pause such a replica would be mended and opened for ever.
func (d *downReplica) cameUp(now time.Time) (again bool) {
	d.mend, d.retryAt = nil, time.Time{}
	d.backoff.works(now)
	return d.fault == replica.FaultPanic || d.fault == replica.FaultDamage && d.nothingFound
}

func (d *downReplica) wentDown(now time.Time, fault replica.Fault) {
	if d.backoff.failed(now) {
		d.nothingFound = false
	}
	d.fault = fault
}

// tryAgain opens, creates or mends what is due. A tick calls it.
func (b *brokerActor) tryAgain(ctx actor.Context) {
	if len(b.down) == 0 {
		return
	}
	now := b.env.now()
	for key, d := range b.down {
		r := b.replicas[key]
		switch {
		case r == nil || r.spec.id.ReplicaID != d.replica:
			delete(b.down, key)
		case d.retryAt.IsZero() || now.Before(d.retryAt) || r.pid != nil || b.busy[r.spec.dir] != nil:
		case d.mend != nil:
			b.startMending(ctx, key, d)
		case d.fault.Transient():
			d.retryAt = time.Time{}
			delete(b.replicas, key)
			b.ensure(ctx, []partitionSpec{r.spec})
		}
	}
}

// mendReplica mends a damaged replica as soon as its actor has ended. Asked
// while that is under way it changes nothing, and after a failure it tries at
// once.
func (b *brokerActor) mendReplica(ctx actor.Context, m *mendReplica) {
	d, r := b.down[m.Key], b.replicas[m.Key]
	if b.state != brokerRunning || d == nil || r == nil || d.replica != m.Replica || d.fault != replica.FaultDamage || d.job != nil ||
		d.backoff.isWorking() {
		return
	}
	d.mend = m
	switch {
	case !d.nothingFound:
		d.retryAt = b.env.now()
	case d.retryAt.IsZero(): // it opens no better for being looked at again
		d.schedule(b.env.now())
	}
	b.tryAgain(ctx)
}

func (b *brokerActor) startMending(ctx actor.Context, key protocol.PartitionID, d *downReplica) {
	r := b.replicas[key]
	job, work := newMendJob(b.env, r.spec, b.id, d.mend.Lenders, b.links)
	d.job, d.retryAt = job, time.Time{}
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
	d, r := b.down[key], b.replicas[key]
	if d != nil && d.job == m.job {
		d.job, d.nothingFound = nil, m.err == nil && !m.found
		switch {
		case b.state != brokerRunning || r == nil || r.spec.id.ReplicaID != d.replica:
			delete(b.down, key)
		case m.err != nil:
			b.log.Error("damaged replica cannot be mended; if the others are gone for good, see '"+datadir.RepairCommand+"'", "topic", r.spec.id.Topic, "partition", key.Partition, "error", m.err)
			d.schedule(b.env.now())
			ctx.Send(b.parent, &mendFailed{Key: key, Replica: d.replica, Cause: m.err})
		default:
			if m.found {
				b.log.Warn("damaged replica is mended", "topic", r.spec.id.Topic, "partition", key.Partition)
			} else {
				b.env.stats.damageNotFound.Add(1)
				b.log.Warn("damage is not found again, the replica is opened as it is; next time after a pause",
					"topic", r.spec.id.Topic, "partition", key.Partition, "tries", d.backoff.tries)
			}
			d.mend, d.retryAt, r.err = nil, time.Time{}, nil
			b.spawn(ctx, r)
		}
	}
	b.free(ctx, m.job.spec.dir)
	b.continueStop(ctx)
}

// framesLent hands an answer to the goroutine that waits for it, or drops one
// that comes too late.
func (b *brokerActor) framesLent(m *framesLent) {
	if d := b.down[m.Key]; d != nil && d.job != nil {
		select {
		case d.job.answers <- m:
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
	for key := range b.down {
		b.endMending(key)
	}
}

// endMending ends what mends a directory that is to go.
func (b *brokerActor) endMending(key protocol.PartitionID) {
	if d := b.down[key]; d != nil && d.job != nil {
		d.job.cancel()
	}
}
