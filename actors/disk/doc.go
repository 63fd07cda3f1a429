// Package disk writes the logs of all replicas on one filesystem and makes
// them durable, with as few syncs as possible.
//
// One actor serves one filesystem. Replicas send it Write messages, each with
// a batch of one log; it gathers them while a round is under way, executes
// what it gathered, covers it by one sync (fdatasync for one file, syncfs for
// several, fdatasync of all at once where that is cheaper) and answers each Write
// with exactly one Done.
//
//	queue     what waits for the next round, and who waits for whom   pure
//	round     the work of one round: execute, sync, results           on the worker goroutine
//	syncers   fdatasync, syncfs, and which of them is cheaper         operating system
//	actor     mailbox, worker, timers, watching hung rounds           shell
//
// Invariants:
//
//   - A Done without an error follows a sync that began after the write, and
//     all earlier writes of the same replica, were executed.
//   - Batches of one log are executed in the order in which they were staged,
//     so none may be dropped once it is staged.
//   - A failed sync is final for the files concerned (SyncError): nobody knows
//     which bytes the disk holds, so it is never repeated. ENOSPC from a write
//     is an ordinary error (Retriable): the owner sends the same writes again.
//   - A log that was closed before its turn, as the logs of deleted topics are,
//     fails with logfile.ErrClosed. That is no failure of the disk: it is
//     neither logged nor counted.
//   - A round that runs longer than a second makes the filesystem unfit for leaders
//     (Fitness) until half a minute after it has ended.
//   - A round that runs longer than Options.StallAfter is reported once, and
//     once more when it has ended after all. The actor itself never blocks on a
//     file, except while it stops.
package disk
