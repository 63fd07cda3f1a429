package coordinator

import (
	"bytes"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/protocol"
)

// groupQueue is what a group that is a queue has besides: its records, the polls that wait
// for some, and the goroutines that read its logs and write its dead letters. These run on
// their own; see routing.QueueFeed. They own none of the state: they ask what is to be read,
// and bring it, by messages that may come after the queue is gone. Closing ended is how they
// hear of its end.
type groupQueue struct {
	state   *queue.State
	waiting []waitingPoll // in the order in which they came
	work    chan struct{} // tells the goroutines that there may be something to do
	ended   chan struct{} // ends them
	begun   bool          // they run
	timer   *time.Timer
	timerAt int64
}

// waitingPoll is a poll that was given nothing. Until is when its client does not wait
// any more, in milliseconds since 1970.
type waitingPoll struct {
	consumer protocol.ConsumerID
	handle   *routing.PollHandle
	topics   []string
	until    int64
}

// queueTick says that the time of something in the queue is over.
type queueTick struct{}

// waitingLook is how often a queue with polls that wait looks for records that nobody
// has told it of, in milliseconds.
const waitingLook = 500

// maxQueues is how many queues a node leads when no more may be created: each has
// goroutines of its own, whether anybody works on it or not.
const maxQueues = 10_000

// isQueueKey reports whether a record is one of a queue.
func isQueueKey(key []byte) bool { return bytes.HasPrefix(key, []byte(`["`+queue.KeyQueue)) }

func (g *groupActor) isQueue() bool { return g.queue != nil && g.queue.state.Exists() }

// startQueue begins with a queue's records.
func (g *groupActor) startQueue(ctx actor.Context, records []metarecord.Record) {
	q := g.newQueue()
	for _, rec := range records {
		if err := q.state.Apply(rec); err != nil {
			g.logger().Error("queue record cannot be applied", "error", err)
		}
	}
	g.queue = q
	if q.state.Exists() {
		g.beginQueue(ctx)
	}
}

func (g *groupActor) newQueue() *groupQueue {
	state := queue.New(g.name)
	state.Level = g.env.Level
	return &groupQueue{state: state, work: make(chan struct{}, 1), ended: make(chan struct{})}
}

// beginQueue starts what a queue has while it is led. Deliveries of a former coordinator go
// on: their deadlines are in the records.
func (g *groupActor) beginQueue(ctx actor.Context) {
	q := g.queue
	q.begun = true
	g.env.queues.Add(1)
	q.state.Resume()
	q.state.Tick(g.now())
	g.advance(ctx, q.state.Flush(g.now()), nil, nil)
	if g.env.Feed != nil {
		self, root := ctx.Self(), g.env.System.Root
		g.env.Feed(&routing.QueueFeed{
			ClusterID: g.clusterID, Group: g.name, Ended: q.ended, Work: q.work, Ask: func(m routing.Question) { root.Send(self, m) },
		})
	}
}

// endQueue ends it.
func (g *groupActor) endQueue() {
	if q := g.queue; q != nil {
		if q.begun {
			g.env.queues.Add(-1)
		}
		// Once: the queue is forgotten below, and a new one has a channel of its own.
		close(q.ended)
		if q.timer != nil {
			q.timer.Stop()
		}
		g.queue = nil
	}
}

// queueMessage handles the messages of queues; false for any other. It refuses what a
// queue does not have.
func (g *groupActor) queueMessage(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *routing.GroupQueue:
		g.changeQueue(ctx, m)
	case *routing.GroupSay:
		g.say(ctx, m)
	case *routing.GroupReturn:
		if g.isQueue() {
			g.advanceQueue(ctx, g.queue.state.Return(g.now(), m.Back, m.Gone), func() { m.Reply.Put(nil) }, m.Refuse)
		} else {
			m.Reply.Put(nil)
		}
	case *routing.QueueLook:
		g.lookQueue(ctx, m)
	case *routing.QueueRead:
		g.feed(ctx, m)
	case *routing.QueueBuried:
		if g.isQueue() {
			d := &m.Dying
			g.advanceQueue(ctx, g.queue.state.Buried(g.now(), d.ID, d.Offset, d.Seq, m.Written), func() { m.Reply.Put(nil) }, m.Refuse)
		} else {
			m.Refuse(protocol.ErrNotLeader)
		}
	case *queueTick:
		g.tickQueue(ctx)
	default:
		return g.isQueue() && g.onlyQueue(ctx, message)
	}
	return true
}

// onlyQueue handles what is asked of groups, where the group is a queue.
func (g *groupActor) onlyQueue(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *routing.GroupPoll:
		g.pollQueue(ctx, m)
	case *routing.GroupPollEnded:
		g.forgetPoll(m.Handle)
	case *routing.GroupChange:
		switch {
		case m.Delete:
			g.deleteQueue(ctx, m)
		case m.Leave != 0:
			g.queue.state.Leave(m.Leave)
			m.Reply.Put(nil)
		default:
			g.refuse(m, g.errIsQueue())
		}
	case *routing.GroupStart:
		g.refuse(m, g.errIsQueue())
	case *routing.GroupDelivered:
		g.refuse(m, g.errIsQueue())
	case *routing.GroupCommit:
		g.refuse(m, g.errIsQueue())
	case *routing.GroupHeartbeat:
		g.refuse(m, g.errIsQueue()) // a worker extends its deliveries
	case *groupTopicGone:
		g.advanceQueue(ctx, g.queue.state.TopicGone(g.now(), m.TopicID), nil, nil)
	case *deleteUnused: // it was made on purpose
	default:
		return false
	}
	return true
}

func (g *groupActor) errIsQueue() *protocol.Error {
	return protocol.Errorf(protocol.CodeNotAllowed, "group %q is a queue: its records are acknowledged one by one (POST /events/ack), and it has no members", g.name)
}

// advanceQueue is advance, and wakes polls for which there are records now.
func (g *groupActor) advanceQueue(ctx actor.Context, recs []metarecord.Record, answer func(), refuse func(*protocol.Error)) {
	g.advance(ctx, recs, answer, refuse)
	if !g.isQueue() || g.resigned {
		return
	}
	g.wakePolls()
	if g.queue.state.Work() {
		g.nudgeFeed()
	}
	g.armQueue(ctx)
}

// nudgeFeed tells the goroutines that there may be something to do. One word is enough,
// however much there is: they look at all of it.
func (g *groupActor) nudgeFeed() {
	select {
	case g.queue.work <- struct{}{}:
	default:
	}
}

// changeQueue creates or changes the queue.
func (g *groupActor) changeQueue(ctx actor.Context, m *routing.GroupQueue) {
	if g.isQueue() {
		g.changeSettings(ctx, m)
		return
	}
	if m.Patch {
		if !g.state.Known() {
			g.refuse(m, protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", g.name))
			return
		}
		g.refuse(m, protocol.Errorf(protocol.CodeNotAllowed, "group %q is no queue: PUT makes it one", g.name))
		return
	}
	if n := g.env.queues.Load(); n >= maxQueues {
		g.refuse(m, protocol.Errorf(protocol.CodeTooManyGroups, "this node leads %d queues, as many as it may", n).With("limit", maxQueues))
		return
	}
	if g.classicLive() {
		g.refuse(m, g.errOtherProtocol())
		return
	}
	var recs []metarecord.Record
	starts := g.state.CommittedList()
	if g.state.Known() {
		drop, err := g.state.DecideTurn(g.now()) // by the clock of its leases
		if err != nil {
			g.refuse(m, err)
			return
		}
		recs = drop
	}
	if g.queue == nil {
		g.queue = g.newQueue()
	}
	now := g.env.Agreed() // of the records of a queue, whoever leads it next
	_, made, err := g.queue.state.Put(now, &m.Change, m.Secret)
	if err != nil {
		g.refuse(m, err)
		return
	}
	recs = append(recs, made...)
	for _, o := range starts { // it goes on where the group was
		recs = append(recs, g.queue.state.Begin(now, o.Key(), int64(o.Offset))...)
	}
	// In one proposal: a group that is neither what it was nor a queue must not be left by a
	// crash.
	g.advance(ctx, recs, func() { m.Reply.Put(routing.GroupQueued{Created: true}) }, m.Refuse)
	g.beginQueue(ctx)
	g.armQueue(ctx)
}

func (g *groupActor) changeSettings(ctx actor.Context, m *routing.GroupQueue) {
	s := g.queue.state
	var recs []metarecord.Record
	created := false
	if m.Patch {
		recs = s.Patch(g.now(), &m.Change)
	} else {
		var err *protocol.Error
		if created, _, err = s.Put(g.now(), &m.Change, m.Secret); err != nil {
			g.refuse(m, err)
			return
		}
	}
	g.advanceQueue(ctx, recs, func() { m.Reply.Put(routing.GroupQueued{Created: created}) }, m.Refuse)
	g.nudgeFeed()
}

func (g *groupActor) deleteQueue(ctx actor.Context, m *routing.GroupChange) {
	now := g.now()
	// Those whose time is over are only not cleaned up yet.
	if i := slices.IndexFunc(g.queue.waiting, func(w waitingPoll) bool { return w.until > now }); i >= 0 {
		g.refuse(m, protocol.Errorf(protocol.CodeGroupNotEmpty, "workers wait for records of queue %q", g.name).
			With("consumer_id", g.queue.waiting[i].consumer))
		return
	}
	recs := g.queue.state.Delete()
	g.endQueue()
	g.advance(ctx, recs, func() { m.Reply.Put(nil) }, m.Refuse)
}

// pollQueue gives a worker records, or has its poll wait for some.
func (g *groupActor) pollQueue(ctx actor.Context, m *routing.GroupPoll) {
	now, s := g.now(), g.queue.state
	number := m.Number
	if number == 0 {
		number = g.term<<pollNumberBits | (g.numbers.Next() + 1)
	}
	switch {
	case m.Handle.Signal() >= routing.PollLeft:
		m.Refuse(errSuperseded)
		return
	case m.Ack != "" || m.After != "":
		g.refuse(m, protocol.Errorf(protocol.CodeNotAllowed, "group %q is a queue, which has no cursors: acknowledge its records by their receipts", g.name))
		return
	}
	// A worker polls once at a time. An older poll that waits would be given records that
	// nobody reads.
	if old := g.polls.At(m.Consumer); old != nil && !old.Same(m.Handle) {
		old.Tell(routing.PollSuperseded)
		g.forgetPoll(old)
	}
	topics := make([]string, len(m.Topics))
	for i := range m.Topics {
		topics[i] = m.Topics[i].ID
	}
	given, recs, err := s.Give(now, &queue.Ask{ClusterID: g.clusterID, Consumer: m.Consumer, Topics: topics, MaxRecords: m.Records, MaxBytes: m.Bytes, WaitMs: m.WaitMs, SessionMs: m.SessionMs})
	if err != nil {
		g.refuse(m, err)
		return
	}
	share := routing.GroupShare{Generation: s.Generation(), Number: number, Queue: &routing.QueueShare{Given: given}}
	if len(given) > 0 {
		g.advanceQueue(ctx, recs, func() { m.Reply.Put(share) }, m.Refuse)
		return
	}
	g.nudgeFeed() // it may know of more
	if m.WaitMs > 0 {
		g.queue.waiting = append(g.queue.waiting, waitingPoll{m.Consumer, m.Handle, topics, now + m.WaitMs})
		g.polls.Set(m.Consumer, m.Handle)
	}
	m.Reply.Put(share) // nothing was given, so nothing rests on what is being committed
	g.advanceQueue(ctx, recs, nil, nil)
}

// forgetPoll forgets a poll that does not wait any more.
func (g *groupActor) forgetPoll(h *routing.PollHandle) {
	q := g.queue
	i := slices.IndexFunc(q.waiting, func(w waitingPoll) bool { return w.handle.Same(h) })
	if i < 0 {
		return
	}
	if id := q.waiting[i].consumer; g.polls.At(id).Same(h) {
		g.polls.Remove(id)
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
}

// wakePolls has polls ask again for which there are records: the ones that have waited
// longest. Each is woken for records of its own: as many polls as there are records, or all
// would come for the first. Nothing is given here, as the poll may be gone; it asks again.
func (g *groupActor) wakePolls() {
	q, now := g.queue, g.now()
	if len(q.waiting) == 0 {
		return
	}
	kept, woken := q.waiting[:0], 0
	for i := range q.waiting {
		w := q.waiting[i]
		over := w.until < now
		if over || q.state.Ready(w.topics, woken+1) > woken {
			if !over {
				woken++
				w.handle.Tell(routing.PollRebalanced)
			}
			if g.polls.At(w.consumer).Same(w.handle) {
				g.polls.Remove(w.consumer)
			}
			continue
		}
		kept = append(kept, w)
	}
	clear(q.waiting[len(kept):])
	if q.waiting = kept; len(kept) == 0 {
		q.waiting = nil
	}
}

// say does what workers say of their records.
func (g *groupActor) say(ctx actor.Context, m *routing.GroupSay) {
	if !g.isQueue() {
		said := routing.GroupSaid{Verdicts: make([]queue.Verdict, len(m.Receipts))}
		for i := range said.Verdicts {
			said.Verdicts[i] = queue.Stale
		}
		g.advance(ctx, nil, func() { m.Reply.Put(said) }, m.Refuse) // the end of the queue may not be committed yet
		return
	}
	receipts := make([]*queue.Receipt, len(m.Receipts))
	for i, token := range m.Receipts {
		var err *protocol.Error
		if receipts[i], err = queue.DecodeReceipt(token); err != nil {
			g.refuse(m, err)
			return
		}
	}
	verdicts, recs := g.queue.state.Say(g.now(), &m.Word, receipts)
	g.advanceQueue(ctx, recs, func() { m.Reply.Put(routing.GroupSaid{Verdicts: verdicts}) }, m.Refuse)
}

// lookQueue tells the goroutines of the queue what is to be done.
func (g *groupActor) lookQueue(ctx actor.Context, m *routing.QueueLook) {
	if !g.isQueue() {
		m.Refuse(protocol.ErrNotLeader)
		return
	}
	s := g.queue.state
	work := routing.QueueWork{
		Born: s.CreatedAt(), Idle: s.Idle(g.now()),
		Scans: s.Scans(func(t queue.Topic) int { return m.Partitions[t.ID] }),
	}
	// Records whose end is only decided must not be written to a dead-letter topic yet: if
	// the decision is lost, they would be there and still be delivered.
	if work.Dying = s.Dying(); len(work.Dying) == 0 {
		m.Reply.Put(work)
		return
	}
	g.advance(ctx, nil, func() { m.Reply.Put(work) }, m.Refuse) // once that they die is committed
}

// feed takes what was read of a partition.
func (g *groupActor) feed(ctx actor.Context, m *routing.QueueRead) {
	if !g.isQueue() {
		return
	}
	lost, recs := g.queue.state.Feed(g.now(), &m.Read)
	if lost > 0 {
		g.env.QueueRemoved.Add(uint64(lost))
		g.logger().Warn("retention has removed records before the queue had ended them",
			"topic", m.Topic, "partition", m.ID.Partition, "records", lost, "earliest", m.Earliest)
	}
	g.advanceQueue(ctx, recs, nil, nil)
}

// tickQueue ends deliveries whose time is over, and writes down what has been gathered.
func (g *groupActor) tickQueue(ctx actor.Context) {
	if !g.isQueue() {
		return
	}
	g.queue.timerAt = 0
	g.queue.state.Tick(g.now())
	g.advanceQueue(ctx, g.queue.state.Flush(g.now()), nil, nil)
}

// armQueue schedules the next tick.
func (g *groupActor) armQueue(ctx actor.Context) {
	q, now := g.queue, g.now()
	next := q.state.NextTick()
	if len(q.waiting) > 0 && (next == 0 || next > now+waitingLook) {
		next = now + waitingLook
	}
	if next == 0 || q.timerAt != 0 && q.timerAt <= next {
		return
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	q.timerAt = next
	self, system := ctx.Self(), g.env.System
	q.timer = time.AfterFunc(time.Duration(max(0, next-now))*time.Millisecond, func() { system.Root.Send(self, &queueTick{}) })
}

// readQueue describes the queue.
func (g *groupActor) readQueue() routing.GroupReading {
	now, s := g.now(), g.queue.state
	info := protocol.GroupInfo{
		Group: g.name, Mode: protocol.ModeQueue, State: group.StateEmpty, Generation: s.Generation(),
		CreatedAt: time.UnixMilli(s.CreatedAt()).UTC(), Members: s.Workers(now), QueueInfo: s.Describe(now),
	}
	for i := range info.Members {
		info.State, info.Members[i].Topics = group.StateStable, info.Topics
	}
	r := routing.GroupReading{
		Info: info, Topics: map[string]string{}, Owners: map[protocol.PartitionID]protocol.ConsumerID{}, Positions: map[protocol.PartitionID]protocol.Offset{},
	}
	for _, t := range s.Settings().Topics {
		r.Topics[t.ID] = t.Name
	}
	for _, at := range s.Positions() {
		r.Offsets = append(r.Offsets, group.PartitionOffset{Topic: at.Topic, TopicID: at.ID.TopicID, Partition: at.ID.Partition, Offset: at.Offset, At: now})
	}
	return r
}
