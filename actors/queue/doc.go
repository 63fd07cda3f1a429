// Package queue is the state of a work queue: a group whose workers share the
// records of every partition, and end each of them by itself.
//
// State is pure: no actor, no log, and time is an argument, in milliseconds since
// 1970. Its methods change it at once and return the records of
// __consumer_offsets that make the change durable; whoever calls them holds the
// answers back until those are committed, and throws the state away when they are
// not. Apply, with the records that are left after compaction, makes the durable
// part again, and Resume begins the soft part from it.
//
//	settings.go          the queue's settings, and their record
//	ended.go             which records are ended: a tree of bitmaps above the position
//	records.go           the records' form, Apply, what has changed since the last flush
//	ends.go              how records ended that were given more than once, or died
//	state.go             partitions and their records: given, waiting, dying
//	feed.go              what is to be read of the logs, and what was read
//	give.go, timers.go   giving records to workers, deadlines and delays
//	end.go               ack, nack, extend, and records that could not be delivered; dead
//	                     letters, records that retention has removed
//	receipt.go           receipts, sealed with the queue's secret
//	describe.go          numbers for people
//
// # What is durable
//
// The position (all records below it are ended), which records above it are ended,
// and for each record that was ever given and is not ended: how often it was given,
// and until when it is with its worker, or is to wait. So a delivery is durable
// before the worker has it, and its receipt is good after a failover.
//
// The offsets of a partition are split into chunks of 64, each with a record of its own that
// holds its whole state, so that compaction by key loses nothing. When all of a chunk
// is ended its record goes, and a bit is set in the node above it, which stands for 64
// chunks; and so on. A change writes the position, and the nodes it touches.
//
// # Invariants
//
//   - The position never passes a record that is not ended.
//   - An ended record is never given again.
//   - An ack of a record that died is never taken: where that is forgotten, none is of a
//     record of which nothing is known.
//   - A record and a count name one delivery: the count grows with each.
//   - Records of a flush may be cut off anywhere: how records ended comes first, then the
//     position, then nodes from the root down, so that no prefix forgets an end.
//   - With order by key, a record is given only when all earlier ones of its partition
//     with its key are ended.
package queue
