package peers

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"

	"ottla/actors/routing"
)

// What is asked of a group goes to the group's own mailbox as long as the replica says so,
// and all else to the replica's.
func TestGroupsAreAskedDirectly(t *testing.T) {
	system := actor.NewActorSystem()
	defer system.Shutdown()
	var replica, group []any
	// A synchronized dispatcher: Ask has delivered when it returns.
	spawn := func(got *[]any) *actor.PID {
		return system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			if q, ok := ctx.Message().(routing.Question); ok {
				*got = append(*got, q)
			}
		}, actor.WithDispatcher(actor.NewSynchronizedDispatcher(300))))
	}
	l := new(Group).NewLocalLeader(system.Root, spawn(&replica), 1, 1)
	to := spawn(&group)
	read := &routing.GroupRead{}
	mine := &routing.GroupRequest{Group: "g", Msg: read}
	other := &routing.GroupRequest{Group: "other", Msg: read}

	l.Ask(mine)
	l.Direct("g", to)
	l.Ask(mine)
	l.Ask(other)
	l.Direct("g", nil)
	l.Ask(mine)
	assert.Equal(t, []any{mine, other, mine}, replica)
	assert.Equal(t, []any{read}, group)
}
