package forced

import (
	"fmt"
	"slices"

	"ottla/actors/datadir"
	"ottla/actors/replica"
	"ottla/logfile"
	"ottla/protocol"
)

// countStep is added to the count that is known of a lost broker: should its
// directory turn up again, it is an older copy, however often it was opened since
// its peers noted the count.
const countStep = 1 << 32

// Execute makes each survivor the sole voter of its partition and gives up all
// other copies, which are put aside, not deleted. The next start rebuilds them
// under new ids. Errors: a copy has changed since it was planned for, or the disk
// fails. After an error, or a crash, make a new plan and execute that.
func (p *Plan) Execute() error {
	for _, f := range p.clusters {
		if len(f.takeovers) == 0 {
			continue
		}
		if err := f.execute(); err != nil {
			return fmt.Errorf("cluster %q: %w", f.manifest.Name, err)
		}
	}
	return nil
}

// Spread names the clusters of the plan that have brokers at other nodes of a fleet. Their
// copies there are not seen, and may be a majority; and a broker here does not run before
// a majority of all brokers has noted its count.
func (p *Plan) Spread() (names []string) {
	for _, f := range p.clusters {
		if len(f.takeovers) > 0 && len(f.manifest.Brokers()) < len(f.manifest.Nodes) {
			names = append(names, f.manifest.Name)
		}
	}
	slices.Sort(names)
	return names
}

// OnWrite has hook called before each step that changes a broker's ledger; when
// it returns an error Execute ends there, as in a crash. It is for tests.
func (p *Plan) OnWrite(hook func(step string) error) {
	for _, f := range p.clusters {
		for _, l := range f.ledgers {
			l.OnWrite(hook)
		}
	}
}

// execute goes in an order in which a crash leaves something that the next plan
// completes, with the same survivors. First what is lost must not return; then the
// other copies go, so that the survivor stays the longest; then the survivors
// become sole voters; and only when nothing but survivors is left in an older copy
// of a directory does that directory count as current.
func (f *cluster) execute() error {
	if err := f.banLost(); err != nil {
		return err
	}
	for broker := range f.ledgers {
		if err := f.retireCopies(broker); err != nil {
			return err
		}
	}
	for _, t := range f.takeovers {
		if err := replica.ForceSoleVoter(t.survivor, t.term, logfile.BootID()); err != nil {
			return fmt.Errorf("%s: %w", t.survivor.Dir, err)
		}
	}
	for broker, l := range f.ledgers {
		if f.old(broker) {
			if err := l.Raise(f.ages[broker].Known); err != nil {
				return err
			}
		}
	}
	return nil
}

// banLost has every ledger that is left note counts that the lost brokers'
// directories do not reach.
func (f *cluster) banLost() error {
	counts := map[int]uint64{}
	for _, n := range f.manifest.Brokers() {
		if f.ledgers[n] == nil {
			counts[n] = f.ages[n].Known + countStep
		}
	}
	for _, l := range f.ledgers {
		if err := l.NotePeers(counts); err != nil {
			return err
		}
	}
	return nil
}

// retireCopies gives up a broker's copies of the partitions that are forced,
// and of all partitions if the broker's directory is an older copy; survivors
// stay.
func (f *cluster) retireCopies(broker int) error {
	var retired []replica.Copy
	var keys []protocol.ReplicaID
	for key, copies := range f.copies {
		at := slices.IndexFunc(f.takeovers, func(t takeover) bool { return t.key == key })
		if at < 0 && !f.old(broker) {
			continue
		}
		for _, c := range copies {
			if c.Broker == broker && (at < 0 || f.takeovers[at].survivor.Broker != broker) {
				retired = append(retired, c)
				keys = append(keys, protocol.ReplicaID{TopicID: key.TopicID, Partition: key.Partition, Replica: c.ReplicaID})
			}
		}
	}
	if len(retired) == 0 {
		return nil
	}
	dir := f.dirs[broker]
	if err := datadir.MarkReplacesLost(dir, "forced membership"); err != nil {
		return err
	}
	if err := f.ledgers[broker].Mark(datadir.ReplicaLost, keys...); err != nil {
		return err
	}
	for _, c := range retired {
		if err := replica.PutAside(logfile.OSFS{}, c.Dir, c.ReplicaID); err != nil {
			return err
		}
	}
	return nil
}
