// Package compaction is the work of compacting a replica's log, and of handing
// compacted records to replicas that lack the entries. Compaction is decided by an
// entry of the log and done by each replica for itself, aside, on a goroutine. A
// replica that lacks entries which its leader has compacted gets a snapshot, which
// takes effect only after the leader's compacted records have arrived: they are asked
// for and sent one chunk at a time, and written aside by a goroutine. Parts taken over
// early do no harm: they hold committed records only, and a log that lacks those
// entries cannot win an election.
//
// What is here belongs to the goroutine of the replica's actor, and says when there is
// something to do. It knows time as ticks, and neither raft nor mailboxes.
package compaction
