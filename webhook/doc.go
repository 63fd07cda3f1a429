// Package webhook delivers what subscriptions say: records of topics, by POST, to URLs.
//
// A Deliverer runs in every process. It asks its Backend which subscriptions are its
// own (those whose group has its coordinator here) and has a worker for each. The worker
// is an ordinary member of the group, always with the same consumer id: when another
// process takes over, its worker goes on as that member, at once and where the committed
// offsets say.
//
//	deliverer.go   which workers run
//	worker.go      one subscription: joins, plans, sends, commits
//	lane.go        one partition: what is due, in which order, and what can be committed
//	message.go     identity, body and signature of a delivery
//	sender.go      POST, and what its answer means
//	target.go      addresses that nobody may be sent to
//	dead.go        records that cannot be delivered
//
// Invariants:
//
//   - An offset is committed when everything before it was taken by the receiver, or is
//     in a topic of dead letters. So each record is delivered at least once.
//   - The id of a delivery names its records. How records are divided into deliveries is
//     committed before one of several records is sent, so that a retry has the same
//     records and the same id, also from another process.
//   - Waiting costs no goroutine and no record in memory: a lane has offsets only, and
//     records are read again when they are sent. What is read is bounded by a budget that
//     all workers of the process share.
//   - Where a delivery goes is decided on the address that is connected to, not on a name
//     that was looked up before.
package webhook
