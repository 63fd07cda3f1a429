package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ottla/logfile"
)

// forcedTermStep is added to the greatest term that a readable copy has seen.
// Copies that are lost or damaged may have seen greater terms, with leaders whose
// entries they hold. Such an entry must never have the index and term of one of
// the survivor's: that is how mending tells entries apart.
const forcedTermStep = 1 << 20

// ForceSoleVoter runs the replica c without its peers until everything in its
// log is committed under a membership of itself alone, in a term far beyond term
// and its own, and closes it with a checkpoint that says so. No other process may
// use its directory. Errors: the copy is not what c says, or its disk fails; what
// was done by then does no harm, and the call may be repeated with a new c.
func ForceSoleVoter(c Copy, term uint64, bootID string) (err error) {
	log, rec, err := logfile.Open(logfile.OSFS{}, c.Dir, logfile.Options{BootID: bootID})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if log.Identity().ReplicaID != c.ReplicaID || log.LastIndex() != c.LastIndex {
		return errors.New("the log has changed since it was inspected: plan again")
	}
	rec.HardTerm, rec.Vote = max(rec.HardTerm, term)+forcedTermStep, 0
	rep, err := New(Config{
		soleVoter: true, ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 1 << 20,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}, log, rec)
	if err != nil {
		return err
	}
	rep.Campaign(false)
	if err := rep.runAlone(); err != nil {
		return err
	}
	if _, serving := rep.Serving(); !serving || rep.applied != log.LastIndex() {
		return fmt.Errorf("BUG: a sole voter does not commit its log: applied %d, last entry %d", rep.applied, log.LastIndex())
	}
	rep.StageFinal()
	if err := rep.runAlone(); err != nil {
		return err
	}
	rep.Close()
	return nil
}
