package coordinator

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/protocol"
)

// patience is how long a test waits for what must come: far more than a busy
// machine needs.
const patience = time.Minute

// groupProbe is a group's actor below a parent that answers nothing by itself:
// the test is its partition.
type groupProbe struct {
	t      *testing.T
	system *actor.ActorSystem
	group  *actor.PID
	asked  chan any // what the group sends to its parent
	woken  chan *routing.PollHandle

	wall, steady atomic.Int64  // milliseconds since 1970
	numbers      atomic.Uint64 // of polls, for tests with many
	level        atomic.Int64  // of the fleet
}

func newGroupProbe(t *testing.T, records ...metarecord.Record) *groupProbe {
	p := &groupProbe{t: t, system: actor.NewActorSystem(actor.WithLoggerFactory(supervise.QuietLogger(slog.Default()))), asked: make(chan any, 100), woken: make(chan *routing.PollHandle, 100)}
	p.wall.Store(time.Now().UnixMilli())
	p.steady.Store(time.Now().UnixMilli())
	p.level.Store(level.Newest)
	env := &Env{
		System: p.system, Now: func() time.Time { return time.UnixMilli(p.wall.Load()) }, Agreed: p.wall.Load, Steady: p.steady.Load,
		Seal: func(string) *group.Seal { return nil }, Level: func() int { return int(p.level.Load()) },
	}
	started := make(chan *actor.PID, 1)
	parent := p.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			started <- ctx.Spawn(actor.PropsFromProducer(func() actor.Actor {
				return &groupActor{run: &ProposalRun{Term: 7}, env: env, log: slog.Default(), name: "g", term: 7, clusterID: "c", records: records, numbers: &protocol.Counter{}}
			}))
		case *ProposeRecords, *ConfirmRead, *groupFailed:
			p.asked <- m
		}
	}, actor.WithSupervisor(&supervise.Children{}))) // as the partition has
	p.group = <-started
	t.Cleanup(func() { _ = p.system.Root.PoisonFuture(parent).Wait() })
	return p
}

// proposal takes the next proposal that the group made.
func (p *groupProbe) proposal() *ProposeRecords {
	p.t.Helper()
	select {
	case m := <-p.asked:
		require.IsType(p.t, &ProposeRecords{}, m)
		return m.(*ProposeRecords)
	case <-time.After(patience):
		require.FailNow(p.t, "nothing was proposed")
		return nil
	}
}

// poll sends a poll of topic "t" with two partitions.
func (p *groupProbe) poll(id protocol.ConsumerID, number uint64) (*routing.PollHandle, protocol.Future[routing.GroupShare]) {
	h := &routing.PollHandle{}
	h.Waiter = protocol.NewWaiter(func() { p.woken <- h })
	reply := protocol.NewFuture[routing.GroupShare]()
	p.system.Root.Send(p.group, &routing.GroupPoll{
		Consumer: id, Topics: []group.SubscribedTopic{{Name: "t", ID: "id-t", Partitions: 2}}, SessionMs: 60_000, Number: number, Handle: h, Reply: reply,
	})
	return h, reply
}

// joined is a poll whose records are committed.
func (p *groupProbe) joined(id protocol.ConsumerID) (*routing.PollHandle, routing.GroupShare) {
	h, reply := p.poll(id, uint64(id))
	p.proposal().Done(protocol.ProduceResult{})
	return h, p.answer(reply)
}

// wakes waits until the group wakes a poll.
func (p *groupProbe) wakes(h *routing.PollHandle) {
	p.t.Helper()
	late := time.After(patience)
	for {
		select {
		case woken := <-p.woken:
			if woken == h {
				return
			}
		case <-late:
			require.FailNow(p.t, "the parked poll was not woken")
		}
	}
}

func (p *groupProbe) answer(f protocol.Future[routing.GroupShare]) routing.GroupShare {
	p.t.Helper()
	a, ok := f.Wait(time.Now().Add(patience))
	require.True(p.t, ok, "no answer")
	return a
}

// barrier returns once the group has handled everything before.
func (p *groupProbe) barrier() {
	p.t.Helper()
	f, h := protocol.NewFuture[routing.GroupShare](), &routing.PollHandle{Waiter: protocol.NewWaiter(func() {})}
	h.Tell(routing.PollSuperseded) // refused at once, whatever the state is
	p.system.Root.Send(p.group, &routing.GroupPoll{Consumer: 4711, Handle: h, Reply: f})
	a, ok := f.Wait(time.Now().Add(patience))
	require.True(p.t, ok && a.Err != nil)
}

func (p *groupProbe) unanswered(f protocol.Future[routing.GroupShare]) {
	p.t.Helper()
	p.barrier()
	_, ok := f.Wait(time.Time{})
	require.False(p.t, ok, "answered before it was committed")
}

func outcomeOf(err *protocol.Error) protocol.Outcome {
	if err == nil {
		return protocol.OutcomeApplied
	}
	return err.Outcome
}

// A lease ends when its time is over, although the wall clock is set back meanwhile, and
// does not end when it is set forward.
func TestLeasesDoNotStandOnTheWallClock(t *testing.T) {
	p := newGroupProbe(t)
	p.joined(1)
	p.wall.Add(25 * time.Hour.Milliseconds())
	_, reply := p.poll(2, 2)
	p.proposal().Done(protocol.ProduceResult{})
	require.Len(t, p.answer(reply).Assigned, 1, "consumer 1 is alive, and keeps a half")

	p.wall.Add(-50 * time.Hour.Milliseconds())
	p.steady.Add(61_000)
	_, reply = p.poll(2, 3)
	p.proposal().Done(protocol.ProduceResult{})
	require.Len(t, p.answer(reply).Assigned, 2, "consumer 1 was silent for longer than its lease")
}

// A member whose client ends its connection keeps its share for two seconds, so that it
// can come back, and not for its session. One that has polled again is not concerned.
func TestAMemberWhoseClientLeft(t *testing.T) {
	for name, end := range map[string]func(*routing.PollHandle, uint64) *routing.GroupPollEnded{
		"in a poll": func(h *routing.PollHandle, _ uint64) *routing.GroupPollEnded {
			return &routing.GroupPollEnded{Consumer: 1, Handle: h, Left: true}
		},
		"between two polls of a stream": func(_ *routing.PollHandle, number uint64) *routing.GroupPollEnded {
			return &routing.GroupPollEnded{Consumer: 1, Number: number, Left: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newGroupProbe(t)
			shareOf2 := func() int {
				_, reply := p.poll(2, p.numbers.Add(1))
				select {
				case m := <-p.asked:
					m.(*ProposeRecords).Done(protocol.ProduceResult{})
				case a := <-reply.C():
					return len(a.Assigned)
				case <-time.After(patience):
					require.FailNow(t, "no answer")
				}
				return len(p.answer(reply).Assigned)
			}
			p.numbers.Store(100)
			h, share := p.joined(1)
			require.Equal(t, 1, shareOf2())
			if name != "in a poll" {
				p.system.Root.Send(p.group, &routing.GroupPollEnded{Consumer: 1, Handle: h})
			}
			old := end(h, share.Number)
			_, reply := p.poll(1, p.numbers.Add(1)) // it has come back by another connection
			p.answer(reply)
			p.system.Root.Send(p.group, old)
			p.barrier()
			p.steady.Add(50_000)
			require.Equal(t, 1, shareOf2(), "the end of an older poll means nothing")

			h, reply = p.poll(1, p.numbers.Add(1))
			share = p.answer(reply)
			if name != "in a poll" {
				p.system.Root.Send(p.group, &routing.GroupPollEnded{Consumer: 1, Handle: h})
			}
			p.system.Root.Send(p.group, end(h, share.Number))
			p.barrier()
			p.steady.Add(1900)
			require.Equal(t, 1, shareOf2(), "it may come back")
			p.steady.Add(200)
			require.Equal(t, 2, shareOf2())
		})
	}
}

func TestGroupHoldsAnswersUntilCommitted(t *testing.T) {
	p := newGroupProbe(t)
	_, first := p.poll(1, 1)
	join := p.proposal()
	_, second := p.poll(1, 2) // writes nothing, but depends on the join
	p.unanswered(first)
	p.unanswered(second)
	require.Empty(t, p.asked, "the second poll proposes nothing")
	join.Done(protocol.ProduceResult{})
	assert.Len(t, p.answer(first).Assigned, 2)
	assert.Len(t, p.answer(second).Assigned, 2)
	_, third := p.poll(1, 3)
	assert.Nil(t, p.answer(third).Err)
	assert.Empty(t, p.asked, "a poll of a stable group writes nothing")
}

// What the metrics show asks nothing of the other replicas, and yet tells only
// of what is committed.
func TestGroupReadAsKnown(t *testing.T) {
	p := newGroupProbe(t)
	p.joined(1)
	read := func(asKnown bool) protocol.Future[routing.GroupReading] {
		f := protocol.NewFuture[routing.GroupReading]()
		p.system.Root.Send(p.group, &routing.GroupRead{AsKnown: asKnown, Reply: f})
		p.barrier()
		return f
	}
	a, answered := read(true).Wait(time.Time{})
	require.True(t, answered)
	require.Empty(t, p.asked, "the partition is asked")
	assert.Len(t, a.Info.Members, 1)

	_, answered = read(false).Wait(time.Time{})
	require.False(t, answered, "not confirmed yet")
	require.IsType(t, &ConfirmRead{}, <-p.asked)

	p.poll(2, 2)
	join := p.proposal()
	f := read(true)
	_, answered = f.Wait(time.Time{})
	require.False(t, answered, "tells of a member who is not committed")
	join.Done(protocol.ProduceResult{})
	a, answered = f.Wait(time.Now().Add(patience))
	require.True(t, answered)
	assert.Len(t, a.Info.Members, 2)
}

// A refusal tells what the group is at, so it must not tell of what may yet be
// lost with this coordinator.
func TestGroupHoldsRefusalsUntilCommitted(t *testing.T) {
	p := newGroupProbe(t)
	p.joined(1)
	commit := func(at protocol.Offset) protocol.Future[routing.GroupOffsets] {
		f := protocol.NewFuture[routing.GroupOffsets]()
		p.system.Root.Send(p.group, &routing.GroupCommit{Consumer: 1, Offsets: []group.PartitionOffset{{Topic: "t", TopicID: "id-t", Offset: at}}, Reply: f})
		return f
	}
	answer := func(f protocol.Future[routing.GroupOffsets]) *protocol.Error {
		a, ok := f.Wait(time.Now().Add(patience))
		require.True(t, ok, "no answer")
		return a.Err
	}
	first := commit(9)
	proposed := p.proposal()
	behind := commit(5)
	p.barrier()
	_, answered := behind.Wait(time.Time{})
	require.False(t, answered, "refused for an offset that is not committed yet")
	proposed.Done(protocol.ProduceResult{})
	require.Nil(t, answer(first))
	require.Equal(t, protocol.CodeOffsetRegression, answer(behind).Code)

	lost := commit(20)
	proposed = p.proposal()
	behind = commit(15)
	proposed.Done(protocol.ProduceResult{Err: protocol.Unknownf("lost")})
	require.Equal(t, protocol.OutcomeUnknown, outcomeOf(answer(lost)))
	require.Equal(t, protocol.ErrNotLeader, answer(behind), "the next coordinator decides")
}

func TestGroupAfterAFailedProposal(t *testing.T) {
	p := newGroupProbe(t)
	parked, _ := p.joined(1)
	_, second := p.poll(2, 2)
	_, third := p.poll(3, 3)
	join2, join3 := p.proposal(), p.proposal()
	assert.Same(t, join2.Run, join3.Run, "what depends on each other is refused together")
	p.unanswered(second)
	join2.Done(protocol.ProduceResult{Err: protocol.ErrNotLeader})
	assert.Equal(t, protocol.OutcomeNone, outcomeOf(p.answer(second).Err), "it was refused")
	assert.Equal(t, protocol.OutcomeUnknown, outcomeOf(p.answer(third).Err), "it may have been written")
	p.wakes(parked) // to look for the next coordinator
	assert.Equal(t, routing.PollRebalanced, parked.Signal())
	assert.Equal(t, &groupFailed{PID: p.group}, <-p.asked)
	join3.Done(protocol.ProduceResult{})
	_, late := p.poll(4, 4)
	assert.Equal(t, protocol.ErrNotLeader, p.answer(late).Err, "until it is ended it refuses")
}

func TestGroupsHeldAnswersAreUnknownWhenItEnds(t *testing.T) {
	for name, end := range map[string]func(*groupProbe){
		"resign": func(p *groupProbe) { p.system.Root.Send(p.group, &groupResign{}) },
		"stop":   func(p *groupProbe) { p.system.Root.Stop(p.group) },
		"panic":  func(p *groupProbe) { p.system.Root.Send(p.group, &routing.GroupPoll{Consumer: 9}) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newGroupProbe(t)
			parked, _ := p.joined(1)
			_, held := p.poll(2, 2)
			p.proposal()
			p.unanswered(held)
			end(p)
			assert.Equal(t, protocol.OutcomeUnknown, outcomeOf(p.answer(held).Err))
			p.wakes(parked)
		})
	}
}

// A poll that was woken by a rebalance and asks again must not push aside the
// one that its consumer has begun since.
func TestAnOlderPollDoesNotSupersedeANewerOne(t *testing.T) {
	p := newGroupProbe(t)
	older, _ := p.joined(1)
	newer, reply := p.poll(1, 5)
	require.Nil(t, p.answer(reply).Err)
	assert.Equal(t, routing.PollSuperseded, older.Signal())
	again, reply := p.poll(1, 1)
	assert.Equal(t, protocol.CodeStaleGeneration, p.answer(reply).Err.Code)
	assert.Equal(t, routing.PollSuperseded, again.Signal())
	assert.Equal(t, routing.PollGoesOn, newer.Signal())
}

// positions are both partitions, at an offset.
func (p *groupProbe) positions(at protocol.Offset) (all []group.PartitionOffset) {
	for partition := range 2 {
		all = append(all, group.PartitionOffset{Topic: "t", TopicID: "id-t", Partition: partition, Offset: at})
	}
	return all
}

// askAhead polls as a consumer that has read one record of each partition from 0 on.
func (p *groupProbe) askAhead(id protocol.ConsumerID, generation protocol.Generation, token uint64, again bool) protocol.Future[routing.GroupShare] {
	a := &routing.GroupAhead{Token: token, Again: again}
	a.Generation, a.Commit, a.From = generation, true, []protocol.Offset{0, 0}
	a.Positions = p.positions(1)
	h := &routing.PollHandle{}
	h.Waiter = protocol.NewWaiter(func() { p.woken <- h })
	reply := protocol.NewFuture[routing.GroupShare]()
	p.system.Root.Send(p.group, &routing.GroupPoll{
		Consumer: id, Topics: []group.SubscribedTopic{{Name: "t", ID: "id-t", Partitions: 2}}, SessionMs: 60_000, Handle: h, Ahead: a, Reply: reply,
	})
	return reply
}

// What was read ahead is delivered once it is committed, and to the poll that read it
// alone: a poll that asks again is known by its token.
func TestGroupTakesWhatWasReadAhead(t *testing.T) {
	p := newGroupProbe(t)
	parked, share := p.joined(1)
	start := protocol.NewFuture[routing.GroupOffsets]()
	p.system.Root.Send(p.group, &routing.GroupStart{Consumer: 1, Generation: share.Generation, Starts: []group.PartitionOffset{
		{Topic: "t", TopicID: "id-t"}, {Topic: "t", TopicID: "id-t", Partition: 1},
	}, Reply: start})
	p.proposal().Done(protocol.ProduceResult{})
	<-start.C()

	reply := p.askAhead(1, share.Generation, 5, false)
	commit := p.proposal()
	p.unanswered(reply)
	assert.Equal(t, routing.PollSuperseded, parked.Signal(), "it is a newer poll")
	again := p.askAhead(1, share.Generation, 5, true)
	p.unanswered(again)
	commit.Done(protocol.ProduceResult{})
	require.NotNil(t, p.answer(reply).Cursor)
	require.NotNil(t, p.answer(again).Cursor, "it is committed, and nobody else has it")
	require.Nil(t, p.answer(p.askAhead(1, share.Generation, 6, true)).Cursor, "another poll has it")
	other := p.answer(p.askAhead(1, share.Generation, 7, false))
	require.Nil(t, other.Cursor)
	require.Len(t, other.Assigned, 2, "it reads from where the group is")
	require.EqualValues(t, 1, *other.Assigned[0].Committed)
	require.Empty(t, p.asked)
}
