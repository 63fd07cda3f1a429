package actors

import (
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/protocol"
)

// A broker that has opened its directory is introduced before its replicas
// run: all running brokers write its counter into their ledgers, and it writes
// theirs into its own. See datadir.Introductions.

// introductionPatience is how long brokers that are ready wait for brokers whose
// disks do not answer.
const introductionPatience = 5 * time.Second

// introductionDue is the time-out of an introduction.
type introductionDue struct{ Timer uint64 }

// brokerOpened handles a broker's answer to its start.
func (c *clusterActor) brokerOpened(ctx actor.Context, m *brokerOpened) {
	b := c.brokers[m.Broker]
	if b.gone {
		return // from an actor that panicked since
	}
	b.opened = nil
	if m.Err != nil {
		c.startFailed(ctx, b, m.Err)
		c.introduce(ctx)
		return
	}
	b.opened = m
	c.intros.Note(b.id, m.Opens)
	for peer, count := range m.Peers {
		c.intros.Note(peer, count)
	}
	c.intros.Opened(b.id)
	c.introduce(ctx)
}

// fullRetry is the pause before a broker is started again for which there was no space.
const fullRetry = time.Second

func (c *clusterActor) startFailed(ctx actor.Context, b *brokerInCluster, err error) {
	c.moveBroker(b, brokerFailed, err)
	c.restoreAll(ctx) // replicas that waited for this broker's can be decided on now
	c.publish()
	c.answerBroker(b, protocol.Errorf(protocol.CodeStorageFailed, "broker %d cannot start: %v", b.id, err))
	if disk.Retriable(err) && c.create == nil {
		c.restartAfter(ctx, b, fullRetry)
	}
}

// introduce begins a round when no broker is opening any more. Rounds do not
// overlap; a broker that opens during one waits for the next.
func (c *clusterActor) introduce(ctx actor.Context) {
	var running []int
	opening := false
	for _, b := range c.brokers {
		switch {
		case !b.here():
		case b.state == brokerStarting && b.opened == nil && !b.gone:
			opening = true
		case b.state == brokerRunning:
			running = append(running, b.id)
		}
	}
	ask := c.intros.Begin(running, opening)
	switch {
	case len(ask) == 1:
		c.intros.Answered(c.intros.Number(), ask[0], nil) // there is no peer whose counter it could note
		c.endIntroduction(ctx)
	case len(ask) > 1:
		for _, id := range ask {
			ctx.Send(c.brokers[id].pid, &notePeers{Number: c.intros.Number(), Counts: c.intros.Counts()})
		}
		c.boundIntroduction(ctx)
	case c.intros.State() == datadir.IntroductionGathering && c.introTimer == 0:
		c.boundIntroduction(ctx)
	}
}

// boundIntroduction bounds from now on how long the introduction waits for
// brokers that do not open or do not answer.
func (c *clusterActor) boundIntroduction(ctx actor.Context) {
	c.introTimers++
	c.introTimer = c.introTimers
	self, system, no := ctx.Self(), ctx.ActorSystem(), c.introTimer
	time.AfterFunc(introductionPatience, func() { system.Root.Send(self, &introductionDue{Timer: no}) })
}

func (c *clusterActor) introductionDue(ctx actor.Context, m *introductionDue) {
	if m.Timer != c.introTimer {
		return
	}
	c.introTimer = 0
	if gathering := c.intros.State() == datadir.IntroductionGathering; gathering {
		c.log.Error("some brokers have not opened in time; the others go on without them")
	}
	if unanswered := c.intros.TimeOut(); unanswered > 0 {
		c.log.Error("some brokers have not written their ledgers in time", "brokers", unanswered)
	}
	c.endIntroduction(ctx)
	c.introduce(ctx)
}

func (c *clusterActor) peersNoted(ctx actor.Context, m *peersNoted) {
	if c.notedHere(m) {
		return
	}
	if m.Number == farewellNumber {
		c.leaving--
		c.endIfClosed(ctx)
		return
	}
	c.intros.Answered(m.Number, m.Broker, m.Err)
	c.endIntroduction(ctx)
}

// endIntroduction starts the brokers of a complete round, and refuses those that
// could not be noted by a peer.
func (c *clusterActor) endIntroduction(ctx actor.Context) {
	if !c.intros.Complete() {
		return
	}
	c.introTimer = 0
	noted := c.intros.Noted()
	in, refused := c.intros.Conclude()
	for id, err := range refused {
		c.log.Error("broker cannot start", "broker", id, "error", err)
		ctx.Send(c.brokers[id].pid, &refuseBroker{})
		c.startFailed(ctx, c.brokers[id], err)
	}
	for _, id := range in {
		c.introduced(ctx, id, noted)
	}
	c.introduce(ctx)
}

// letIn makes an introduced broker running. Its replica of the metadata comes
// first: what other replicas it has is known from there.
func (c *clusterActor) letIn(ctx actor.Context, b *brokerInCluster) {
	if b.opened == nil || b.state != brokerStarting {
		return // closed meanwhile
	}
	m := b.opened
	c.moveBroker(b, brokerRunning, nil)
	b.wiped, b.holds = m.Wiped, m.Holding
	c.sayBroker(b)
	c.openMetadata(ctx, b)
	if c.recovered {
		c.resolveLoss(ctx, b)
		c.reconcile(ctx)
	}
	c.publish() // before the answer, so that whoever has it reads the new state
	c.answerBroker(b, nil)
}

// raised tells the running brokers the new counter of another one, or the last
// counter of one that was closed.
func (c *clusterActor) raised(ctx actor.Context, broker int, opens uint64) {
	if opens == 0 {
		return
	}
	c.intros.Note(broker, opens)
	c.tellRaised(broker, opens)
	for _, other := range c.brokers {
		if other.here() && other.id != broker && other.state == brokerRunning {
			ctx.Send(other.pid, &notePeers{Counts: map[int]uint64{broker: opens}})
		}
	}
}

// knownCounts is what the ledgers have noted of each broker's counter, before any
// of them is opened.
func (c *clusterActor) knownCounts() map[int]uint64 {
	m, known := c.handle.manifest, map[int]uint64{}
	ledgers, err := c.env.manifests.LedgersOf(m)
	if err != nil {
		c.log.Error("compare the brokers' ledgers", "error", err) // opening them fails likewise
	}
	for id, age := range datadir.CompareLedgers(m.NumBrokers, ledgers) {
		known[id] = age.Known
	}
	return known
}

// introducedOrGone goes on without a broker that was closed or failed, for which
// an introduction may have waited.
func (c *clusterActor) introducedOrGone(ctx actor.Context, broker int) {
	c.intros.Gone(broker)
	c.endIntroduction(ctx)
	if c.endReply == nil {
		c.introduce(ctx)
	}
}

// farewellNumber is the number of the last round, at the end of the process.
const farewellNumber = ^uint64(0)

// farewell has the brokers that end with the process note each other's last
// counters, so that a copy made while they ran is older than any of them. It
// reports whether it must be waited for.
func (c *clusterActor) farewell(ctx actor.Context) bool {
	if c.farewells == nil {
		return c.leaving > 0
	}
	counts := c.farewells
	c.farewells = nil
	if len(counts) < 2 {
		return false
	}
	for id := range counts {
		ctx.Send(c.brokers[id].pid, &notePeers{Number: farewellNumber, Counts: maps.Clone(counts)})
	}
	c.leaving = len(counts)
	self, system := ctx.Self(), ctx.ActorSystem()
	time.AfterFunc(introductionPatience, func() { system.Root.Send(self, &farewellDue{}) })
	return true
}

// farewellDue ends the wait for brokers whose disks do not answer.
type farewellDue struct{}

func (c *clusterActor) farewellDue(ctx actor.Context) {
	c.leaving = 0
	c.endIfClosed(ctx)
}
