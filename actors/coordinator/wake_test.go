package coordinator

import (
	"bytes"
	"fmt"
	"log/slog"
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
	"ottla/logfile"
	"ottla/protocol"
)

// leading is the host of a coordinator that leads, and whose proposals are all answered.
type leading struct{ direct map[string]*actor.PID }

func (leading) Serves() bool                      { return true }
func (leading) ProposalsAccepted() (uint64, bool) { return 0, true }
func (l leading) Direct(name string, to *actor.PID) {
	if to == nil {
		delete(l.direct, name)
		return
	}
	l.direct[name] = to
}
func (leading) ProposalsAnswered(uint64) bool { return true }

// coordinatorProbe is a coordinator in an actor that commits what its groups propose.
type coordinatorProbe struct {
	t         *testing.T
	system    *actor.ActorSystem
	partition *actor.PID
	c         *Coordinator
	committed chan metarecord.Record
}

func newCoordinatorProbe(t *testing.T, names []string, records []metarecord.Record) *coordinatorProbe {
	p := &coordinatorProbe{t: t, committed: make(chan metarecord.Record, 1000)}
	p.system = actor.NewActorSystem(actor.WithLoggerFactory(supervise.QuietLogger(slog.Default())))
	millis := func() int64 { return time.Now().UnixMilli() }
	env := &Env{
		System: p.system, Now: time.Now, Agreed: millis, Steady: millis, Wall: millis, MaxGroups: 1000,
		Seal: func(string) *group.Seal { return nil }, Level: func() int { return level.Newest },
		Ticks: func(d time.Duration) int { return int(d / time.Second) },
	}
	p.c = New(leading{map[string]*actor.PID{}}, env, slog.Default(), logfile.Identity{ClusterID: "c"})
	for _, name := range names {
		for _, rec := range records {
			p.c.keep([]byte(name), metarecord.Record{Action: rec.Action, Key: bytes.Replace(rec.Key, []byte(`"g"`), []byte(`"`+name+`"`), 1), Value: rec.Value})
		}
	}
	p.partition = p.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case func(actor.Context):
			m(ctx)
		case *actor.Terminated:
			p.c.Ended(m.Who)
		case *ProposeRecords:
			done, ok := m.Tie(1)
			if !ok {
				return
			}
			for _, rec := range recordsOf(t, m) {
				p.committed <- rec
			}
			done(protocol.ProduceResult{})
		default:
			p.c.Receive(ctx, m)
		}
	}, actor.WithSupervisor(&supervise.Children{})))
	t.Cleanup(func() { _ = p.system.Root.PoisonFuture(p.partition).Wait() })
	p.inside(func(actor.Context) { p.c.Lead(1) })
	return p
}

// inside calls f on the coordinator's goroutine.
func (p *coordinatorProbe) inside(f func(actor.Context)) {
	p.t.Helper()
	done := make(chan struct{})
	p.system.Root.Send(p.partition, func(ctx actor.Context) { f(ctx); close(done) })
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(p.t, "the coordinator does not answer")
	}
}

// awakeAfter is how many groups run after a number of further ticks.
func (p *coordinatorProbe) awakeAfter(ticks int) (n int) {
	p.t.Helper()
	p.inside(func(ctx actor.Context) {
		for range ticks {
			p.c.ExpiryTick(ctx)
		}
		n = len(p.c.running)
	})
	return n
}

// memberships are records of a group whose only member has just joined, and of one whose
// member's lease is known to have run out.
func memberships(t *testing.T) (joined, lapsed []metarecord.Record) {
	g := newGroupProbe(t)
	reply := protocol.NewFuture[routing.GroupShare]()
	h := &routing.PollHandle{Waiter: protocol.NewWaiter(func() {})}
	g.system.Root.Send(g.group, &routing.GroupPoll{
		Consumer: 1, Topics: []group.SubscribedTopic{{Name: "t", ID: "id-t", Partitions: 2}}, SessionMs: 10, Number: 1, Handle: h, Reply: reply,
	})
	joined = g.logged()
	g.barrier()                            // the lease has begun
	g.steady.Add(time.Hour.Milliseconds()) // a timer looks at the lease
	return joined, g.logged()
}

// Nobody has to ask for a group whose members are gone: a coordinator that begins to lead
// finds out by itself, and what it finds is in the log.
func TestANewCoordinatorFindsOutWhoIsAlive(t *testing.T) {
	joined, lapsed := memberships(t)
	p := newCoordinatorProbe(t, []string{"g"}, joined)
	assert.Zero(t, p.awakeAfter(9), "members have time to poll")
	assert.Equal(t, 1, p.awakeAfter(1))
	select {
	case rec := <-p.committed:
		assert.Equal(t, lapsed[0].Action, rec.Action)
		assert.Contains(t, string(rec.Value), "lapsed_at")
	case <-time.After(patience):
		require.Fail(t, "a member who is gone stays alive")
	}

	p = newCoordinatorProbe(t, []string{"g"}, lapsed)
	assert.Zero(t, p.awakeAfter(100), "of this one it is known that nobody is alive")
}

// Many groups are started in portions.
func TestGroupsAreWokenInPortions(t *testing.T) {
	joined, _ := memberships(t)
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprint("g", i))
	}
	p := newCoordinatorProbe(t, names, joined)
	var awake []int
	for range 13 {
		awake = append(awake, p.awakeAfter(1))
	}
	assert.Equal(t, []int{0, 0, 0, 0, 0, 0, 0, 0, 0, wakePortion, 2 * wakePortion, 50, 50}, awake)
	p.inside(func(ctx actor.Context) { p.c.Resign(ctx) })
	p.inside(func(actor.Context) { p.c.Lead(2) })
	assert.Zero(t, p.awakeAfter(9), "its members have time again")
	assert.Equal(t, wakePortion, p.awakeAfter(1))
}
