package actors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// replicaDir is where a replica's log stands.
func (b *brokerActor) replicaDir(topic string, partition int) string {
	return filepath.Join(b.dir, topic+"-"+strconv.Itoa(partition))
}

// ensure opens replicas that the ledger has, creates those it has never had,
// and passes on what is new about those that run.
func (b *brokerActor) ensure(ctx actor.Context, specs []partitionSpec) {
	if b.state != brokerRunning {
		return
	}
	var fresh []partitionSpec
	for _, spec := range specs {
		spec.dir = b.replicaDir(spec.id.Topic, spec.id.Partition)
		spec.clusterPID = b.parent
		key := spec.key()
		if r := b.replicas[key]; r != nil && r.spec.id.ReplicaID == spec.id.ReplicaID {
			r.spec.want, r.spec.settings = spec.want, spec.settings
			if r.pid != nil {
				ctx.Send(r.pid, &placementChanged{Want: spec.want, Settings: spec.settings})
			}
			continue
		}
		held, ok := b.ledger.live(key.TopicID, key.Partition)
		if ok && held.ReplicaID == spec.id.ReplicaID {
			b.replicas[key] = &localReplica{spec: spec}
			b.spawn(ctx, b.replicas[key])
			continue
		}
		if err := b.retire(ctx, key, spec); err != nil {
			b.log.Error("replica cannot be replaced", "topic", spec.id.Topic, "partition", spec.id.Partition, "error", err)
			continue
		}
		b.replicas[key] = &localReplica{spec: spec}
		fresh = append(fresh, spec)
	}
	b.createAll(ctx, fresh)
}

// retire ends the replica whose place another one takes: its id never comes
// back, its directory is put aside.
func (b *brokerActor) retire(ctx actor.Context, key partitionKey, spec partitionSpec) error {
	if old := b.replicas[key]; old != nil && old.pid != nil {
		ctx.Stop(old.pid)
	}
	delete(b.replicas, key)
	held, ok := b.ledger.live(key.TopicID, key.Partition)
	if !ok {
		return nil
	}
	if err := b.ledger.mark(replicaLost, held.key()); err != nil {
		return err
	}
	return putReplicaAside(b.env, spec.dir, held.ReplicaID)
}

// putReplicaAside keeps a damaged or outdated replica's files for people.
func putReplicaAside(env *environment, dir string, id uint64) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	to := fmt.Sprintf("%s.replaced-%d", dir, id)
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.replaced-%d.%d", dir, id, n)
	}
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("put replica aside: %w", err)
	}
	return env.fs.SyncDir(filepath.Dir(dir))
}

// createAtOnce is how many logs a broker creates at the same time: their syncs
// share the journal's commits.
const createAtOnce = 16

// createAll makes first logs beside the mailbox, because each takes several
// syncs; logsCreated comes back.
func (b *brokerActor) createAll(ctx actor.Context, specs []partitionSpec) {
	if len(specs) == 0 {
		return
	}
	env, self := b.env, ctx.Self()
	go func() {
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
	}()
}

// logsCreated enters new replicas in the ledger, in one write, and only then
// lets them run: a replica that has voted is one the ledger knows.
func (b *brokerActor) logsCreated(ctx actor.Context, m *logsCreated) {
	var entries []ledgerReplica
	var ready []*localReplica
	for i, spec := range m.Specs {
		r := b.replicas[spec.key()]
		if r == nil || r.spec.id.ReplicaID != spec.id.ReplicaID || b.state != brokerRunning {
			continue // dropped, or stopped, meanwhile
		}
		if m.Errs[i] != nil {
			b.createFailed(ctx, r, m.Errs[i])
			continue
		}
		ready = append(ready, r)
		entries = append(entries, ledgerReplica{
			TopicID: spec.id.TopicID, Topic: spec.id.Topic, Partition: spec.id.Partition, ReplicaID: spec.id.ReplicaID,
		})
	}
	if err := b.ledger.add(entries...); err != nil {
		for _, r := range ready {
			b.createFailed(ctx, r, err)
		}
		return
	}
	for _, r := range ready {
		b.spawn(ctx, r)
	}
}

func (b *brokerActor) createFailed(ctx actor.Context, r *localReplica, err error) {
	r.err = err
	b.log.Error("replica cannot be created", "topic", r.spec.id.Topic, "partition", r.spec.id.Partition, "error", err)
	ctx.Send(b.parent, &replicaDown{Key: r.spec.key(), Replica: r.spec.id.ReplicaID, Cause: err})
}

// drop removes every replica of a deleted topic. The directories lose their
// names at once, so that a topic of the same name can be created, and their
// content on a goroutine.
func (b *brokerActor) drop(ctx actor.Context, topicID string) {
	if b.state != brokerRunning {
		return
	}
	var keys []replicaKey
	var dirs []string
	for _, r := range b.ledger.replicas() {
		if r.TopicID != topicID {
			continue
		}
		key := partitionKey{TopicID: topicID, Partition: r.Partition}
		if local := b.replicas[key]; local != nil && local.pid != nil {
			ctx.Stop(local.pid)
		}
		delete(b.replicas, key)
		keys = append(keys, r.key())
		if r.State == replicaLost {
			continue // its directory was put aside
		}
		dir := b.replicaDir(r.Topic, r.Partition)
		dirs = append(dirs, fmt.Sprintf("%s.deleted-%s", dir, topicID))
		if r.State == replicaLive {
			b.renameDeleted(dir, dirs[len(dirs)-1])
		}
	}
	for key := range b.replicas { // being created: not in the ledger yet
		if key.TopicID == topicID {
			delete(b.replicas, key)
		}
	}
	err := b.ledger.mark(replicaDeleted, keys...)
	env, self, id := b.env, ctx.Self(), b.id
	go func() {
		errs := []error{err}
		for _, dir := range dirs {
			errs = append(errs, durable{}.removeAll(dir))
		}
		env.system.Root.Send(self, &topicDropped{Broker: id, TopicID: topicID, Err: errors.Join(errs...)})
	}()
}

func (b *brokerActor) renameDeleted(from, to string) {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		b.log.Error("rename deleted replica", "directory", from, "error", err)
	}
}

// dropped forgets a deleted topic's replicas once their files are gone.
func (b *brokerActor) dropped(ctx actor.Context, m *topicDropped) {
	if m.Err == nil && b.state == brokerRunning {
		var keys []replicaKey
		for _, r := range b.ledger.replicas() {
			if r.TopicID == m.TopicID {
				keys = append(keys, r.key())
			}
		}
		m.Err = b.ledger.remove(keys...)
	}
	if m.Err != nil {
		b.log.Error("remove deleted topic", "topic_id", m.TopicID, "error", m.Err)
	}
	ctx.Send(b.parent, m)
}
