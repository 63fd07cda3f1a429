// Package mutate builds known bugs into the broker, one at a time, to measure
// the tests: a bug that no test notices would not be noticed if somebody made
// it either. Each stands at the place of the rule that it breaks.
//
// In an ordinary build On is a constant false, and nothing of this is compiled.
// With `-tags mutate` the environment variable OTTLA_MUTATE names the bug to
// have; `make mutate` tries all of them.
package mutate

// Bug is the name of a known class of bug.
type Bug string

// The bugs, each with the rule that it breaks.
const (
	AckBeforeSync       Bug = "ack-before-sync"       // nothing is acknowledged before the disk has it
	AckOnLocalAppend    Bug = "ack-on-local-append"   // ... before a majority has it
	ForgetProducers     Bug = "forget-producers"      // what producers sent last survives a restart
	TruncateBadChecksum Bug = "truncate-bad-checksum" // only a provably unsynced tail is cut
	IgnoreSyncError     Bug = "ignore-sync-error"     // a failed sync is final
	SkipDirSync         Bug = "skip-dir-sync"         // a new name is durable before it is relied on
	ReuseBuffer         Bug = "reuse-buffer"          // what was proposed never changes
	OldGeneration       Bug = "old-generation"        // commits of a former generation are refused
)

// All lists the bugs.
func All() []Bug {
	return []Bug{
		AckBeforeSync, AckOnLocalAppend, ForgetProducers, TruncateBadChecksum,
		IgnoreSyncError, SkipDirSync, ReuseBuffer, OldGeneration,
	}
}
