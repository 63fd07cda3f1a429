package actors

import (
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/actors/peers"
	"ottla/link"
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
	if b == nil || !b.here() || b.gone || b.state != brokerStarting {
		return // from an actor that panicked since, or of a broker that has left
	}
	b.opened = nil
	if m.Err != nil {
		c.startFailed(ctx, b, m.Err)
		c.introduce(ctx)
		return
	}
	b.opened = m
	c.intros.Note(b.id, m.Opens)
	// What it has noted of the others counts as well: one that opens later with a lower
	// counter is an older copy.
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
	c.answerBroker(b, protocol.Errorf(protocol.CodeStorageFailed, "broker %d cannot start: %v", b.number, err))
	if disk.Retriable(err) && c.create == nil {
		c.restartAfter(ctx, b, fullRetry)
	}
}

// introduce begins a round when no broker is opening any more. Rounds do not overlap; a broker
// that opens during one waits for the next. It waits for those that open, so that after a
// start of the process one round does for all.
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

// introductionDue goes on without brokers that do not answer: one disk that hangs must not
// keep a cluster from serving whose other brokers have a majority. The one that was late is
// let in by a later round.
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

// peersNoted takes the answer to notePeers, which belongs to one of three: something that was
// noted beside (noteHere), the farewell, or the introduction's present round. All are told
// apart by their numbers; an answer to a round that is over is passed over.
func (c *clusterActor) peersNoted(ctx actor.Context, m *peersNoted) {
	if c.notings.Answered(m.Number, m.Broker, m.Err) {
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

// letIn makes an introduced broker running. Its replica of the metadata comes first: what
// other replicas it has is known from there. From here on its replicas may vote. All that
// speaks against its directory must be known before: a vote cannot be taken back.
func (c *clusterActor) letIn(ctx actor.Context, b *brokerInCluster) {
	if b.opened == nil || b.state != brokerStarting {
		return // closed meanwhile
	}
	m := b.opened
	c.moveBroker(b, brokerRunning, nil)
	b.wiped, b.holds = m.Wiped, map[protocol.PartitionID]uint64{}
	for _, r := range m.Holding {
		if r.State == datadir.ReplicaLive {
			b.holds[protocol.PartitionID{TopicID: r.TopicID, Partition: r.Partition}] = r.ReplicaID
		}
	}
	c.sayBroker(b)
	c.openMetadata(ctx, b)
	if c.recovered {
		c.resolveLoss(ctx, b)
		c.reconcile(ctx)
	}
	c.publish() // before the answer, so that whoever has it reads the new state
	c.answerBroker(b, nil)
	c.driveMoves(ctx)
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
	known, err := c.env.manifests.KnownCounts(c.handle.manifest, slices.Collect(maps.Keys(c.placed.Moves)))
	if err != nil {
		c.log.Error("compare the brokers' ledgers", "error", err) // opening them fails likewise
	}
	return known
}

// introducedOrGone goes on without a broker that was closed or failed, for which
// an introduction may have waited.
func (c *clusterActor) introducedOrGone(ctx actor.Context, broker int) {
	c.intros.Gone(broker)
	c.endIntroduction(ctx)
	if c.ends == nil {
		c.introduce(ctx)
	}
}

// farewellNumber is the number of the last round, at the end of the process.
const farewellNumber = ^uint64(0)

// farewell has the brokers that end with the process note each other's last counters, so that
// a copy made while they ran is older than any of them. It reports whether it must be waited
// for. Where one broker ends with others that go on, raised tells these; here none is left but
// those that end.
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

// Brokers of a cluster with brokers at several nodes have other nodes as witnesses too.

// witnessDue has the other nodes asked again.
type witnessDue struct{ Broker int }

// witnessRetry is the pause before nodes are asked again that have not answered, or
// whose brokers could not write.
const witnessRetry = 300 * time.Millisecond

// introduced lets a broker run that its peers in this process know, once enough of
// those elsewhere do.
func (c *clusterActor) introduced(ctx actor.Context, id int, noted []int) {
	b := c.brokers[id]
	if !c.links.Spread() || b.opened == nil {
		c.letIn(ctx, b)
		return
	}
	w := datadir.NewWitnesses(id, b.opened.Opens, b.opened.Before, b.opened.Wiped, noted, time.Now())
	c.witnessing[id] = w
	c.seekWitnesses(ctx, id)
}

// seekWitnesses asks all other nodes of the cluster what they know of a broker, or to
// note its count, unless enough have.
func (c *clusterActor) seekWitnesses(ctx actor.Context, id int) {
	b, w := c.brokers[id], c.witnessing[id]
	if w == nil {
		return
	}
	if b.state != brokerStarting || b.opened == nil || b.opened.Opens != w.Opens {
		delete(c.witnessing, id)
		return
	}
	// First all nodes are asked, until each has said what it knows, or has not been heard of for
	// a while: one may show that the directory is an older copy, whose counter nobody is to note.
	asked, count := false, w.Opens
	switch {
	case w.Older > 0:
		c.replaceOlder(ctx, b, w)
		return
	case !w.AllHaveSaid(c.otherNodes(), time.Now()):
		asked, count = true, 0 // nothing to note
	case w.Enough(c.placed.Brokers) && len(w.Learned()) > 0:
		c.learn(ctx, b, w)
		return
	case w.Enough(c.placed.Brokers):
		delete(c.witnessing, id)
		c.letIn(ctx, b)
		return
	}
	self, system, opens := ctx.Self(), c.env.system, w.Opens
	m := &peers.CountsNoted{Cluster: c.handle.manifest.ID, Counts: map[int]uint64{id: count}}
	for _, node := range c.otherNodes() {
		if asked && w.HasSaid(node) {
			continue
		}
		c.env.peers.NoteCounts(link.NodeID(node), m, func(a peers.CountsAnswer, err error) {
			if err == nil { // else asked again
				system.Root.Send(self, &datadir.Witness{Broker: id, Node: node, Opens: opens, Asked: asked, Noted: a.Noted, Known: a.Known[id], All: a.All})
			}
		})
	}
	time.AfterFunc(witnessRetry, func() { system.Root.Send(self, &witnessDue{id}) })
}

// learn has a broker note what other nodes know of each other, and goes on. It is in its
// ledger before the broker runs: as a member of majorities it is one of those that remember.
func (c *clusterActor) learn(ctx actor.Context, b *brokerInCluster, w *datadir.Witnesses) {
	self, system, counts := ctx.Self(), c.env.system, w.Learned()
	c.noteHere(ctx, []int{b.id}, counts, func(_ []int, failed int) {
		if failed > 0 {
			time.AfterFunc(witnessRetry, func() { system.Root.Send(self, &witnessDue{b.id}) })
			return
		}
		w.HasLearned(counts)
		system.Root.Send(self, &witnessDue{b.id})
	})
}

// otherNodes are the nodes that have brokers of this cluster, but for this one.
func (c *clusterActor) otherNodes() []uint64 {
	var nodes []uint64
	for _, b := range c.brokers {
		if !b.here() && !slices.Contains(nodes, uint64(b.node)) {
			nodes = append(nodes, uint64(b.node))
		}
	}
	return nodes
}

// witnessed takes another node's answer. Of a broker that is known to be an older copy nothing
// more is needed.
func (c *clusterActor) witnessed(ctx actor.Context, m *datadir.Witness) {
	b, w := c.brokers[m.Broker], c.witnessing[m.Broker]
	if w == nil || w.Opens != m.Opens || b.opened == nil || b.opened.Opens != m.Opens || w.Older > 0 {
		return
	}
	if floor := w.Heard(m); floor > 0 {
		w.Older = floor
		if !w.Wiped() && !c.majorityWithout(b) {
			c.log.Error("the broker's directory is an older copy, and too few others run to rebuild it: put the newer directory back, or start the others",
				"broker", b.id, "opened", w.Opens, "known", m.Known)
		}
		c.replaceOlder(ctx, b, w)
		return
	}
	for id, count := range m.All {
		// Of brokers here the node's own ledgers are the authority: what another one says of
		// them is judged where they are introduced.
		if o := c.brokers[id]; (o == nil || !o.here()) && count > c.intros.Count(id) {
			c.intros.Note(id, count)
			datadir.LearnAll(c.witnessing, id, count)
		}
	}
	if m.Asked && w.AllHaveSaid(c.otherNodes(), time.Now()) || !m.Asked && w.Enough(c.placed.Brokers) {
		c.seekWitnesses(ctx, b.id)
	}
}

// replaceOlder has a new directory take the place of an older copy. Not before a majority of
// the others runs: until then nothing could be rebuilt, and where most directories were
// restored at once by mistake the right ones can still be put back.
func (c *clusterActor) replaceOlder(ctx actor.Context, b *brokerInCluster, w *datadir.Witnesses) {
	if !w.Wiped() && !c.majorityWithout(b) {
		self, system := ctx.Self(), c.env.system
		time.AfterFunc(witnessRetry, func() { system.Root.Send(self, &witnessDue{b.id}) })
		return
	}
	delete(c.witnessing, b.id)
	c.intros.Note(b.id, w.Older)
	ctx.Send(b.pid, &refuseBroker{})
	// Started again with what is known now, it finds that its directory is an older copy, and
	// makes a new one.
	c.moveBroker(b, brokerFailed, nil)
	c.startBroker(ctx, b)
}

// majorityWithout reports whether most brokers but one run, and have their directories.
// Brokers whose loss is not resolved yet do not count: they have nothing to rebuild others
// from.
func (c *clusterActor) majorityWithout(but *brokerInCluster) bool {
	run := 0
	for _, b := range c.brokers {
		if b != but && b.state == brokerRunning && !b.wiped {
			run++
		}
	}
	return run > (c.placed.Brokers-1)/2
}

// countsNoted has the brokers of this node whose ledgers are open note the counts of
// another node's.
func (c *clusterActor) countsNoted(ctx actor.Context, m *peers.CountsNoted) {
	// What was known before is answered, not what is noted now: the asker wants to learn
	// whether somebody knows a higher count than its own.
	a := peers.CountsAnswer{Known: map[int]uint64{}, All: c.intros.Counts()}
	maps.DeleteFunc(a.All, func(id int, _ uint64) bool {
		b := c.brokers[id] // of one that starts here others are still to be asked what they knew before
		return id > maxBrokerNumber || b != nil && b.here() && b.state != brokerRunning
	})
	for id, count := range m.Counts {
		a.Known[id] = c.intros.Count(id)
		if b := c.brokers[id]; b != nil && !b.here() {
			c.intros.Note(id, count)
		}
	}
	var here []int
	for _, b := range c.brokers {
		if b.here() && !b.gone && (b.state == brokerRunning || b.state == brokerStarting && b.opened != nil) {
			here = append(here, b.id)
		}
	}
	c.noteHere(ctx, here, m.Counts, func(noted []int, _ int) {
		// One that arrives is counted as the same one's where it comes from.
		a.Noted = slices.DeleteFunc(noted, func(id int) bool { return id > maxBrokerNumber })
		if m.Reply != nil {
			m.Reply(a, nil)
		}
	})
}

// noteHere has brokers of this process, whose ledgers are open, note counts. Done is called
// once, on this goroutine, with those that have them on disk then. A broker whose disk hangs
// is not waited for longer than introductionPatience: it counts as one that could not.
func (c *clusterActor) noteHere(ctx actor.Context, brokers []int, counts map[int]uint64, done func(noted []int, failed int)) {
	number := c.notings.Begin(brokers, done)
	for _, id := range brokers {
		ctx.Send(c.brokers[id].pid, &notePeers{Number: number, Counts: counts})
	}
	self, system := ctx.Self(), c.env.system
	timeOut := &inspectCluster{Do: func(c *clusterActor) { c.notings.TimeOut(number) }}
	time.AfterFunc(introductionPatience, func() { system.Root.Send(self, timeOut) })
}

// tellRaised tells other nodes the new count of a broker here; whoever does not hear
// of it now is told when it is introduced the next time.
func (c *clusterActor) tellRaised(broker int, opens uint64) {
	if !c.links.Spread() {
		return
	}
	m := &peers.CountsNoted{Cluster: c.handle.manifest.ID, Counts: map[int]uint64{broker: opens}}
	for _, node := range c.otherNodes() {
		c.env.peers.TellCounts(link.NodeID(node), m)
	}
}
