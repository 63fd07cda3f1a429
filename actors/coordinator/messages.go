package coordinator

import (
	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Private messages of a group's actor; what clients ask of it is in routing.
type (
	// groupResign says that this coordinator does not lead any more.
	groupResign struct{}
	// groupFailed tells the coordinator that a group cannot go on: what it
	// decided is not in the log.
	groupFailed struct{ PID *actor.PID }
	// deleteUnused deletes the group if nobody has used it for so long.
	deleteUnused struct{ RetentionMs int64 }
	// groupCommitted is the log's answer to proposal number seq.
	groupCommitted struct {
		seq uint64
		err *protocol.Error
	}
	// groupConfirmed lets a linearizable read go on.
	groupConfirmed struct {
		read *routing.GroupRead
		err  *protocol.Error
	}
	// expireLeases looks for leases that have run out.
	expireLeases struct{}
	// groupTopicGone says that a topic was deleted.
	groupTopicGone struct{ TopicID string }
)

// Refuse implements routing.Question.
func (m *groupTopicGone) Refuse(*protocol.Error) {}

// Refuse implements routing.Question.
func (m *deleteUnused) Refuse(*protocol.Error) {}
