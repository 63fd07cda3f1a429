// Package forced gives partitions that lost a majority of their replicas for
// good a new membership: the best copy that is left, alone. It works offline, on
// a data directory that no process has open, and behind one command,
// `ottla log repair --force-membership`.
//
// A Plan says what would be done and what may be lost; Execute does it, in an
// order in which a crash leaves something that the next plan completes.
//
//	plan.go     what was found, and which copy goes on
//	apply.go    Execute
//	quorum.go   whether a cluster may be started without any of this
//	copy.go     reading one replica
//
// Invariants:
//
//   - The survivor is the copy that raft would elect among those that can be read
//     (replica.Longest): whatever any of these knows to be committed, it has.
//   - Older copies of directories and damaged copies count for no majority, but an
//     older copy may be the survivor.
//   - Other copies are put aside, not deleted; their replica ids are lost in the
//     ledgers, and never used again.
//   - Before that, the counts of lost brokers go up by 2^32 in all ledgers, so that
//     their directories are older copies should they return.
//   - How the survivor becomes the sole voter: replica.ForceSoleVoter.
package forced
