package actors

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"ottla/actors/datadir"
	"ottla/actors/replica"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
)

// replicaDir is the directory of a replica's log.
func (b *brokerActor) replicaDir(topic string, partition int) string {
	return filepath.Join(b.dir, topic+"-"+strconv.Itoa(partition))
}

// ensure opens the replicas that the ledger has, creates those that it has never had, and
// tells those that run what has changed.
//
// Whether a replica is opened or created is decided by the ledger, never by the directory. One
// that the ledger has may have voted and acknowledged entries. If its files are gone it must
// not begin anew under its id with an empty log, which could elect a leader that lacks what
// was acknowledged: opening it fails, and it gets a successor.
func (b *brokerActor) ensure(ctx actor.Context, specs []partitionSpec) {
	if b.state != brokerRunning {
		return
	}
	var fresh []partitionSpec
	for _, spec := range specs {
		spec.dir = b.replicaDir(spec.id.Topic, spec.id.Partition)
		spec.clusterPID = b.parent
		key := spec.key()
		r := b.replicas[key]
		if r != nil && r.spec.id.ReplicaID == spec.id.ReplicaID {
			restored := r.spec.restoring && !spec.restoring
			r.spec.want, r.spec.replacing, r.spec.settings, r.spec.restoring = spec.want, spec.replacing, spec.settings, spec.restoring
			if r.pid != nil {
				ctx.Send(r.pid, &placementChanged{Want: spec.want, Replacing: spec.replacing, Settings: spec.settings, Restored: restored})
			}
			continue
		}
		// Another replica of the same partition: the one that runs here was replaced, or its
		// move was called off and the former one is wanted again.
		if r != nil {
			b.end(ctx, key, r)
		}
		if b.postponed(spec) {
			continue
		}
		held, ok := b.ledger.Live(key.TopicID, key.Partition)
		if ok && held.ReplicaID == spec.id.ReplicaID {
			b.replicas[key] = &localReplica{spec: spec}
			b.spawn(ctx, b.replicas[key])
			continue
		}
		if err := b.retire(spec); err != nil {
			b.log.Error("replica cannot be replaced", "topic", spec.id.Topic, "partition", spec.id.Partition, "error", err)
			continue
		}
		b.replicas[key] = &localReplica{spec: spec}
		fresh = append(fresh, spec)
	}
	b.createAll(ctx, fresh)
}

// busyDirectory is a replica's directory in which something is still at work: an actor that
// was told to end, or a goroutine that creates a first log. All of it must be over before
// another replica, perhaps of another topic with the same name, may use the path. All that
// waits does so here, in this actor's memory; after a crash nothing is at work, and the ledger
// says what is to be done.
type busyDirectory struct {
	pid   *actor.PID // the actor that ends; nil: a log is being created or mended
	then  []func(actor.Context)
	wants []partitionSpec // replicas that wait for the directory
}

// free starts what waited for a directory. It is no longer busy before that: a function or a
// replica may make it busy again. Removals go first, because who wants the path finds it in
// the way otherwise.
func (b *brokerActor) free(ctx actor.Context, dir string) {
	busy := b.busy[dir]
	delete(b.busy, dir)
	for _, then := range busy.then {
		then(ctx)
	}
	b.ensure(ctx, busy.wants)
}

// end ends a replica's actor. Its directory is busy until the actor has ended.
func (b *brokerActor) end(ctx actor.Context, key protocol.PartitionID, r *localReplica) {
	b.endMending(key)
	delete(b.replicas, key)
	if r.pid != nil {
		b.busy[r.spec.dir] = &busyDirectory{pid: r.pid}
		ctx.Poison(r.pid) // what is in its mailbox wants an answer
	}
}

// postponed reports whether a replica's directory is busy. If it is, the replica
// is opened or created once the directory is free.
func (b *brokerActor) postponed(spec partitionSpec) bool {
	busy := b.busy[spec.dir]
	if busy == nil {
		return false
	}
	busy.wants = append(busy.wants, spec)
	return true
}

// retire gives up the replica that another one replaces: its id is never used
// again, and its directory is put aside. Its actor has ended.
func (b *brokerActor) retire(spec partitionSpec) error {
	held, ok := b.ledger.Live(spec.id.TopicID, spec.id.Partition)
	if !ok {
		return nil
	}
	// The ledger comes before the files. A crash in between leaves a directory under a path
	// that is wanted, and no id that could be opened from it; the other way round the next
	// start would look for files that were moved away, and report them missing.
	if err := b.ledger.Mark(datadir.ReplicaLost, held.Key()); err != nil {
		return err
	}
	b.openingsOf(spec.dir).Add(1)
	return replica.PutAside(b.env.fs, spec.dir, held.ReplicaID)
}

// createAtOnce is how many logs a broker creates at the same time: their syncs
// share the journal's commits.
const createAtOnce = 16

// createAll creates first logs on a goroutine, because each takes several syncs.
// logsCreated brings the result.
func (b *brokerActor) createAll(ctx actor.Context, specs []partitionSpec) {
	if len(specs) == 0 {
		return
	}
	for i := range specs {
		b.busy[specs[i].dir] = &busyDirectory{}
		b.openingsOf(specs[i].dir).Add(1)
	}
	env, self := b.env, ctx.Self()
	b.work.Go(func() {
		m := &logsCreated{Specs: specs, Errs: make([]error, len(specs))}
		var creating sync.WaitGroup
		slots := make(chan struct{}, createAtOnce)
		for i := range specs {
			slots <- struct{}{}
			creating.Go(func() {
				m.Errs[i] = specs[i].create(env)
				<-slots
			})
		}
		creating.Wait()
		env.system.Root.Send(self, m)
	})
}

// logsCreated enters new replicas in the ledger, in one write, and only then
// starts them: the ledger must know every replica that may have voted. Replicas
// that are not wanted any more are entered too, because their directories exist.
func (b *brokerActor) logsCreated(ctx actor.Context, m *logsCreated) {
	var entries []datadir.Replica
	for i, spec := range m.Specs {
		if m.Errs[i] == nil {
			entries = append(entries, datadir.Replica{
				TopicID: spec.id.TopicID, Topic: spec.id.Topic, Partition: spec.id.Partition, ReplicaID: spec.id.ReplicaID,
			})
		}
	}
	err := b.ledger.Add(entries...)
	for i, spec := range m.Specs {
		r := b.replicas[spec.key()]
		if r == nil || r.spec.id.ReplicaID != spec.id.ReplicaID || b.state != brokerRunning {
			continue // dropped, replaced or stopped meanwhile
		}
		if failed := cmp.Or(m.Errs[i], err); failed != nil {
			b.createFailed(ctx, r, failed)
			continue
		}
		b.spawn(ctx, r)
	}
	for i := range m.Specs {
		b.free(ctx, m.Specs[i].dir)
	}
	b.continueStop(ctx)
}

func (b *brokerActor) createFailed(ctx actor.Context, r *localReplica, err error) {
	b.log.Error("replica cannot be created", "topic", r.spec.id.Topic, "partition", r.spec.id.Partition, "error", err)
	b.replicaDown(ctx, &replicaDown{Key: r.spec.key(), Replica: r.spec.id.ReplicaID, Cause: err, Fault: replica.OpenFault(err)})
}

// release ends a replica that is elsewhere now, and removes its files. It does so only if the
// ledger has that very replica: the message may be late, and another one may have come to this
// place since.
func (b *brokerActor) release(ctx actor.Context, m *releaseReplica) {
	if b.state != brokerRunning {
		return // asked again after the next start
	}
	held, ok := b.ledger.Live(m.Key.TopicID, m.Key.Partition)
	if !ok || held.ReplicaID != m.Replica {
		return
	}
	for _, busy := range b.busy {
		busy.wants = slices.DeleteFunc(busy.wants, func(s partitionSpec) bool { return s.id.ReplicaID == m.Replica && s.key() == m.Key })
	}
	// Renamed at once to free the path, and removed on a goroutine, as a large log takes long.
	// A crash before the mark is harmless, unlike in retire: nobody wants this replica, so
	// none looks for its files, and the release is asked for again.
	remove := func(ctx actor.Context) {
		if b.state != brokerRunning || b.replicas[m.Key] != nil {
			return
		}
		b.renameDeleted(b.replicaDir(held.Topic, held.Partition), filepath.Join(b.dir, held.MovedDir()))
		b.log.Info("replica is at another broker or node now", "topic", held.Topic, "partition", held.Partition, "replica", m.Replica)
		b.removeMoved(ctx, held, b.ledger.Mark(datadir.ReplicaDeleted, held.Key()))
	}
	if r := b.replicas[m.Key]; r != nil {
		b.end(ctx, m.Key, r)
	}
	if busy := b.busy[b.replicaDir(held.Topic, held.Partition)]; busy != nil {
		busy.then = append(busy.then, remove)
		return
	}
	remove(ctx)
}

// removeMoved removes the files of a replica that is marked, unless err says that it is not.
func (b *brokerActor) removeMoved(ctx actor.Context, r datadir.Replica, err error) {
	gone, system, self := filepath.Join(b.dir, r.MovedDir()), b.env.system, ctx.Self()
	b.work.Go(func() {
		system.Root.Send(self, &released{keys: []protocol.ReplicaID{r.Key()}, err: errors.Join(err, datadir.RemoveDir(gone))})
	})
}

// released takes a replica out of the ledger once its files are removed. One of which
// they cannot be is given up: it is marked, and never opened again.
func (b *brokerActor) released(m *released) {
	if m.err == nil && b.state == brokerRunning {
		m.err = b.ledger.Remove(m.keys...)
	}
	if m.err != nil {
		b.log.Error("remove a replica that has moved", "error", m.err)
	}
}

// drop ends every replica of a deleted topic, and then removes their files. Replicas that only
// wait for their directory are forgotten: made afterwards, nobody would ever remove them.
func (b *brokerActor) drop(ctx actor.Context, topicID string) {
	if b.state != brokerRunning {
		return
	}
	for _, busy := range b.busy {
		busy.wants = slices.DeleteFunc(busy.wants, func(s partitionSpec) bool { return s.id.TopicID == topicID })
	}
	waiting := 0
	over := func(ctx actor.Context) {
		if waiting--; waiting == 0 {
			b.dropFiles(ctx, topicID)
		}
	}
	for key, r := range b.replicas {
		if key.TopicID != topicID {
			continue
		}
		b.end(ctx, key, r)
		if busy := b.busy[r.spec.dir]; busy != nil {
			waiting++
			busy.then = append(busy.then, over)
		}
	}
	if waiting == 0 {
		b.dropFiles(ctx, topicID)
	}
}

// dropFiles removes a deleted topic's files. The directories are renamed at once,
// so that a topic of the same name can be created, and removed on a goroutine.
func (b *brokerActor) dropFiles(ctx actor.Context, topicID string) {
	if b.state != brokerRunning {
		return // asked again after the next start
	}
	taken := map[string]bool{} // by a new topic of the same name, if an earlier try got half way
	for _, r := range b.replicas {
		taken[r.spec.dir] = true
	}
	var keys []protocol.ReplicaID
	var dirs []string
	for _, r := range b.ledger.Replicas() {
		if r.TopicID != topicID {
			continue
		}
		keys = append(keys, r.Key())
		if r.State == datadir.ReplicaLost {
			continue // its directory was put aside
		}
		dir := b.replicaDir(r.Topic, r.Partition)
		dirs = append(dirs, fmt.Sprintf("%s.deleted-%s", dir, topicID))
		if r.State == datadir.ReplicaLive && !taken[dir] {
			b.renameDeleted(dir, dirs[len(dirs)-1])
		}
	}
	err := b.ledger.Mark(datadir.ReplicaDeleted, keys...)
	env, self, id := b.env, ctx.Self(), b.id
	b.work.Go(func() {
		errs := []error{err}
		for _, dir := range dirs {
			errs = append(errs, datadir.RemoveDir(dir))
		}
		env.system.Root.Send(self, &topicDropped{Broker: id, TopicID: topicID, Err: errors.Join(errs...)})
	})
}

func (b *brokerActor) renameDeleted(from, to string) {
	b.openingsOf(from).Add(1)
	delete(b.openings, from)
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.log.Error("rename deleted replica", "directory", from, "error", err)
	}
}

// dropped takes a deleted topic's replicas out of the ledger once their files
// have been removed.
func (b *brokerActor) dropped(ctx actor.Context, m *topicDropped) {
	if m.Err == nil && b.state == brokerRunning {
		var keys []protocol.ReplicaID
		for _, r := range b.ledger.Replicas() {
			if r.TopicID == m.TopicID {
				keys = append(keys, r.Key())
			}
		}
		m.Err = b.ledger.Remove(keys...)
	}
	if m.Err != nil {
		b.log.Error("remove deleted topic", "topic_id", m.TopicID, "error", m.Err)
	}
	ctx.Send(b.parent, m)
}
