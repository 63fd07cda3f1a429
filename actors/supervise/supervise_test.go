package supervise

import (
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// question is anything that wants an answer.
type question struct{ answer chan *protocol.Error }

func (q *question) Refuse(err *protocol.Error) { q.answer <- err }

// parent spawns a child that panics at every question, and hears of its end.
type parent struct {
	Children
	child chan *actor.PID
	ended chan error
}

func (p *parent) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		p.child <- ctx.Spawn(Props(slog.New(slog.DiscardHandler), func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, asks := ctx.Message().(*question); asks {
					panic("of the test")
				}
			})
		}))
	case *actor.Terminated:
		p.ended <- p.Cause(m.Who)
	}
}

func TestWhoeverWaitsForAnActorThatPanicsIsAnswered(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(QuietLogger(log)), actor.WithDeadLetterRequestLogging(false))
	RefuseDeadLetters(system)
	defer system.Shutdown()
	p := &parent{child: make(chan *actor.PID, 1), ended: make(chan error, 1)}
	system.Root.Spawn(Props(log, func() actor.Actor { return p }))
	child := <-p.child
	outcomes := []protocol.Outcome{protocol.OutcomeUnknown, protocol.OutcomeNone, protocol.OutcomeNone}
	var asked []*question
	for range outcomes[:2] { // one that is worked on, one that may be behind it in the mailbox
		asked = append(asked, &question{answer: make(chan *protocol.Error, 1)})
		system.Root.Send(child, asked[len(asked)-1])
	}
	require.ErrorContains(t, receive(t, p.ended), "it panicked: of the test")
	late := &question{answer: make(chan *protocol.Error, 1)}
	system.Root.Send(child, late)
	for i, q := range append(asked, late) {
		err := receive(t, q.answer)
		require.NotNil(t, err)
		require.Equal(t, outcomes[i], err.Outcome, "question %d", i)
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		require.Fail(t, "no answer")
		panic("unreachable")
	}
}
