package mutate

// Bug is the name of a known class of bug.
type Bug string

// The bugs, each with the rule that it breaks.
const (
	AckBeforeSync       Bug = "ack-before-sync"       // nothing is acknowledged before it is synced
	AckOnLocalAppend    Bug = "ack-on-local-append"   // nothing is acknowledged before a majority has it
	ForgetProducers     Bug = "forget-producers"      // the last sequence number of a producer survives a restart
	TruncateBadChecksum Bug = "truncate-bad-checksum" // only a tail that was never synced is cut off
	IgnoreSyncError     Bug = "ignore-sync-error"     // after a failed sync nothing is written any more
	SkipDirSync         Bug = "skip-dir-sync"         // a new name is durable before anything relies on it
	ReuseBuffer         Bug = "reuse-buffer"          // the bytes of a proposal never change
	OldGeneration       Bug = "old-generation"        // commits of an old generation are refused
	AheadUnchecked      Bug = "ahead-unchecked"       // what was read before the group was asked begins where the group is
)

// All lists the bugs.
func All() []Bug {
	return []Bug{
		AckBeforeSync, AckOnLocalAppend, ForgetProducers, TruncateBadChecksum,
		IgnoreSyncError, SkipDirSync, ReuseBuffer, OldGeneration, AheadUnchecked,
	}
}
