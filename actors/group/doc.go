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
package group
