package actors

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// forcedCountStep is added to what is known of a lost broker's counter: should
// its directory turn up again, it is an older copy, however often it was opened
// since its peers noted it.
const forcedCountStep = 1 << 32

// forcedTermStep is added to the greatest term that a readable copy has seen:
// copies that are lost or damaged may have seen greater ones, and been led in
// them. An entry of theirs must never be taken for one of the survivor's with
// the same index and term, which is all that mending asks for.
const forcedTermStep = 1 << 20

// Execute makes each survivor the sole voter of its partition and gives up all
// other copies, which are put aside, not deleted. The next start rebuilds them
// under new ids. After an error, or a crash, plan and execute again.
func (p *ForcePlan) Execute() error {
	for _, f := range p.clusters {
		if len(f.force) == 0 {
			continue
		}
		if err := f.execute(); err != nil {
			return fmt.Errorf("cluster %q: %w", f.manifest.Name, err)
		}
	}
	return nil
}

// execute goes in an order in which a crash leaves something that the next
// plan completes: what is lost cannot return, then the other copies go, then
// the survivors are alone, and at last the older copies among them count as
// current.
func (f *forcedCluster) execute() error {
	if err := f.banLost(); err != nil {
		return err
	}
	for broker := range f.ledgers {
		if err := f.retireCopies(broker); err != nil {
			return err
		}
	}
	for _, g := range f.force {
		if err := forceSoleVoter(g.survivor, g.term); err != nil {
			return fmt.Errorf("%s: %w", g.survivor.Dir, err)
		}
	}
	for broker, l := range f.ledgers {
		if f.old(broker) {
			if err := l.raise(f.ages[broker].Known); err != nil {
				return err
			}
		}
	}
	return nil
}

// banLost has every ledger that is left note counts that the lost brokers'
// directories do not reach.
func (f *forcedCluster) banLost() error {
	counts := map[int]uint64{}
	for n := 1; n <= f.manifest.NumBrokers; n++ {
		if f.ledgers[n] == nil {
			counts[n] = f.ages[n].Known + forcedCountStep
		}
	}
	for _, l := range f.ledgers {
		if err := l.notePeers(counts); err != nil {
			return err
		}
	}
	return nil
}

// retireCopies gives up a broker's copies of the partitions that are forced,
// and of all partitions if the broker's directory is an older copy; survivors
// stay.
func (f *forcedCluster) retireCopies(broker int) error {
	var retired []replicaCopy
	var keys []protocol.ReplicaID
	for key, copies := range f.copies {
		at := slices.IndexFunc(f.force, func(g forcedGroup) bool { return g.key == key })
		if at < 0 && !f.old(broker) {
			continue
		}
		for _, c := range copies {
			if c.Broker == broker && (at < 0 || f.force[at].survivor.Broker != broker) {
				retired = append(retired, c)
				keys = append(keys, protocol.ReplicaID{TopicID: key.TopicID, Partition: key.Partition, Replica: c.ReplicaID})
			}
		}
	}
	if len(retired) == 0 {
		return nil
	}
	dir := f.dirs[broker]
	if !replacesLost(dir) {
		if err := writeSynced(filepath.Join(dir, wipedName), []byte("forced membership; see docs/architecture.md\n")); err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	if err := f.ledgers[broker].mark(replicaLost, keys...); err != nil {
		return err
	}
	env := &environment{fs: logfile.OSFS{}}
	for _, c := range retired {
		if err := putReplicaAside(env, c.Dir, c.ReplicaID); err != nil {
			return err
		}
	}
	return nil
}

// forceSoleVoter runs the replica without its peers until everything in its
// log is committed under a membership of itself alone, in a term far beyond all
// that are known, and closes it with a checkpoint that says so.
func forceSoleVoter(c replicaCopy, term uint64) (err error) {
	log, rec, err := logfile.Open(logfile.OSFS{}, c.Dir, logfile.Options{BootID: bootID()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if log.Identity().ReplicaID != c.ReplicaID || log.LastIndex() != c.LastIndex {
		return errors.New("it has changed since it was looked at")
	}
	rec.HardTerm, rec.Vote = max(rec.HardTerm, term)+forcedTermStep, 0
	rep, err := newReplica(replicaConfig{
		soleVoter: true, electionTicks: 10, heartbeatTicks: 1, maxBatchBytes: 1 << 20,
		now: time.Now, logger: slog.New(slog.DiscardHandler),
	}, log, rec)
	if err != nil {
		return err
	}
	rep.campaign(false)
	if err := rep.runAlone(); err != nil {
		return err
	}
	if rep.leading == nil || !rep.leading.serving || rep.applied != log.LastIndex() {
		return fmt.Errorf("BUG: alone it does not commit: applied %d, last entry %d", rep.applied, log.LastIndex())
	}
	rep.stageFinal()
	if err := rep.runAlone(); err != nil {
		return err
	}
	rep.closing()
	return nil
}

// runAlone carries out what a replica without peers asks for, until it asks
// for nothing.
func (r *replica) runAlone() error {
	for {
		fx := r.take()
		for _, w := range fx.writes {
			if err := w.batch.Execute(); err != nil {
				return err
			}
			for _, file := range w.batch.Files() {
				if err := file.Sync(); err != nil {
					return err
				}
			}
			r.diskDone(w.seq, nil)
		}
		if r.failed != nil {
			return r.failed
		}
		if len(fx.writes) == 0 {
			return nil
		}
	}
}
