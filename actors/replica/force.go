package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ottla/logfile"
)

// forcedTermStep is added to the greatest term that a readable copy has seen:
// copies that are lost or damaged may have seen greater ones, and been led in
// them. An entry of theirs must never be taken for one of the survivor's with
// the same index and term, which is all that mending asks for.
const forcedTermStep = 1 << 20

// ForceSoleVoter runs the replica without its peers until everything in its
// log is committed under a membership of itself alone, in a term far beyond all
// that are known, and closes it with a checkpoint that says so.
func ForceSoleVoter(c Copy, term uint64, bootID string) (err error) {
	log, rec, err := logfile.Open(logfile.OSFS{}, c.Dir, logfile.Options{BootID: bootID})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if log.Identity().ReplicaID != c.ReplicaID || log.LastIndex() != c.LastIndex {
		return errors.New("it has changed since it was looked at")
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
		return fmt.Errorf("BUG: alone it does not commit: applied %d, last entry %d", rep.applied, log.LastIndex())
	}
	rep.StageFinal()
	if err := rep.runAlone(); err != nil {
		return err
	}
	rep.Close()
	return nil
}

// runAlone carries out what a replica without peers asks for, until it asks
// for nothing.
func (r *Replica) runAlone() error {
	for {
		fx := r.Take()
		for _, w := range fx.Writes {
			if err := w.Batch.Execute(); err != nil {
				return err
			}
			for _, file := range w.Batch.Files() {
				if err := file.Sync(); err != nil {
					return err
				}
			}
			r.DiskDone(w.Seq, nil)
		}
		if r.failed != nil {
			return r.failed
		}
		if len(fx.Writes) == 0 {
			return nil
		}
	}
}
