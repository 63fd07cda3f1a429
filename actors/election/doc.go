// Package election decides which replica without a leader campaigns. Where replicas
// know which of the others run, nobody needs to wait for an election timeout: replicas
// without a leader tell each other how far their logs reach, and of those that can win,
// the one first in placement campaigns as soon as it knows that it is the one. Pre-vote
// and votes keep this safe even where a replica is told something wrong.
//
// Each says so only after it has forgotten its leader: one that still remembers it
// would ignore the candidate's pre-vote in silence.
package election
