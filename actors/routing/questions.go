package routing

import "ottla/protocol"

// DescribePartition asks a leader for its view of the partition.
type DescribePartition struct {
	Reply protocol.Future[PartitionState] `json:"-"`
}

// PartitionState answers DescribePartition.
type PartitionState struct {
	Replica  uint64
	InSync   []int           // broker ids
	Settled  bool            // the group has just the members that it should have
	Err      *protocol.Error `json:"-"`
	Earliest protocol.Offset
	Latest   protocol.Offset
	LogBytes int64
	Lags     []Lag // of replicas that get what they lack at the moment
}

// Lag is how far a replica is behind its leader.
type Lag struct {
	Replica uint64
	Bytes   int64 // about
	Rate    int64 // bytes per second that it gets; 0: not known yet
}

// Refuse implements Question.
func (m *DescribePartition) Refuse(err *protocol.Error) { m.Reply.Put(PartitionState{Err: err}) }

// ListProducers asks a partition's leader for the producer ids it remembers.
type ListProducers struct {
	Reply protocol.Future[ProducerList] `json:"-"`
}

// ProducerList answers ListProducers.
type ProducerList struct {
	IDs []string
	Err *protocol.Error `json:"-"`
}

// Refuse implements Question.
func (m *ListProducers) Refuse(err *protocol.Error) { m.Reply.Put(ProducerList{Err: err}) }

// CheckKey asks a partition's leader whether an Idempotency-Key has come with
// another body.
type CheckKey struct {
	ID    string
	Hash  uint64
	Reply protocol.Future[*protocol.Error] `json:"-"` // idempotency_mismatch, or nil
}

// Refuse implements Question.
func (m *CheckKey) Refuse(err *protocol.Error) { m.Reply.Put(err) }

// AskPlaced asks a partition's leader what it knows of a request. Once it is answered,
// requests that are placed by fewer than Partitions are refused there unless they are
// known: what is not known by then never will be.
type AskPlaced struct {
	ID         string
	Epoch      int64
	Sequence   int64
	Hash       uint64
	Partitions int
	Reply      protocol.Future[Placed] `json:"-"`
}

// Placed answers AskPlaced.
type Placed struct {
	Known protocol.Knowledge
	Err   *protocol.Error `json:"-"`
}

// Refuse implements Question.
func (m *AskPlaced) Refuse(err *protocol.Error) { m.Reply.Put(Placed{Err: err}) }

// ChangeMetadata puts records in a cluster's metadata if nothing has been put there
// since they were decided on: their first offset would be At.
type ChangeMetadata struct {
	Lines *protocol.Lines
	At    int64
	Reply protocol.Future[protocol.ProduceResult] `json:"-"`
}

// Refuse implements Question.
func (m *ChangeMetadata) Refuse(err *protocol.Error) { m.Reply.Put(protocol.ProduceResult{Err: err}) }

// ErrDecidedTooEarly refuses a ChangeMetadata: others have changed the metadata
// meanwhile, and nothing happened.
var ErrDecidedTooEarly = protocol.Errorf(protocol.CodeOverloaded, "the cluster's metadata has changed meanwhile")

// ConfirmEnd asks a leader up to where the log is committed, and answers once a
// majority has confirmed that it leads.
type ConfirmEnd struct {
	Reply protocol.Future[LogEnd] `json:"-"`
}

// LogEnd answers ConfirmEnd.
type LogEnd struct {
	Next int64           // the offset after the last committed record
	Err  *protocol.Error `json:"-"`
}

// Refuse implements Question.
func (m *ConfirmEnd) Refuse(err *protocol.Error) { m.Reply.Put(LogEnd{Err: err}) }

// TrimLog asks a leader to have its partition begin at offset Before, or at its end
// if that is protocol.AllRecords. It is answered once that is on a majority.
type TrimLog struct {
	Before protocol.Offset
	Reply  protocol.Future[LogStart] `json:"-"`
}

// LogStart answers TrimLog.
type LogStart struct {
	Earliest protocol.Offset
	Err      *protocol.Error `json:"-"`
}

// Refuse implements Question.
func (m *TrimLog) Refuse(err *protocol.Error) { m.Reply.Put(LogStart{Err: err}) }
