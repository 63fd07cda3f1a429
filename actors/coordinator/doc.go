// Package coordinator has the actors of consumer groups: streams, work queues and groups
// that speak Kafka's protocol.
//
// A Coordinator belongs to the actor of a partition of __consumer_offsets and shares its
// goroutine. On every replica it keeps the newest records of each group; on the leader it
// has, below the partition, an actor for each group that somebody has asked for. What a
// group decides is in packages group, queue and classic, which know no actors.
//
// A group's actor has no goroutine: it runs on that of whoever sends to it and finds it idle
// (supervise.Inline), a client's as a rule, or its partition's when records are committed. So
// it must not wait. Clients find it by the leadership of its partition (Host.Direct). Queues,
// which have more to do for a message, run on goroutines of their own.
//
// # Invariants
//
//   - A group's actor runs ahead of the log: decided records are applied at once and
//     proposed, and answers that may depend on them are held back until they are committed.
//   - When a proposal fails, nothing that the group decided after it enters the log
//     (ProposalRun), the actor refuses everything, and the next one begins with what is
//     committed, not before all proposals of the former one are answered.
//   - Leases stand on a clock that nobody sets, records carry the time of the wall clock.
package coordinator
