// Package forced gives partitions that lost a majority of their replicas for
// good a new membership: the best copy that is left, alone. It works offline, on
// a data directory that no process has open, and behind one command,
// `ottla log repair --force-membership`.
//
// A Plan says what would be done and what may be lost; Execute does it, in an
// order in which a crash leaves something that the next plan completes. Other
// copies are put aside, not deleted. Before that, the counts of lost brokers go
// up by 2^32 in all ledgers, so that their directories are older copies should
// they return.
package forced
