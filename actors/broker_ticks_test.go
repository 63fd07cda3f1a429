package actors

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"

	"ottla/actors/clock"
	"ottla/protocol"
)

// sentTicks is the context of a broker whose replicas take nothing.
type sentTicks struct {
	actor.Context
	at []int
}

func (s *sentTicks) Send(_ *actor.PID, m any) { s.at = append(s.at, m.(*partitionTick).At) }

// A replica that has fallen behind, or opens its log, finds one tick in its mailbox, not one
// for each that has passed: with thousands of them, a process that is short of processors
// would do nothing else.
func TestTicksDoNotPileUp(t *testing.T) {
	system := actor.NewActorSystem()
	defer system.Shutdown()
	ticks := &clock.Ticks{}
	b := &brokerActor{env: &environment{}, state: brokerRunning, replicas: map[protocol.PartitionID]*localReplica{
		{}: {pid: system.NewLocalPID("replica"), ticks: ticks},
	}}
	ctx := &sentTicks{}
	for range 20 {
		b.tickReplicas(ctx)
	}
	assert.Equal(t, []int{1}, ctx.at)
	ticks.Take()
	b.tickReplicas(ctx)
	b.tickReplicas(ctx)
	assert.Equal(t, []int{1, 21}, ctx.at, "it says how many have passed")
}
