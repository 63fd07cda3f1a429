package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Refuse answers a message that will not be worked on (any more).
func Refuse(message any, err *protocol.Error) {
	if env, ok := message.(*actor.MessageEnvelope); ok {
		message = env.Message
	}
	switch m := message.(type) {
	case *protocol.ProduceRequest:
		m.Reply.Put(protocol.ProduceResult{Err: err})
	case routing.Question:
		m.Refuse(err)
	}
}

// RefuseDeadLetters answers what is sent to actors that have ended.
func RefuseDeadLetters(system *actor.ActorSystem) {
	system.EventStream.Subscribe(func(event any) {
		if dead, ok := event.(*actor.DeadLetterEvent); ok {
			Refuse(dead.Message, protocol.ErrNotLeader)
		}
	})
}

// Props are the properties of every actor that has children or answers
// requests: a mailbox that answers requests the actor no longer can, and
// children that stop when they panic, unless the actor is itself an
// actor.SupervisorStrategy.
func Props(log *slog.Logger, producer actor.Producer, more ...actor.PropsOption) *actor.Props {
	return actor.PropsFromProducer(producer, append([]actor.PropsOption{
		actor.WithMailbox(Answering(log, actor.Unbounded())), actor.WithDispatcher(Mailboxes), actor.WithSupervisor(&Children{}),
	}, more...)...)
}

// Answering makes mailboxes that answer requests after their actor's end.
func Answering(log *slog.Logger, mailbox actor.MailboxProducer) actor.MailboxProducer {
	return func() actor.Mailbox { return &answeringMailbox{Mailbox: mailbox(), log: log} }
}

// answeringMailbox stands between a mailbox and its actor.
type answeringMailbox struct {
	actor.Mailbox
	log     *slog.Logger
	invoker actor.MessageInvoker
	ended   bool // touched on the actor's goroutine only
}

// RegisterHandlers implements actor.Mailbox.
func (m *answeringMailbox) RegisterHandlers(invoker actor.MessageInvoker, d actor.Dispatcher) {
	m.invoker = invoker
	m.Mailbox.RegisterHandlers(m, d)
}

// InvokeUserMessage implements actor.MessageInvoker.
func (m *answeringMailbox) InvokeUserMessage(message any) {
	if m.ended {
		Refuse(message, protocol.ErrNotLeader)
		return
	}
	m.invoker.InvokeUserMessage(message)
}

// InvokeSystemMessage implements actor.MessageInvoker. What is left in the
// mailbox of an actor that has ended would be dropped in silence; after a panic
// it would not even be looked at, because the mailbox is suspended.
func (m *answeringMailbox) InvokeSystemMessage(message any) {
	m.invoker.InvokeSystemMessage(message)
	switch message.(type) {
	case *actor.Stop, *actor.Terminated:
	default:
		return
	}
	ctx, ok := m.invoker.(actor.Context)
	if !ok || m.ended {
		return
	}
	if _, alive := ctx.ActorSystem().ProcessRegistry.Get(ctx.Self()); !alive {
		m.ended = true
		m.PostSystemMessage(&actor.ResumeMailbox{})
	}
}

// EscalateFailure implements actor.MessageInvoker.
func (m *answeringMailbox) EscalateFailure(reason, message any) {
	m.log.Error("BUG: actor panicked and is stopped", "reason", reason, "message", fmt.Sprintf("%T", message), "stack", string(debug.Stack()))
	Attempt(m.log, func() { Refuse(message, protocol.Unknownf("the broker failed at this request: %v", reason)) })
	m.invoker.EscalateFailure(reason, message)
}

// Attempt runs one of several steps that must all be tried.
func Attempt(log *slog.Logger, step func()) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("BUG: panic in the end of an actor", "reason", p, "stack", string(debug.Stack()))
		}
	}()
	step()
}

// Children is the only supervision there is: an actor that panics is stopped.
// Embedded in the parent, it remembers why, on the parent's goroutine.
type Children struct{ causes map[string]error }

// HandleFailure implements actor.SupervisorStrategy.
func (c *Children) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	if c.causes == nil {
		c.causes = map[string]error{}
	}
	if err, ok := reason.(error); ok {
		c.causes[child.Id] = fmt.Errorf("it panicked: %w", err)
	} else {
		c.causes[child.Id] = fmt.Errorf("it panicked: %v", reason)
	}
	s.StopChildren(child)
}

// Cause says why a child ended, once for each end.
func (c *Children) Cause(child *actor.PID) error {
	err := c.causes[child.Id]
	if delete(c.causes, child.Id); err == nil {
		err = errors.New("its actor ended unexpectedly")
	}
	return err
}

// Root is the supervision of the node's actor, which has no parent: a
// process without it is of no use, so the process is told and the actor ends.
type Root struct{ Failed func(error) }

// HandleFailure implements actor.SupervisorStrategy.
func (r *Root) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	r.Failed(fmt.Errorf("the node actor panicked: %v", reason))
	s.StopChildren(child)
}

// QuietLogger gives the actor library a logger that leaves out its debug and
// info lines, which narrate every actor.
func QuietLogger(l *slog.Logger) func(*actor.ActorSystem) *slog.Logger {
	return func(*actor.ActorSystem) *slog.Logger { return slog.New(warnOnly{l.Handler()}) }
}

// warnOnly passes warnings and errors.
type warnOnly struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}
