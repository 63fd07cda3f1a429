package supervise

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// inlineSystem starts an actor with an inline mailbox.
func inlineSystem(t *testing.T, receive actor.ReceiveFunc) (*actor.RootContext, *actor.PID) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	system := actor.NewActorSystem(actor.WithLoggerFactory(QuietLogger(log)), actor.WithDeadLetterRequestLogging(false))
	RefuseDeadLetters(system)
	t.Cleanup(system.Shutdown)
	props := Props(log, func() actor.Actor { return receive }, actor.WithMailbox(Answering(log, Inline())), actor.WithGuardian(&Children{}))
	return system.Root, system.Root.Spawn(props)
}

func TestInlineActorHasAnsweredWhenSendReturns(t *testing.T) {
	var got []int
	root, pid := inlineSystem(t, func(ctx actor.Context) {
		if n, ok := ctx.Message().(int); ok {
			got = append(got, n)
			if n == 1 {
				ctx.Send(ctx.Self(), 10) // behind the present one
			}
		}
	})
	root.Send(pid, 1)
	root.Send(pid, 2)
	assert.Equal(t, []int{1, 10, 2}, got)
}

// Many senders at once: one message at a time, each sender's in order, and none is lost.
func TestInlineActorHandlesOneMessageAtATime(t *testing.T) {
	const senders, each = 8, 2000
	type message struct{ sender, n int }
	var inside atomic.Int32
	next := make([]int, senders)
	done := make(chan struct{})
	count := 0
	root, pid := inlineSystem(t, func(ctx actor.Context) {
		m, ok := ctx.Message().(message)
		if !ok {
			return
		}
		assert.Equal(t, int32(1), inside.Add(1))
		assert.Equal(t, next[m.sender], m.n)
		next[m.sender]++
		if count++; count == senders*each {
			close(done)
		}
		inside.Add(-1)
	})
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				root.Send(pid, message{s, n})
			}
		})
	}
	wg.Wait()
	<-done
}

// A sender is not kept for what others send: after some messages a goroutine of the
// dispatcher goes on.
func TestInlineActorLetsItsSenderGo(t *testing.T) {
	returned := make(chan struct{})
	all := make(chan int, 1)
	n := 0
	root, pid := inlineSystem(t, func(ctx actor.Context) {
		if _, ok := ctx.Message().(string); !ok {
			return
		}
		if n++; n == 10*inlineMessages {
			<-returned // else the sender would never come back
			all <- n
			return
		}
		if n < 10*inlineMessages {
			ctx.Send(ctx.Self(), "again")
		}
	})
	root.Send(pid, "again")
	close(returned)
	assert.Equal(t, 10*inlineMessages, <-all)
}

// A panic ends the actor as it does any other, and not its sender.
func TestPanicOfAnInlineActorIsNotItsSenders(t *testing.T) {
	root, pid := inlineSystem(t, func(ctx actor.Context) {
		if _, asks := ctx.Message().(*question); asks {
			panic("of the test")
		}
	})
	for i := range 3 {
		q := &question{answer: make(chan *protocol.Error, 1)}
		root.Send(pid, q)
		err := receive(t, q.answer)
		require.NotNil(t, err)
		if i == 0 {
			require.Equal(t, protocol.OutcomeUnknown, err.Outcome)
		} else {
			require.Equal(t, protocol.OutcomeNone, err.Outcome)
		}
	}
}

// An actor that is always busy keeps memory for what waits, and not for all that has ever
// waited.
func TestMailboxOfABusyActorDoesNotGrow(t *testing.T) {
	var q messages
	q.push(0)
	for n := range 10_000 {
		q.push(n + 1)
		require.Equal(t, n, q.pop())
	}
	assert.Equal(t, 1, q.len())
	assert.LessOrEqual(t, cap(q.list), keptMessages)
}
