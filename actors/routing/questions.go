package routing

import "ottla/protocol"

// DescribePartition asks a leader for its view of the partition.
type DescribePartition struct {
	Reply protocol.Future[PartitionState]
}

// PartitionState answers DescribePartition.
type PartitionState struct {
	Replica  uint64
	InSync   []int // broker ids
	Settled  bool  // the group has just the members that it should have
	Err      *protocol.Error
	Earliest protocol.Offset
	Latest   protocol.Offset
}

// Refuse implements Question.
func (m *DescribePartition) Refuse(err *protocol.Error) { m.Reply.Put(PartitionState{Err: err}) }

// ListProducers asks a partition's leader for the producer ids it remembers.
type ListProducers struct {
	Reply protocol.Future[ProducerList]
}

// ProducerList answers ListProducers.
type ProducerList struct {
	IDs []string
	Err *protocol.Error
}

// Refuse implements Question.
func (m *ListProducers) Refuse(err *protocol.Error) { m.Reply.Put(ProducerList{Err: err}) }

// CheckKey asks a partition's leader whether an Idempotency-Key has come with
// another body.
type CheckKey struct {
	ID    string
	Hash  uint64
	Reply protocol.Future[*protocol.Error] // idempotency_mismatch, or nil
}

// Refuse implements Question.
func (m *CheckKey) Refuse(err *protocol.Error) { m.Reply.Put(err) }
