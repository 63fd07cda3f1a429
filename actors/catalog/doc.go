// Package catalog is the state of one cluster: its settings, brokers, topics,
// and where each replica of each partition is placed.
//
// State is the state machine of __cluster_metadata. It is pure: Decide methods
// look at it and return a reply and the records that, once committed, Apply
// turns into the new state. Any node decides; the metadata's leader takes the
// records only if no others have come since those that the decision was made on.
// Every reader of the log arrives at the same state, compacted or not. Time, ids
// and limits are arguments.
//
// Invariants:
//
//   - A topic that is deleted and created again is another topic: everything
//     but a request names topics by id.
//   - A raft id of a replica is never used twice within a partition. Values in a
//     State are immutable: Apply replaces them, so that a pointer taken from it
//     may be kept and shared.
//   - A deleted topic is kept as the permission to remove directories that carry
//     its id, until every broker has said that it has none.
package catalog
