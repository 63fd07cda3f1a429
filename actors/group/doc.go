// Package group is the state of one consumer group, and the records that make
// it up.
//
// State is pure: Decide methods look at it and return records for
// __consumer_offsets, Apply is the only method that changes what is durable.
// So the state is a function of the log: live, replayed, and on every replica.
// Time is an argument, in milliseconds since 1970. The actor around it holds
// answers back until the records they rest on are committed.
//
//	state.go, apply.go           the state, its records, Apply
//	poll.go, assign.go           joining, subscribing, sticky assignment
//	commit.go, cursor*.go        committed offsets; cursors and what they are checked for
//	ahead.go                     polls that have read before they ask
//	lease.go                     leases: renewed, extended, expired
//	admin.go                     seek, leave, delete, description
//	offsetrecord.go              commits, which are nearly all records, without encoding/json
//	kept.go                      what every replica keeps of a group that has no actor
//
// Invariants:
//
//   - A partition has at most one owner in a generation; a commit of an older
//     generation is refused.
//   - A committed offset goes back only when a request says so (force, seek).
//   - What clients can make grow is bounded: members, former members, metadata.
//   - A group's actor runs ahead of the log. When a proposal fails, the actor ends
//     and its state with it; its successor begins only when everything that the
//     old one proposed has been answered.
//   - A refusal waits for what is being committed, as every other answer does: a
//     consumer that is told "it is at 46 already" relies on that commit (found by
//     porcupine).
//   - A poll with ack commits first and reads afterwards. When it then fails its
//     error says outcome "applied": clients that took "none" at its word saw an
//     offset that nobody had committed (found by the campaigns).
//
// # Polls that read ahead
//
// A poll asks for its share, reads it, and has the group note, or commit, what it returns.
// One whose consumer was answered at the same node before reads first, from where that
// consumer was to go on, and asks once: State.Ahead. It keeps every promise of the long
// way, because it is the long way, done in one moment at the coordinator, with the reading
// moved to before it:
//
//   - Nothing is delivered to two members of a generation, nor to one of an old
//     generation: the generation must be the current one, and the partitions exactly
//     those that the member owns in it after its own poll has been decided.
//   - Nothing is skipped, and nothing is delivered twice but for what is not committed:
//     reading must have begun exactly where the share would have said, at the committed
//     offset or behind the poll's cursor. What lies between that and the new positions
//     was committed when it was read, and committed records do not change.
//   - Committed offsets never go back: they move by DecideAutoCommit, as ever.
//   - At most once: the answer is held back until the commit is in the log. A poll that
//     does not know what became of its question asks again; then the positions may be
//     committed by itself. The commit says so: it names the delivery that has made it
//     (committedOffset.Poll, a number that each draws anew), so that any coordinator knows. Its
//     own poll is given what it read; another one, which a node has begun at a place that is
//     out of date, goes on from what is committed. Below level.PollNames commits have no
//     name: the coordinator that made them knows, and a new one takes nothing for delivered.
//   - A newer poll ends an older one, a lapsed member is revived, a full group refuses: all
//     that is decided before, as without reading ahead.
//
// A delivery with automatic commits that comes the long way says as well where reading began
// and by what it is known: with a new coordinator in between, another poll may have been
// faster. TestFailoverBetweenACommitAndItsAnswer has coordinators fail at each of these
// moments.
//
// A stream with a group goes further: its next poll begins with the delivery of the last
// one (GroupDelivered.Stay), under the same handle, so that a new generation, a newer poll
// or a member's end reach it as if it were parked. What it reads then is delivered like
// anything else: only in the generation in which it was given its share, and, with
// automatic commits, only where reading began at the committed offset (State.GoesOn); else
// it asks for its share again. Its lease lasts for the session from each delivery on, and
// it never waits for more than half of that.
//
// Whoever has read in vain is told its share and goes the long way. What a node remembers
// of consumers is therefore a guess, bounded, and never invalidated by anybody. The bug
// ahead-unchecked (package mutate) leaves the comparison of positions out, and
// TestStormOfReadersAhead notices.
package group
