package routing

import (
	"ottla/actors/queue"
	"ottla/protocol"
)

// Messages of a group's actor that concern queues.
type (
	// GroupQueue makes a group a queue, or changes one.
	GroupQueue struct {
		Change queue.Change
		Patch  bool                         // it must exist; else it must not, or have these settings
		Secret []byte                       // of a new one: seals its receipts
		Reply  protocol.Future[GroupQueued] `json:"-"`
	}
	// GroupQueued answers GroupQueue.
	GroupQueued struct {
		Created bool
		Err     *protocol.Error `json:"-"`
	}
	// GroupSay is what workers say of deliveries. Receipts are tokens.
	GroupSay struct {
		Word     queue.Word
		Receipts []string
		Reply    protocol.Future[GroupSaid] `json:"-"`
	}
	// GroupSaid answers GroupSay, in the order of the receipts.
	GroupSaid struct {
		Verdicts []queue.Verdict
		Err      *protocol.Error `json:"-"`
	}
	// GroupReturn gives deliveries back that did not reach their worker, and names
	// those whose records do not exist any more.
	GroupReturn struct {
		Back, Gone []queue.Ref
		Reply      protocol.Future[*protocol.Error] `json:"-"`
	}
	// QueueShare is what a poll of a queue is given.
	QueueShare struct {
		Given []queue.Given
	}
)

// Refuse implements Question.
func (m *GroupQueue) Refuse(err *protocol.Error) { m.Reply.Put(GroupQueued{Err: err}) }

// Refuse implements Question.
func (m *GroupSay) Refuse(err *protocol.Error) { m.Reply.Put(GroupSaid{Err: err}) }

// Refuse implements Question.
func (m *GroupReturn) Refuse(err *protocol.Error) { m.Reply.Put(err) }

// QueueFeed is a queue as the goroutines see it that read its logs and write its dead
// letters. They run at the node of its coordinator, and end with that.
type QueueFeed struct {
	ClusterID string
	Group     string
	Ended     <-chan struct{} // closed when the coordinator ends
	Work      <-chan struct{} // gets a value when there may be something to do
	Ask       func(Question)  // hands a question to the queue; only the four below
}

// Questions of a QueueFeed.
type (
	// QueueLook asks what is to be done.
	QueueLook struct {
		Partitions map[string]int // by topic id
		Reply      protocol.Future[QueueWork]
	}
	// QueueWork answers QueueLook.
	QueueWork struct {
		Scans []queue.Scan
		Dying []queue.Dying
		Idle  bool  // nobody works on it
		Born  int64 // when the queue was created: tells it from others of its name
		Err   *protocol.Error
	}
	// QueueRead brings what was read of a partition.
	QueueRead struct{ queue.Read }
	// QueueBuried says that a dead letter was written, or that its record does not exist
	// any more. It is answered when that is committed.
	QueueBuried struct {
		Dying   queue.Dying
		Written bool
		Reply   protocol.Future[*protocol.Error]
	}
)

// Refuse implements Question.
func (m *QueueLook) Refuse(err *protocol.Error) { m.Reply.Put(QueueWork{Err: err}) }

// Refuse implements Question.
func (m *QueueRead) Refuse(*protocol.Error) {}

// Refuse implements Question.
func (m *QueueBuried) Refuse(err *protocol.Error) { m.Reply.Put(err) }
