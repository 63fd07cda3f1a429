package coordinator

import (
	"log/slog"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/logfile"
	"ottla/protocol"
)

// Coordinator is what a replica of a __consumer_offsets partition adds to a
// partition: the newest record per key of every group, kept on all replicas,
// and, on the leader, an actor per group that somebody asked for. A group's
// actor begins with these records, which is what a replay of the compacted log
// would give it, and then runs ahead of the log: see groupActor.
//
// It belongs to its partition's actor and shares its goroutine.
//
// On a follower only groups is alive. All else is of one term of leadership. A group's actor
// must never outlive the leadership in which it decided, because what it decided may not be
// in the log.
type Coordinator struct {
	host      Host
	env       *Env
	log       *slog.Logger
	clusterID string
	partition int // of __consumer_offsets

	term      uint64
	ledTicks  int           // ticks of leading
	wakeTicks int           // likewise, as wake counts them
	grace     time.Duration // for how long it leads before unused groups expire
	groups    map[string]*group.Kept
	queuesUp  bool                  // the actors of all queues were started since it leads
	counted   int                   // one more than the number of groups that the node was told of; 0: none since it leads
	running   map[string]*actor.PID // groups' actors, by name; only while leading
	actors    map[string]ranActor   // of running, by PID id
	classic   map[string]struct{}   // of running, those with members that speak Kafka's protocol
	coming    map[string]struct{}   // of running, those that were let in and have no record yet
	asleep    []string              // groups that wake is to start
	unclear   map[string]uint64     // by group: the number of proposals that must be answered before its next actor starts

	polls protocol.Counter // numbers them

	groupProps *actor.Props // of groups' actors
	queueProps *actor.Props // of those that are queues
	spawning   *groupActor  // the one that they make
}

// ranActor is what is known of a group's actor when it has ended.
type ranActor struct {
	group string
	run   *ProposalRun
}

// Host is what a coordinator needs of the partition that it belongs to. Its methods are
// called on the partition's goroutine.
type Host interface {
	// Serves reports whether the partition's replica leads and serves.
	Serves() bool
	// Direct has clients ask a group's actor without the partition; nil: not any more. The
	// end of a leadership ends it for all groups.
	Direct(group string, to *actor.PID)
	// ProposalsAccepted and ProposalsAnswered are those of replica.Replica.
	ProposalsAccepted() (n uint64, ok bool)
	ProposalsAnswered(upTo uint64) bool
}

// New makes the coordinator of a partition, before any record is applied.
func New(host Host, env *Env, log *slog.Logger, id logfile.Identity) *Coordinator {
	c := &Coordinator{
		host: host, env: env, log: log, clusterID: id.ClusterID, partition: id.Partition, groups: map[string]*group.Kept{},
		running: map[string]*actor.PID{}, actors: map[string]ranActor{}, unclear: map[string]uint64{}, classic: map[string]struct{}{},
		coming: map[string]struct{}{},
	}
	producer := func() actor.Actor { return c.spawning }
	c.groupProps = supervise.Props(log, producer, actor.WithMailbox(supervise.Answering(log, supervise.Inline())))
	// A queue has more to do for a message, and the partition would wait for it.
	c.queueProps = supervise.Props(log, producer, actor.WithMailbox(supervise.Answering(log, actor.UnboundedLockfree())))
	return c
}

// Receive handles the messages of a coordinator; false for any other. A
// partition of another topic has none, c is nil then, and refuses.
func (c *Coordinator) Receive(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *routing.GroupRequest:
		if !c.serves() {
			m.Refuse(protocol.ErrNotLeader)
			return true
		}
		c.request(ctx, m)
	case *groupFailed:
		c.failed(ctx, m.PID)
	case *classicLives:
		c.classicLives(m)
	case *TopicsGone:
		if c.serves() { // else the next leader is told when it leads
			c.topicsGone(ctx, m)
		}
	case *routing.ListGroups:
		if !c.serves() {
			m.Refuse(protocol.ErrNotLeader)
			return true
		}
		m.Reply.Put(c.list(m.Consumer))
	case *KeptRecords:
		m.Reply.Put(c.kept())
	default:
		return false
	}
	return true
}

func (c *Coordinator) serves() bool { return c != nil && c.host.Serves() }

// Apply follows the committed records. A record that cannot be read is passed over and
// logged: the partition goes on for all other groups.
func (c *Coordinator) Apply(records []logfile.Record) {
	for i := range records {
		rec, err := group.ParseRecord(records[i].Key, records[i].Value, records[i].Action)
		if err != nil {
			c.log.Error("group record cannot be applied", "offset", records[i].Offset, "error", err)
			continue
		}
		name, err := group.NameOfKey(rec.Key)
		if err != nil {
			c.log.Error("group record cannot be applied", "offset", records[i].Offset, "error", err)
			continue
		}
		c.keep(name, rec)
	}
	c.countGroups()
}

// Restore begins anew with compacted records. They are all that is left of the log up to an
// offset, so what is not among them has been deleted.
func (c *Coordinator) Restore(records []logfile.Record, _ int64) {
	clear(c.groups)
	c.Apply(records)
}

// keep notes a committed record of a group. A group that has one is let in for good.
func (c *Coordinator) keep(name []byte, rec metarecord.Record) {
	kept := c.groups[string(name)]
	isNew := kept == nil
	if isNew {
		kept = &group.Kept{}
		c.groups[string(name)] = kept
	}
	kept.Set(rec)
	if kept.Empty() {
		delete(c.groups, string(name))
	}
	if isNew || kept.Empty() || isQueueKey(rec.Key) {
		c.direct(string(name))
	}
	if len(c.coming) > 0 {
		delete(c.coming, string(name))
	}
}

// direct has clients ask a group's actor themselves, or not any more. It may be asked so
// while request would do nothing but hand on what comes: where the group is let in for
// good. The actors of queues run on goroutines of their own anyway.
func (c *Coordinator) direct(name string) {
	pid, kept := c.running[name], c.groups[name]
	if pid == nil && !c.serves() {
		return
	}
	if kept == nil || kept.IsQueue() {
		pid = nil
	}
	c.host.Direct(name, pid)
}

// Lead says that the partition's replica leads in a term, and serves. Of groups with actors
// there are none: Resign has ended those of an earlier term.
func (c *Coordinator) Lead(term uint64) {
	c.term, c.ledTicks, c.counted, c.queuesUp = term, 0, 0, false
	c.wakeTicks, c.asleep = 0, nil
	c.countGroups()
}

// Resign ends all groups' actors when the replica stops leading: what they have
// decided may never be committed.
func (c *Coordinator) Resign(ctx actor.Context) {
	for _, pid := range c.running {
		// Told first, so that it refuses what is in its mailbox; then it ends behind all of
		// that.
		ctx.Send(pid, &groupResign{})
		ctx.Poison(pid)
	}
	clear(c.running)
	clear(c.actors)
	clear(c.unclear)
	clear(c.classic)
	clear(c.coming)
}

// failed ends a group's actor that cannot go on. It first refuses everything that
// has been sent to it.
func (c *Coordinator) failed(ctx actor.Context, pid *actor.PID) {
	c.Ended(pid)
	ctx.Poison(pid)
}

// Ended forgets a group's actor that has stopped. Its proposals may still be
// committed: until all of them are answered, the records kept here are not what
// its successor may begin with. Those that have not come here yet are refused.
func (c *Coordinator) Ended(pid *actor.PID) {
	if ended, ok := c.actors[pid.Id]; ok {
		name := ended.group
		delete(c.actors, pid.Id)
		// The word of a panic overtakes what the actor proposed last. That is not written any
		// more: its successor may begin without it.
		ended.run.Failed = true
		if cur := c.running[name]; cur != nil && cur.Equal(pid) {
			delete(c.running, name)
			c.direct(name)
			delete(c.coming, name)
			c.queuesUp = false
			delete(c.classic, name)
			// The number is taken now: no proposal of the ended actor has a higher one.
			// Those of other groups that were accepted in between are waited for too, which
			// costs milliseconds.
			if taken, leads := c.host.ProposalsAccepted(); leads {
				c.unclear[name] = taken
			}
		}
	}
}

// clear reports whether everything that a group's former actor proposed has been
// answered.
func (c *Coordinator) clear(group string) bool {
	upTo, known := c.unclear[group]
	if known && !c.host.ProposalsAnswered(upTo) {
		return false
	}
	delete(c.unclear, group)
	return true
}

// request hands a message to its group's actor, and starts that first if need be. Only
// what `creates` names makes a group. While proposals of a former actor are open, clients are
// sent away as if this were not the leader: they ask again after a moment.
func (c *Coordinator) request(ctx actor.Context, m *routing.GroupRequest) {
	pid := c.running[m.Group]
	if pid == nil {
		if !c.clear(m.Group) {
			m.Msg.Refuse(protocol.ErrNotLeader)
			return
		}
		if c.groups[m.Group] == nil && !creates(m.Msg) {
			m.Msg.Refuse(protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", m.Group))
			return
		}
	}
	// Also for an actor that runs: it may have been started by a question that creates
	// nothing.
	if c.groups[m.Group] == nil && creates(m.Msg) {
		if err := c.letIn(m.Group); err != nil {
			m.Msg.Refuse(err)
			return
		}
	}
	if pid == nil {
		_, queue := m.Msg.(*routing.GroupQueue)
		pid = c.spawn(ctx, m.Group, queue)
	}
	ctx.Send(pid, m.Msg)
}

// creates reports whether a question may create its group.
func creates(q routing.Question) bool {
	switch m := q.(type) {
	case *routing.GroupPoll:
		return true
	case *routing.Classic:
		return m.Creates()
	case *routing.GroupQueue:
		return !m.Patch
	case *routing.GroupChange:
		return m.Create
	}
	return false
}

// startQueues starts the actors of all queues: their records have deadlines, whether
// anybody asks or not.
func (c *Coordinator) startQueues(ctx actor.Context) {
	if !c.serves() || c.queuesUp {
		return
	}
	c.queuesUp = true
	for name, kept := range c.groups {
		if c.running[name] == nil && kept.IsQueue() {
			if c.clear(name) {
				c.spawn(ctx, name, true)
			} else {
				c.queuesUp = false
			}
		}
	}
}

// spawn starts a group's actor with the records that are committed now. The props are shared
// by all groups, because making them costs more than the actor: the producer finds the one
// to start in spawning, at once and on this goroutine. Queue says that the group is to be one.
func (c *Coordinator) spawn(ctx actor.Context, group string, queue bool) *actor.PID {
	run := &ProposalRun{Term: c.term}
	c.spawning = &groupActor{
		run: run, env: c.env, log: c.log, name: group, term: c.term,
		clusterID: c.clusterID, partition: c.partition, records: c.groups[group].List(), numbers: &c.polls,
	}
	props := c.groupProps
	if kept := c.groups[group]; queue || kept != nil && kept.IsQueue() {
		props = c.queueProps
	}
	pid := ctx.Spawn(props)
	c.spawning = nil
	c.running[group] = pid
	c.actors[pid.Id] = ranActor{group, run}
	c.direct(group)
	return pid
}

// TopicsGone tells a coordinator that topics were deleted: their offsets and
// subscriptions go.
type TopicsGone struct{ TopicIDs []string }

// Refuse implements routing.Question: the next leader is told when it leads.
func (m *TopicsGone) Refuse(*protocol.Error) {}

// topicsGone asks only groups that mention a topic: else each deletion would start the
// actors of all groups there are.
func (c *Coordinator) topicsGone(ctx actor.Context, m *TopicsGone) {
	for group, kept := range c.groups {
		for _, id := range m.TopicIDs {
			if kept.Mentions(id) {
				c.request(ctx, &routing.GroupRequest{Group: group, Msg: &groupTopicGone{TopicID: id}})
			}
		}
	}
}

// list is the groups there are; with a consumer, those that it is or was in.
func (c *Coordinator) list(consumer protocol.ConsumerID) routing.GroupList {
	var names []string
	for name, kept := range c.groups {
		if consumer == 0 || slices.Contains(kept.Members, consumer) {
			names = append(names, name)
		}
	}
	for name := range c.classic {
		if consumer == 0 && c.groups[name] == nil {
			names = append(names, name)
		}
	}
	return routing.GroupList{Groups: names}
}

// classicLives notes whether a group has members of Kafka's. The message may come from an
// actor that has ended since; its successor says so itself.
func (c *Coordinator) classicLives(m *classicLives) {
	if m.live && c.running[m.group] != nil {
		c.classic[m.group] = struct{}{}
		return
	}
	delete(c.classic, m.group)
}

// KeptRecords asks any replica for the records that it keeps of every group.
type KeptRecords struct {
	Reply protocol.Future[map[string][]metarecord.Record]
}

func (c *Coordinator) kept() map[string][]metarecord.Record {
	all := map[string][]metarecord.Record{}
	if c != nil {
		for group, kept := range c.groups {
			all[group] = kept.List()
		}
	}
	return all
}
