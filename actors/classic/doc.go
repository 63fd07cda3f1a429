// Package classic decides about the members of a group that speaks Kafka's classic
// protocol: who has joined, which generation it is, which assignment each member has.
// Members agree on the assignment among themselves; the group only hands it on.
//
//	Empty --join--> PreparingRebalance --all joined, or late--> CompletingRebalance
//	  ^                ^        |                                  |          |
//	  |                |        `--nobody joined--> Empty          |          `--leader's sync--> Stable
//	  `--last leaves---+------join, leave, expiry------------------+---------------------------------'
//
// It imports no actor library and knows no clock: every call says what time it is, in
// milliseconds, and NextDeadline when it wants to be called again. Answers that have to
// wait are given by calls of the functions that a request brings.
//
// Nothing of this is kept in the log, as a member cannot know before its next
// heartbeat whether its coordinator is still the same: a new one knows no member and
// answers UNKNOWN_MEMBER_ID, upon which all join again. Committed offsets are kept,
// with those of other groups, by package group; who may commit is decided here.
package classic
