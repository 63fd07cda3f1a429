package coordinator

import (
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// directly are the groups whose actors clients may ask without the coordinator.
func (p *coordinatorProbe) directly() (names []string) {
	p.t.Helper()
	p.inside(func(actor.Context) {
		for name, pid := range p.c.host.(leading).direct {
			assert.True(p.t, pid.Equal(p.c.running[name]))
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names
}

// ask has a group's actor started, if there is the group.
func (p *coordinatorProbe) ask(name string) {
	p.t.Helper()
	reply := protocol.NewFuture[routing.GroupReading]()
	p.system.Root.Send(p.partition, &routing.GroupRequest{Group: name, Msg: &routing.GroupRead{AsKnown: true, Reply: reply}})
	_, come := reply.Wait(time.Now().Add(patience))
	require.True(p.t, come)
}

// Clients ask a group's own actor while the coordinator would only hand on what they ask:
// where the group has a record, so that it is let in for good, is no queue, and runs.
func TestClientsAskGroupsThatAreLetInForGood(t *testing.T) {
	joined, _ := memberships(t)
	p := newCoordinatorProbe(t, nil, nil)
	key := func(kind, name string) []byte { return []byte(`["` + kind + `","` + name + `"]`) }
	keep := func(rec metarecord.Record) {
		p.inside(func(actor.Context) {
			name, err := group.NameOfKey(rec.Key)
			require.NoError(t, err)
			p.c.keep(name, rec)
		})
	}
	membership := func(name string) metarecord.Record {
		return metarecord.Record{Action: joined[0].Action, Key: key("g", name), Value: joined[0].Value}
	}
	keep(membership("a"))
	keep(membership("b"))
	assert.Empty(t, p.directly(), "nobody has asked for them")
	p.ask("a")
	assert.Equal(t, []string{"a"}, p.directly())
	p.ask("none")
	p.ask("b")
	assert.Equal(t, []string{"a", "b"}, p.directly())

	keep(metarecord.Record{Action: "SETTINGS", Key: key("q", "b"), Value: []byte("{}")})
	assert.Equal(t, []string{"a"}, p.directly(), "b is a queue now")
	keep(metarecord.Record{Action: "DELETE_GROUP", Key: key("g", "a")})
	assert.Empty(t, p.directly(), "a was deleted")
	keep(membership("a"))
	assert.Equal(t, []string{"a"}, p.directly(), "and is there again")
	p.inside(func(ctx actor.Context) { p.c.failed(ctx, p.c.running["a"]) })
	assert.Empty(t, p.directly(), "its actor has failed")
}

// What an actor proposed before it panicked comes behind the word of its end, and is not
// written any more: its successor may have begun without it.
func TestProposalsOfAPanickedGroupAreNotWritten(t *testing.T) {
	joined, _ := memberships(t)
	p := newCoordinatorProbe(t, []string{"g"}, joined)
	p.ask("g")
	poll := func(number uint64, reply protocol.Future[routing.GroupShare]) *routing.GroupPoll {
		return &routing.GroupPoll{
			Consumer: 2, Topics: []group.SubscribedTopic{{Name: "t", ID: "id-t", Partitions: 2}}, SessionMs: 60_000, Number: number,
			Handle: &routing.PollHandle{Waiter: protocol.NewWaiter(func() {})}, Reply: reply,
		}
	}
	reply := protocol.NewFuture[routing.GroupShare]()
	p.inside(func(actor.Context) { // the actor runs here, and the coordinator after it
		pid := p.c.running["g"]
		p.system.Root.Send(pid, poll(2, reply))
		p.system.Root.Send(pid, poll(1, protocol.Called(func(routing.GroupShare) { panic("a bug") })))
	})
	share, come := reply.Wait(time.Now().Add(patience))
	require.True(t, come)
	require.NotNil(t, share.Err)
	assert.Equal(t, protocol.OutcomeUnknown, share.Err.Outcome)
	p.ask("g")
	p.inside(func(actor.Context) {})
	assert.Empty(t, p.committed)
}
