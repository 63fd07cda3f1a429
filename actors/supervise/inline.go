package supervise

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// inlineMessages is how many messages a sender works on before a goroutine of the
// dispatcher takes over: so a sender is never held up for long by what others send.
const inlineMessages = 16

// keptMessages is for how many messages memory is kept by a mailbox that is empty.
const keptMessages = 4

// Inline makes mailboxes whose actor runs on the goroutine of its sender, if it does not run
// yet. So a message to an idle actor costs no switch to another goroutine, and what that
// answers is there when Send returns. It is for actors that never wait, and that nobody
// sends to while holding a lock which they need.
func Inline() actor.MailboxProducer {
	return func() actor.Mailbox { return &inlineMailbox{} }
}

// inlineMailbox is one actor's. Whoever finds it idle runs the actor; all others leave
// their messages, in order, to that one.
type inlineMailbox struct {
	invoker actor.MessageInvoker
	rest    actor.Dispatcher

	mu        sync.Mutex
	system    messages
	user      messages
	running   bool
	suspended bool // after a panic
}

// messages are the oldest first.
type messages struct {
	list []any
	next int // place of the oldest
}

func (q *messages) len() int { return len(q.list) - q.next }

func (q *messages) push(message any) {
	// The places of those that are done are used again, or the list of an actor that is never
	// idle would grow for ever.
	if len(q.list) == cap(q.list) && q.next > 0 && q.next >= q.len() {
		n := copy(q.list, q.list[q.next:])
		clear(q.list[n:])
		q.list, q.next = q.list[:n], 0
	}
	q.list = append(q.list, message)
}

func (q *messages) pop() any {
	message := q.list[q.next]
	q.list[q.next] = nil
	if q.next++; q.next == len(q.list) {
		q.list, q.next = q.list[:0], 0
		if cap(q.list) > keptMessages {
			q.list = nil
		}
	}
	return message
}

// RegisterHandlers implements actor.Mailbox.
func (m *inlineMailbox) RegisterHandlers(invoker actor.MessageInvoker, d actor.Dispatcher) {
	m.invoker, m.rest = invoker, d
}

// Start implements actor.Mailbox.
func (m *inlineMailbox) Start() {}

// UserMessageCount implements actor.Mailbox.
func (m *inlineMailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.user.len()
}

// PostUserMessage implements actor.Mailbox.
func (m *inlineMailbox) PostUserMessage(message any) {
	m.mu.Lock()
	if m.running || m.suspended {
		m.user.push(message)
		m.mu.Unlock()
		return
	}
	m.running = true
	m.mu.Unlock()
	m.invoke(message, false)
	m.run()
}

// PostSystemMessage implements actor.Mailbox.
func (m *inlineMailbox) PostSystemMessage(message any) {
	m.mu.Lock()
	m.system.push(message)
	runs := m.running
	m.running = true
	m.mu.Unlock()
	if !runs {
		m.run()
	}
}

// run works on what is there, and goes on elsewhere if that is much. Who calls it has set
// running.
func (m *inlineMailbox) run() {
	for range inlineMessages {
		m.mu.Lock()
		switch {
		case m.system.len() > 0:
			message := m.system.pop()
			m.mu.Unlock()
			m.invoke(message, true)
		case m.user.len() > 0 && !m.suspended:
			message := m.user.pop()
			m.mu.Unlock()
			m.invoke(message, false)
		default:
			m.running = false
			m.mu.Unlock()
			return
		}
	}
	m.rest.Schedule(m.run)
}

func (m *inlineMailbox) invokeSystem(message any) {
	switch message.(type) {
	case *actor.SuspendMailbox:
		m.suspend(true)
	case *actor.ResumeMailbox:
		m.suspend(false)
	default:
		m.invoker.InvokeSystemMessage(message)
	}
}

func (m *inlineMailbox) suspend(suspended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspended = suspended
}

// invoke hands a message to the actor, whose panic ends only the actor.
func (m *inlineMailbox) invoke(message any, system bool) {
	defer func() {
		if p := recover(); p != nil {
			m.invoker.EscalateFailure(p, message)
		}
	}()
	if system {
		m.invokeSystem(message)
	} else {
		m.invoker.InvokeUserMessage(message)
	}
}
