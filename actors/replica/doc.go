// Package replica is one copy of a partition: raft's state machine, the log
// file that is its log, and, while it leads, the producers that wait for it.
//
// It does no I/O of its own and knows no actor. Its owner calls it from one
// goroutine, then calls Take and carries out the Effects: messages to send,
// writes to hand to the disk, entries to answer. A write that is durable comes
// back by DiskDone. The only clock is Config.Now; so a whole group can be
// simulated, which the tests of this package do with many thousand seeds.
//
//	replica.go        starting raft, stepping it, carrying out what it has ready
//	effects.go        what the owner is asked to do
//	write.go          what raft wants durable, and the disk's answers
//	feed.go           followers that lack what is not in memory any more
//	apply.go          committed entries, control entries, snapshots
//	propose.go        proposals, reads and hand-overs: the replica's side
//	pending.go        proposals, and the entries made of them
//	leading.go        group commit: the queue, entries in flight; pure
//	leading_*.go      reads; producers' sequences; requests that are too late; pure
//	producers.go      the table of producers, a function of the log
//	keytable.go       those of them that are Idempotency-Keys
//	membership*.go    learners, joint changes, when a replacement is over
//	compact.go        what is decided about compaction (logfile does it)
//	entry.go          the form of a raft entry, which is also that of its frame
//	create.go, copy.go, force.go   first logs, offline inspection, a forced membership
//
// Invariants, and what is not obvious:
//
//   - Calls go one way: Replica calls leading, which calls nobody.
//   - A pending entry is answered only when the entry of exactly its index and term
//     is applied. When leadership goes, what was proposed is unknown, unless it is
//     known to be committed by others (leading.stepDown); what was only gathered is
//     refused with outcome none, so that the router may ask the next leader.
//   - Responses of raft's storage messages leave in order, and only after a sync
//     that began after all earlier writes of this replica.
//   - A leader that hands over first lets its entries in flight end; otherwise each
//     would be an unknown.
//   - Raft proposes to leave a joint membership once. When that proposal is lost
//     in a hand-over, an idle group would stay joint, and the loss of one more
//     replica would stop it: the leader's tick proposes it again.
//   - The commit index is not written down with every entry, as etcd does. What
//     raft needs of it for memberships follows from the log: an entry that changes
//     the membership was written by a leader that had applied the change before
//     it (committedByChanges). Without that a replica could come back two
//     memberships behind. When a replacement is over: membership.go, ProveMembers.
//   - Raft answers a read of a sole replica at once, also before it knows what is
//     committed. So raft is asked only after the first entry of the leader's term
//     is applied (found by the simulation).
//   - A group's log begins at index 2 (docs/adr/0004): a newcomer needs a snapshot,
//     and gets the membership with it.
//   - A leader drops requests that waited until their senders gave up
//     (leading_late.go). Otherwise a disk that had hung for some seconds under many
//     clients would be busy with what nobody waits for, and acknowledge nothing,
//     for as long as the clients went on.
//   - A leader that expects more records than it has lets other goroutines run a
//     few times before it proposes (PostponeFlush): clients that were answered
//     together ask again together, and the first would get an entry of its own.
//   - ForceSoleVoter writes no log of its own: it runs the survivor's replica
//     without peers, with itself as the only member and every later change of
//     membership in its log passed over, in a term beyond all known ones. So
//     producers, log start and compaction come out as if it had been elected. The
//     term goes up by 2^20: a damaged or lost copy may have been led in the very
//     next one, and mending takes entries of retired copies by index and term.
//   - The last record that a compaction covers is kept whatever it is: otherwise a
//     consumer just below the high watermark would be woken again and again for
//     records that are not there.
//   - A pending entry is answered only when the entry of exactly its index and term
//     is applied, and after the view was published that shows its records: who has
//     an answer can read what it says.
//   - When leadership goes, what was proposed is unknown; what was only gathered (at
//     the leader, and not proposed yet) is refused with outcome none, so that the
//     router may send it to the next leader, the transferee.
package replica
