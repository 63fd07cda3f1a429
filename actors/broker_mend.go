package actors

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"ottla/actors/datadir"
	"ottla/actors/mending"
	"ottla/actors/remedy"
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
		job   *mending.Job
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

// downReplica is what a broker remembers of a replica that does not run although
// it should. It is kept while the replica runs again if another fault of the same
// kind must be counted with the earlier ones.
type downReplica struct {
	remedy.Retry
	replica uint64

	mend    *mendReplica // the request to mend it, nil if there was none
	job     *mending.Job // the mending under way, nil if none is
	refused string       // why the last mending failed, "" if none has
}

// replicaDown handles a replica that cannot go on, and schedules another try if its fault may
// pass. The cluster is told of all of them: it decides on those that need other replicas.
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
	d.Down(b.env.now(), m.Fault)
	if d.Fault.Transient() {
		d.Schedule(b.env.now())
	}
	if d.Fault == replica.FaultPanic && d.At.IsZero() {
		b.log.Error("replica is given up until its broker starts again", "topic", r.spec.id.Topic,
			"partition", m.Key.Partition, "tries", d.Backoff.Tries, "error", m.Cause)
	}
}

// replicaEnded handles a replica whose actor ended without saying why, which only
// a panic does.
func (b *brokerActor) replicaEnded(ctx actor.Context, m *replicaEnded) {
	r := b.replicas[m.Key]
	// With an err it has said why after all, and that message has been handled before this
	// one.
	if b.state == brokerRunning && r != nil && r.spec.id.ReplicaID == m.Replica && r.pid == nil && r.err == nil {
		b.replicaDown(ctx, &replicaDown{Key: m.Key, Replica: m.Replica, Cause: m.Cause, Fault: replica.PanicFault(m.Cause)})
	}
}

// replicaUp forgets the faults of a replica that runs again, unless another one
// must be counted with them.
func (b *brokerActor) replicaUp(ctx actor.Context, m *replicaUp) {
	if d := b.down[m.Key]; d != nil {
		if d.mend = nil; !d.Up(b.env.now()) {
			delete(b.down, m.Key)
		}
	}
	ctx.Send(b.parent, m)
}

// tryAgain opens, creates or mends the replicas that are due. It is called at
// each tick.
func (b *brokerActor) tryAgain(ctx actor.Context) {
	if len(b.down) == 0 {
		return
	}
	now := b.env.now()
	// A replica is left alone until its actor has ended and nothing else is in its directory:
	// two that have the same files open would each take the other's writes for damage.
	for key, d := range b.down {
		r := b.replicas[key]
		switch {
		case r == nil || r.spec.id.ReplicaID != d.replica:
			delete(b.down, key)
		case d.At.IsZero() || now.Before(d.At) || r.pid != nil || b.busy[r.spec.dir] != nil:
		case d.mend != nil:
			b.startMending(ctx, key, d)
		case d.Fault.Transient():
			d.At = time.Time{}
			delete(b.replicas, key)
			b.ensure(ctx, []partitionSpec{r.spec})
		}
	}
}

// mendReplica mends a damaged replica as soon as its actor has ended. It does
// nothing while a mending is under way, and tries at once after one that failed:
// the cluster asks again when circumstances have changed.
func (b *brokerActor) mendReplica(ctx actor.Context, m *mendReplica) {
	d, r := b.down[m.Key], b.replicas[m.Key]
	if b.state != brokerRunning || d == nil || r == nil || d.replica != m.Replica || d.Fault != replica.FaultDamage || d.job != nil ||
		d.Backoff.Working() {
		return
	}
	d.mend = m
	d.Mend(b.env.now())
	b.tryAgain(ctx)
}

// startMending mends on a goroutine: it reads and writes whole segments and waits for other
// brokers. The directory is busy until mendEnded, so nobody opens, moves or removes it.
func (b *brokerActor) startMending(ctx actor.Context, key protocol.PartitionID, d *downReplica) {
	r := b.replicas[key]
	links, root := b.links, ctx.ActorSystem().Root
	job := mending.NewJob(mending.Patient{
		FS: b.env.fs, Dir: r.spec.dir, Identity: r.spec.id, Log: r.spec.logOptions(b.env), Broker: b.id, Lenders: d.mend.Lenders,
		Tell: func(broker int, message any) { links.TellBroker(root, broker, message) },
	}, b.env.background.Pace)
	d.job, d.At = job, time.Time{}
	b.busy[r.spec.dir] = &busyDirectory{}
	level := slog.LevelInfo
	if d.refused != "" { // it is tried for as long as it takes, and was told
		level = slog.LevelDebug
	}
	b.log.Log(context.Background(), level, "mending a damaged replica", "topic", r.spec.id.Topic, "partition", key.Partition)
	self := ctx.Self()
	b.work.Go(func() {
		found, err := job.Run()
		root.Send(self, &mendEnded{job, found, err})
	})
}

// mendEnded opens a replica that was mended, or plans another try. Whatever the outcome, the
// directory is free afterwards, and a stop that waited for it goes on.
func (b *brokerActor) mendEnded(ctx actor.Context, m *mendEnded) {
	m.job.Cancel()
	of := m.job.Of()
	key := protocol.PartitionID{TopicID: of.Identity.TopicID, Partition: of.Identity.Partition}
	d, r := b.down[key], b.replicas[key]
	if d != nil && d.job == m.job {
		d.job, d.NothingFound = nil, m.err == nil && !m.found
		switch {
		// The broker stops, or the replica was replaced or dropped. Whatever the job found,
		// nothing is to be opened now.
		case b.state != brokerRunning || r == nil || r.spec.id.ReplicaID != d.replica:
			delete(b.down, key)
		case m.err != nil:
			if d.refused != m.err.Error() { // once for each cause
				text := "damaged replica cannot be mended now and is tried again"
				if mending.LacksCopies(m.err) {
					text += "; if its other copies are gone for good, see '" + datadir.RepairCommand + "'"
				}
				b.log.Error(text, "topic", r.spec.id.Topic, "partition", key.Partition, "error", m.err)
			}
			d.refused = m.err.Error()
			d.Schedule(b.env.now())
			ctx.Send(b.parent, &mendFailed{Key: key, Replica: d.replica, Cause: m.err})
		default:
			if m.found {
				b.log.Warn("damaged replica is mended", "topic", r.spec.id.Topic, "partition", key.Partition)
			} else {
				b.env.stats.DamageNotFound.Add(1)
				b.log.Warn("no damage was found; the replica is opened as it is, and after a pause if damage is reported again",
					"topic", r.spec.id.Topic, "partition", key.Partition, "tries", d.Backoff.Tries)
			}
			d.mend, d.At, d.refused, r.err = nil, time.Time{}, "", nil
			b.spawn(ctx, r)
		}
	}
	b.free(ctx, of.Dir)
	b.continueStop(ctx)
}

// framesLent hands an answer to the goroutine that waits for it. An answer that
// comes too late is dropped.
func (b *brokerActor) framesLent(m *mending.Lent) {
	if d := b.down[m.Key]; d != nil && d.job != nil {
		d.job.Answer(m)
	}
}

// framesAsked answers out of this broker's copy. A replica that runs answers by
// itself.
func (b *brokerActor) framesAsked(ctx actor.Context, m *mending.Asked) {
	r := b.replicas[m.Key]
	if r != nil && r.pid != nil {
		ctx.Send(r.pid, m)
		return
	}
	if r == nil || b.state != brokerRunning {
		b.links.TellBroker(ctx, m.From, &mending.Lent{From: m.To, Key: m.Key, Seq: m.Seq, Err: "has no copy in use"})
		return
	}
	copies := mending.Aside(r.spec.dir)
	// The broker that mends asks itself too, for what stands in the directories put aside. Its
	// own log is what is damaged, and is no lender.
	if m.From != b.id || m.Want.Parts != nil { // of its own parts some may be sound
		copies = append([]mending.Copy{{Path: r.spec.dir, Openings: b.openingsOf(r.spec.dir)}}, copies...)
	}
	fs, links, root := b.env.fs, b.links, ctx.ActorSystem().Root
	b.work.Go(func() { links.TellBroker(root, m.From, mending.Lend(fs, m, r.spec.id, copies, nil)) })
}

// openingsOf counts how often a replica's directory was opened, created or moved.
func (b *brokerActor) openingsOf(dir string) *atomic.Uint64 {
	if b.openings == nil {
		b.openings = map[string]*atomic.Uint64{}
	}
	if b.openings[dir] == nil {
		b.openings[dir] = new(atomic.Uint64)
	}
	return b.openings[dir]
}

func (b *brokerActor) endAllMending() {
	for key := range b.down {
		b.endMending(key)
	}
}

// endMending ends the mending of a replica whose directory is about to go.
func (b *brokerActor) endMending(key protocol.PartitionID) {
	if d := b.down[key]; d != nil && d.job != nil {
		d.job.Cancel()
	}
}
