package supervise

import (
	"github.com/asynkron/protoactor-go/actor"

	"ottla/protocol"
)

// mailboxThroughput is how many messages an actor works on before it lets
// others run; the library's default.
const mailboxThroughput = 300

// Mailboxes runs the mailboxes of all actors. The library starts a
// goroutine each time a mailbox gets its first message. A step of a replica
// goes deep into raft and the log, so each of these had to grow its stack,
// again and again: a twelfth of the CPU with 16 partitions under load. 256 are
// kept, about as many as actors are busy at one time: a few MiB of stacks.
var Mailboxes = &runners{protocol.Workers{Keep: 256}}

// runners is an actor.Dispatcher that keeps goroutines with their stacks.
type runners struct{ protocol.Workers }

var _ actor.Dispatcher = (*runners)(nil)

// Throughput implements actor.Dispatcher.
func (*runners) Throughput() int { return mailboxThroughput }

// Schedule implements actor.Dispatcher.
func (r *runners) Schedule(fn func()) { r.Go(fn) }
