package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ottla/protocol"
)

// The replicas in a broker's directory that was restored from an earlier copy would
// vote and acknowledge as if what came after the copy had never been. So each
// ledger counts its opens and closes, and the peers' ledgers note the count before
// that broker's replicas run (introductions.go). This file compares the ledgers of
// one cluster.

// RepairCommand is the command that gives up a majority that is lost for good.
const RepairCommand = "ottla log repair --force-membership"

// Age is a broker's count beside what its peers have noted of it.
type Age struct {
	Opens uint64 // in its own ledger
	Known uint64 // the greatest that a peer has noted, 0 if none has
}

// outdated reports whether a peer has seen a newer ledger of this broker. Peers
// note a count only after it is on disk in the broker's own ledger, so no crash
// can lead to this.
func (a Age) outdated() bool { return a.Opens < a.Known }

// CompareLedgers returns the ages of brokers 1 to n; a broker without a
// readable ledger has an age with Opens 0.
func CompareLedgers(n int, ledgers map[int]*Ledger) map[int]Age {
	ages := make(map[int]Age, n)
	for b := 1; b <= n; b++ {
		var a Age
		if l := ledgers[b]; l != nil {
			a.Opens = l.OpenCount()
		}
		for peer := 1; peer <= n; peer++ {
			if l := ledgers[peer]; l != nil && peer != b && l.file.Peers[b] > a.Known {
				a.Known = l.file.Peers[b]
			}
		}
		ages[b] = a
	}
	return ages
}

// withoutMajority lists partitions that would have no majority if the brokers
// for which old is true gave up what they hold, as far as ledgers can tell:
// partitions that are nowhere but there may have been deleted since.
func withoutMajority(ledgers map[int]*Ledger, old func(broker int) bool) []string {
	type count struct{ current, outdated int }
	copies := map[protocol.PartitionID]*count{}
	names := map[protocol.PartitionID]string{}
	for b, l := range ledgers {
		for _, r := range l.file.Replicas {
			if r.State != ReplicaLive {
				continue
			}
			key := protocol.PartitionID{TopicID: r.TopicID, Partition: r.Partition}
			if copies[key] == nil {
				copies[key] = &count{}
				names[key] = fmt.Sprintf("%s-%d", r.Topic, r.Partition)
			}
			if old(b) {
				copies[key].outdated++
			} else {
				copies[key].current++
			}
		}
	}
	var lacking []string
	for key, c := range copies {
		if c.outdated > 0 && c.current > 0 && c.current < (c.current+c.outdated)/2+1 {
			lacking = append(lacking, names[key])
		}
	}
	slices.Sort(lacking)
	return lacking
}

// LedgersOf reads the ledgers of a cluster's brokers. One that is missing or
// damaged is left out: its broker fails by itself, and says so. Errors: a
// newer format.
func (m *Manifests) LedgersOf(c ClusterManifest) (map[int]*Ledger, error) {
	ledgers := map[int]*Ledger{}
	for _, b := range c.Brokers() {
		dir := m.BrokerDir(c, b)
		if CheckBrokerDir(dir, c.ID, b) != nil {
			continue
		}
		l, err := ReadLedger(dir, c.ID, b)
		var newer *NewerFormatError
		switch {
		case errors.As(err, &newer):
			return nil, err
		case err == nil:
			ledgers[b] = l
		}
	}
	return ledgers, nil
}

// checkAges looks for older copies among the directories of a cluster before any
// of them is opened. It marks their places as outdated, and refuses a cluster that
// would lose records silently: one that needs older copies for a majority.
func (m *Manifests) checkAges(p *ClusterPlaces) error {
	ledgers, err := m.LedgersOf(p.Manifest)
	if err != nil {
		return err
	}
	ages := CompareLedgers(p.Manifest.NumBrokers, ledgers)
	sound := true
	for i := range p.Brokers {
		place := &p.Brokers[i]
		if l := ledgers[place.Broker]; place.State == PlaceOK && l != nil && IsOldCopy(place.Dir, l, ages[place.Broker]) {
			place.State, place.Err = placeOutdated, ages[place.Broker].Err()
		}
		sound = sound && place.State == PlaceOK && !ReplacesLost(place.Dir)
	}
	if sound {
		return nil
	}
	if len(p.Manifest.Nodes) > 0 {
		return nil // what is lost here others may have; they decide
	}
	lacking := withoutMajority(ledgers, func(b int) bool { return p.Brokers[b-1].State == placeOutdated })
	if len(lacking) > 0 {
		return oldCopiesError(p, lacking)
	}
	return m.checkMetadataMajority(p, ledgers)
}

// IsOldCopy reports whether a broker's directory is an older copy of itself. One
// that was just made in the place of a lost one has a low count too, but nothing
// in it, and is none.
func IsOldCopy(dir string, l *Ledger, age Age) bool {
	return age.outdated() && (len(l.file.Replicas) > 0 || !ReplacesLost(dir))
}

// Err says that the directory is an older copy, and by how much.
func (a Age) Err() error {
	return fmt.Errorf("it is an older copy: its counter is %d, but its peers have seen %d", a.Opens, a.Known)
}

// replacesLostName marks a directory whose predecessor was lost, until the
// metadata has a successor for every replica that was in it. Without the mark a
// crash in between would make lost replicas look like ones never created, and a
// voter could vote twice.
const replacesLostName = "REPLACES-LOST"

// MarkReplacesLost puts the mark into a broker's directory, unless it is there.
// Reason is for people. It is durable when the call returns.
func MarkReplacesLost(dir, reason string) error {
	if ReplacesLost(dir) {
		return nil
	}
	if err := writeSynced(filepath.Join(dir, replacesLostName), []byte(reason+"; see docs/architecture.md\n")); err != nil {
		return err
	}
	return syncDir(dir)
}

// UnmarkReplacesLost takes the mark away; none is no error.
func UnmarkReplacesLost(dir string) error {
	err := os.Remove(filepath.Join(dir, replacesLostName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReplacesLost reports whether the directory has the mark.
func ReplacesLost(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, replacesLostName))
	return err == nil
}

// KnownCounts is what the ledgers of a cluster have noted of each broker's counter, before
// any of them is opened, and of the arriving ones, which have numbers of their own. A
// ledger that cannot be read is left out. Errors: one is of a newer format; then no count is
// known.
func (m *Manifests) KnownCounts(c ClusterManifest, arriving []int) (map[int]uint64, error) {
	known := map[int]uint64{}
	if now, there := m.Find(c.ID); there {
		c = now // brokers may have come or gone since the caller has got its copy
	}
	ledgers, err := m.LedgersOf(c)
	for id, age := range CompareLedgers(c.NumBrokers, ledgers) {
		known[id] = age.Known
	}
	for _, id := range arriving {
		for _, l := range ledgers {
			known[id] = max(known[id], l.Peers()[id])
		}
	}
	return known, err
}

// CountFloor returns the count that the ledger of a broker must exceed when it is
// opened while the others may run: the greatest that its peers have noted, or that
// this process has seen itself. Errors: the broker's directory is an older copy
// that is needed for a majority, or a ledger is of a newer format.
func (m *Manifests) CountFloor(c ClusterManifest, broker int, seen uint64) (known uint64, err error) {
	ledgers, err := m.LedgersOf(c)
	if err != nil {
		return 0, err
	}
	age := CompareLedgers(c.NumBrokers, ledgers)[broker]
	if seen > age.Known {
		age.Known = seen
	}
	l := ledgers[broker]
	if l == nil || !IsOldCopy(m.BrokerDir(c, broker), l, age) {
		return age.Known, nil
	}
	if lacking := withoutMajority(ledgers, func(b int) bool { return b == broker }); len(lacking) > 0 && len(c.Nodes) == 0 {
		return 0, fmt.Errorf("%s: %w; without it these partitions have no majority: %s; put the current directory back, or give up what is missing: stop the server, %s",
			m.BrokerDir(c, broker), age.Err(), shortList(lacking), RepairCommand)
	}
	return age.Known, nil
}

// oldCopiesError refuses a start: nothing was changed.
func oldCopiesError(p *ClusterPlaces, lacking []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q (%s): broker directories are older copies, and without them these partitions have no majority: %s",
		p.Manifest.Name, p.Manifest.ID, shortList(lacking))
	describePlaces(&b, p.Brokers)
	fmt.Fprintf(&b, "\nRestore all directories as of the same moment, or put the current ones back. If they are gone for good,"+
		" '%s' keeps the longest copy of each partition and says what may be lost.", RepairCommand)
	return errors.New(b.String())
}

func describePlaces(b *strings.Builder, places []Place) {
	for _, p := range places {
		if p.State == PlaceOK {
			fmt.Fprintf(b, "\n  %s: ok", p.Dir)
			continue
		}
		fmt.Fprintf(b, "\n  %s: %s: %v", p.Dir, p.State, p.Err)
		if len(p.Elsewhere) > 0 {
			fmt.Fprintf(b, "; found in %s", strings.Join(p.Elsewhere, ", "))
		}
	}
}

// shortList keeps a message readable on a node with thousands of partitions.
func shortList(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// checkMetadataMajority refuses a cluster whose __cluster_metadata can have no
// leader any more, because a majority of its voters is lost: nothing of it
// could be served, and directories made anew would only hide what is missing.
func (m *Manifests) checkMetadataMajority(p *ClusterPlaces, ledgers map[int]*Ledger) error {
	if m.metadataQuorum(p, ledgers) {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q (%s): a majority of the copies of its metadata is lost; is a disk not mounted?", p.Manifest.Name, p.Manifest.ID)
	describePlaces(&b, p.Brokers)
	fmt.Fprintf(&b, "\nNothing was changed. Put the missing directories back. If they are gone for good,"+
		" '%s' makes the longest copy that is left of each partition the whole of it and says what may be lost.", RepairCommand)
	return errors.New(b.String())
}

// MetadataQuorum reports whether what is left of a cluster's directories may
// elect a leader of its metadata. Ledgers are those that can be read, by broker.
type MetadataQuorum func(p *ClusterPlaces, ledgers map[int]*Ledger) bool
