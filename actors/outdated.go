package actors

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ottla/actors/replica"
	"ottla/protocol"
)

// A broker's directory that was restored from an earlier copy votes and
// acknowledges as if it had never seen what came after the copy. So each
// ledger counts, and the peers' ledgers note the counts before that broker's
// replicas run. This file compares the ledgers of one cluster.

// repairCommand is what a majority that is gone for good can be given up with.
const repairCommand = "ottla log repair --force-membership"

// brokerAge compares a broker's counter with what its peers have noted.
type brokerAge struct {
	Opens uint64 // in its own ledger
	Known uint64 // the greatest that a peer has noted, 0 if none has
}

// outdated reports whether the ledger is older than what a peer has seen of
// it. Peers note a count only once it is on disk, so no crash looks like that.
func (a brokerAge) outdated() bool { return a.Opens < a.Known }

// compareLedgers returns the ages of brokers 1 to n; a broker without a
// readable ledger has an age with Opens 0.
func compareLedgers(n int, ledgers map[int]*ledger) map[int]brokerAge {
	ages := make(map[int]brokerAge, n)
	for b := 1; b <= n; b++ {
		var a brokerAge
		if l := ledgers[b]; l != nil {
			a.Opens = l.openCount()
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
func withoutMajority(ledgers map[int]*ledger, old func(broker int) bool) []string {
	type count struct{ current, outdated int }
	held := map[protocol.PartitionID]*count{}
	names := map[protocol.PartitionID]string{}
	for b, l := range ledgers {
		for _, r := range l.file.Replicas {
			if r.State != replicaLive {
				continue
			}
			key := protocol.PartitionID{TopicID: r.TopicID, Partition: r.Partition}
			if held[key] == nil {
				held[key] = &count{}
				names[key] = fmt.Sprintf("%s-%d", r.Topic, r.Partition)
			}
			if old(b) {
				held[key].outdated++
			} else {
				held[key].current++
			}
		}
	}
	var lacking []string
	for key, c := range held {
		if c.outdated > 0 && c.current > 0 && c.current < (c.current+c.outdated)/2+1 {
			lacking = append(lacking, names[key])
		}
	}
	slices.Sort(lacking)
	return lacking
}

// ledgersOf reads the ledgers of a cluster's brokers. One that is missing or
// damaged is left out: its broker fails by itself, and says so. Errors: a
// newer format.
func (m *manifests) ledgersOf(c clusterManifest) (map[int]*ledger, error) {
	ledgers := map[int]*ledger{}
	for b := 1; b <= c.NumBrokers; b++ {
		var doc brokerManifest
		dir := m.brokerDir(c, b)
		if err := readSealed(filepath.Join(dir, manifestName), &doc); err != nil || doc.ID != c.ID || doc.Broker != b {
			continue
		}
		l, err := readLedger(dir, c.ID, b)
		var newer *newerFormatError
		switch {
		case errors.As(err, &newer):
			return nil, err
		case err == nil:
			ledgers[b] = l
		}
	}
	return ledgers, nil
}

// checkAges judges the directories of a cluster before any of them is opened.
// It marks outdated places and refuses what would lose records silently: old
// copies that are needed for a majority.
func (m *manifests) checkAges(p *clusterPlaces) error {
	ledgers, err := m.ledgersOf(p.Manifest)
	if err != nil {
		return err
	}
	ages := compareLedgers(p.Manifest.NumBrokers, ledgers)
	sound := true
	for i := range p.Brokers {
		place := &p.Brokers[i]
		if l := ledgers[place.Broker]; place.State == placeOK && l != nil && isOldCopy(place.Dir, l, ages[place.Broker]) {
			place.State, place.Err = placeOutdated, ages[place.Broker].err()
		}
		sound = sound && place.State == placeOK && !replacesLost(place.Dir)
	}
	if sound {
		return nil
	}
	lacking := withoutMajority(ledgers, func(b int) bool { return p.Brokers[b-1].State == placeOutdated })
	if len(lacking) > 0 {
		return oldCopiesError(p, lacking)
	}
	return m.checkMetadataMajority(p, ledgers)
}

// isOldCopy leaves out a directory that was just made in the place of a lost
// one and has nothing yet.
func isOldCopy(dir string, l *ledger, age brokerAge) bool {
	return age.outdated() && (len(l.file.Replicas) > 0 || !replacesLost(dir))
}

func (a brokerAge) err() error {
	return fmt.Errorf("it is an older copy: its counter is %d, but its peers have seen %d", a.Opens, a.Known)
}

func replacesLost(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, wipedName))
	return err == nil
}

// ageOf is for one broker that is started while the others may run: the floor
// for its counter, and an error when it is an old copy that cannot be given up.
// Seen is what this process itself has seen of the counter.
func (m *manifests) ageOf(c clusterManifest, broker int, seen uint64) (known uint64, err error) {
	ledgers, err := m.ledgersOf(c)
	if err != nil {
		return 0, err
	}
	age := compareLedgers(c.NumBrokers, ledgers)[broker]
	if seen > age.Known {
		age.Known = seen
	}
	l := ledgers[broker]
	if l == nil || !isOldCopy(m.brokerDir(c, broker), l, age) {
		return age.Known, nil
	}
	if lacking := withoutMajority(ledgers, func(b int) bool { return b == broker }); len(lacking) > 0 {
		return 0, fmt.Errorf("%s: %w; without it these partitions have no majority: %s; put the current directory back, or give up what is missing: stop the server, %s",
			m.brokerDir(c, broker), age.err(), shortList(lacking), repairCommand)
	}
	return age.Known, nil
}

// oldCopiesError refuses a start: nothing was changed.
func oldCopiesError(p *clusterPlaces, lacking []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q (%s): broker directories are older copies, and without them these partitions have no majority: %s",
		p.Manifest.Name, p.Manifest.ID, shortList(lacking))
	describePlaces(&b, p.Brokers)
	fmt.Fprintf(&b, "\nRestore all directories as of the same moment, or put the current ones back. If they are gone for good,"+
		" '%s' keeps the longest copy of each partition and says what may be lost.", repairCommand)
	return errors.New(b.String())
}

func describePlaces(b *strings.Builder, places []brokerPlace) {
	for _, p := range places {
		if p.State == placeOK {
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
func (m *manifests) checkMetadataMajority(p *clusterPlaces, ledgers map[int]*ledger) error {
	key := protocol.PartitionID{TopicID: protocol.MetadataTopic}
	var copies []replica.Copy
	for _, place := range p.Brokers {
		l := ledgers[place.Broker]
		if l == nil || place.State != placeOK {
			continue
		}
		if r, ok := l.live(key.TopicID, key.Partition); ok {
			copies = append(copies, inspectReplica(p.Manifest.ID, place.Broker, place.Dir, r))
		}
	}
	if best := replica.Longest(copies); best != nil && best.Quorum(presentIDs(copies)) {
		return nil
	} else if best == nil && len(copies) > 0 {
		return nil // there, but none is readable: its replicas say why
	} else if best == nil && foundersPresent(p) {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q (%s): a majority of the copies of its metadata is lost; is a disk not mounted?", p.Manifest.Name, p.Manifest.ID)
	describePlaces(&b, p.Brokers)
	fmt.Fprintf(&b, "\nNothing was changed. Put the missing directories back. If they are gone for good,"+
		" '%s' makes the longest copy that is left of each partition the whole of it and says what may be lost.", repairCommand)
	return errors.New(b.String())
}

// foundersPresent is the best guess where no ledger has the metadata.
func foundersPresent(p *clusterPlaces) bool {
	ok := 0
	for _, v := range p.Manifest.Voters {
		if p.Brokers[v.Broker-1].State == placeOK {
			ok++
		}
	}
	return ok >= len(p.Manifest.Voters)/2+1
}

// presentIDs are the replicas that are there, readable or not.
func presentIDs(copies []replica.Copy) map[uint64]bool {
	ids := map[uint64]bool{}
	for i := range copies {
		if !errors.Is(copies[i].Err, os.ErrNotExist) {
			ids[copies[i].ReplicaID] = true
		}
	}
	return ids
}

// introductions lets a broker's replicas run only when the peers that run have
// its counter on disk. The zero value is not ready; see newIntroductions.
type introductions struct {
	counts map[int]uint64 // the newest of each broker, on disk in its own ledger
	fresh  map[int]bool   // opened, not let in yet
	asked  map[int]bool   // have been told the counts of this round and have not answered
	noted  map[int]bool   // have answered well
	failed map[int]error
	guests map[int]bool // the fresh ones of this round
	round  uint64       // 0: none so far
}

func newIntroductions() *introductions {
	return &introductions{counts: map[int]uint64{}, fresh: map[int]bool{}}
}

// underWay reports whether answers are awaited.
func (i *introductions) underWay() bool { return len(i.asked) > 0 }

// begin starts a round for all fresh brokers, to be told to all that run and
// to themselves.
func (i *introductions) begin(running []int) (ask []int) {
	i.round++
	i.guests, i.fresh = i.fresh, map[int]bool{}
	i.asked, i.noted, i.failed = map[int]bool{}, map[int]bool{}, map[int]error{}
	for _, b := range running {
		i.asked[b] = true
	}
	for b := range i.guests {
		i.asked[b] = true
	}
	return slices.Sorted(maps.Keys(i.asked))
}

// answered takes a broker's answer; an err says that it could not write.
func (i *introductions) answered(round uint64, broker int, err error) {
	if round != i.round || !i.asked[broker] {
		return
	}
	delete(i.asked, broker)
	if err != nil {
		i.failed[broker] = err
	} else {
		i.noted[broker] = true
	}
}

// gone forgets a broker that was closed or failed meanwhile.
func (i *introductions) gone(broker int) {
	delete(i.fresh, broker)
	delete(i.guests, broker)
	delete(i.asked, broker)
}

// conclude ends the round. A broker is let in when it has noted its peers, and
// one of them, if any runs, has noted it. Those that have not answered in time
// count as failed.
func (i *introductions) conclude() (in []int, refused map[int]error) {
	refused = map[int]error{}
	for b := range i.asked {
		i.failed[b] = errors.New("it did not write its ledger in time")
	}
	others := len(i.noted) + len(i.failed) - 1
	for _, b := range slices.Sorted(maps.Keys(i.guests)) {
		witnesses := len(i.noted)
		if i.noted[b] {
			witnesses--
		}
		switch {
		case i.failed[b] != nil:
			refused[b] = i.failed[b]
		case others > 0 && witnesses == 0:
			refused[b] = errors.New("no other broker could note that it was opened")
		default:
			in = append(in, b)
		}
	}
	i.guests, i.asked = nil, nil
	return in, refused
}
