package forced

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/actors/replica"
	"ottla/logfile"
	"ottla/protocol"
)

// Plan is what a forced change of membership would do to a data directory
// in which partitions have lost a majority of their replicas for good.
type Plan struct {
	Brokers    []Broker    // whose directories are not as they should be
	Partitions []Partition // without a majority, to go on with one copy; metadata and offsets of a cluster first
	Gone       []string    // partitions of which no copy can be read: their names, and what was found on each broker

	complete bool // see NewPlan
	clusters []*cluster
}

// Broker is a broker whose directory is missing, an older copy, or not
// readable.
type Broker struct {
	Cluster string
	Broker  int
	Dir     string // where the directory belongs
	Finding string // what is wrong with it, for people
}

// Partition is a partition whose membership becomes one replica alone.
type Partition struct {
	Cluster, Topic string
	Partition      int
	Survivor       Copy   // that replica: the copy that raft would elect
	Others         []Copy // to be given up, those that are lost included
}

// Copy is a replica of such a partition.
type Copy struct {
	Broker              int
	ReplicaID           uint64
	Dir                 string
	Finding             string // "ok", or what is wrong with it
	Readable            bool   // then the fields below are known
	LastTerm, LastIndex uint64 // of its last entry, in raft's terms
	NextOffset          int64  // the offset after its last record
}

// cluster is a cluster as it was found. Maps with an int as key are by broker.
type cluster struct {
	manifest  datadir.ClusterManifest
	dirs      map[int]string
	ledgers   map[int]*datadir.Ledger // of the brokers whose ledger can be read
	ages      map[int]datadir.Age
	copies    map[protocol.PartitionID][]replica.Copy // that are live in a ledger
	state     *catalog.State                          // by the copy of the metadata that the cluster goes on with
	takeovers []takeover
}

// takeover is what Execute does for one of Plan.Partitions.
type takeover struct {
	key      protocol.PartitionID
	survivor replica.Copy
	term     uint64 // the greatest that a readable copy has seen
}

// NewPlan looks for partitions without a majority in a data directory that
// no process has open. It changes nothing, except that with complete it finishes
// what any start finishes: the replacement of a log by a snapshot, without which
// that log cannot be read. Errors: dataDir is no data directory, a manifest is
// damaged, something is newer than this program, a broker's directory was found
// in another place, a cluster has no readable metadata.
func NewPlan(dataDir string, complete bool) (*Plan, error) {
	m, found, err := datadir.Inspect(dataDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no data directory: it has no %s (starting the server makes that from its brokers' copies)", dataDir, datadir.ManifestName)
	} else if err != nil {
		return nil, err
	}
	p := &Plan{complete: complete}
	for _, c := range m.List() {
		if c.Phase != datadir.Created {
			continue // the next start completes or removes it
		}
		if err := p.addCluster(m, found, c); err != nil {
			return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
		}
	}
	return p, nil
}

func (p *Plan) addCluster(m *datadir.Manifests, found datadir.Survey, c datadir.ClusterManifest) error {
	f := &cluster{manifest: c, dirs: map[int]string{}, copies: map[protocol.PartitionID][]replica.Copy{}}
	var err error
	if f.ledgers, err = m.LedgersOf(c); err != nil {
		return err
	}
	f.ages = datadir.CompareLedgers(c.NumBrokers, f.ledgers)
	for _, n := range c.Brokers() {
		f.dirs[n] = m.BrokerDir(c, n)
		place := m.Place(found, c, n)
		if place.State != datadir.PlaceOK && len(place.Elsewhere) > 0 {
			return fmt.Errorf("broker %d has no usable directory, but one of it was found in %s: put that back as %s, or move it out of the data directory if it is of no use",
				n, place.Elsewhere[0], place.Dir)
		}
		if finding := f.finding(n, place); finding != "" {
			p.Brokers = append(p.Brokers, Broker{Cluster: c.Name, Broker: n, Dir: place.Dir, Finding: finding})
		}
		if err := f.readCopies(n, p.complete); err != nil {
			return err
		}
	}
	if err := f.readMetadata(); err != nil {
		return err
	}
	p.clusters = append(p.clusters, f)
	for _, key := range f.partitionKeys() {
		p.addPartition(f, key)
	}
	return nil
}

// finding says what is wrong with a broker's directory, "" if nothing is. Place is
// what the survey found there.
func (f *cluster) finding(broker int, place datadir.Place) string {
	switch {
	case place.State != datadir.PlaceOK:
		return fmt.Sprintf("%s: %v", place.State, place.Err)
	case f.ledgers[broker] == nil:
		_, err := datadir.ReadLedger(place.Dir, f.manifest.ID, broker)
		return fmt.Sprintf("its ledger cannot be read (%v); move the directory away to have the broker rebuilt", err)
	case f.old(broker):
		return f.ages[broker].Err().Error()
	}
	return ""
}

// old reports whether a broker's directory is an older copy.
func (f *cluster) old(broker int) bool {
	l := f.ledgers[broker]
	return l != nil && datadir.IsOldCopy(f.dirs[broker], l, f.ages[broker])
}

// readCopies looks at every live replica of a broker.
func (f *cluster) readCopies(broker int, complete bool) error {
	l := f.ledgers[broker]
	if l == nil {
		return nil
	}
	for _, r := range l.Replicas() {
		if r.State != datadir.ReplicaLive {
			continue
		}
		c := inspectReplica(f.manifest.ID, broker, f.dirs[broker], r)
		if complete && errors.Is(c.Err, logfile.ErrUnfinished) {
			if log, _, err := logfile.Open(logfile.OSFS{}, c.Dir, logfile.Options{BootID: logfile.BootID()}); err == nil {
				c.Err = log.Close()
			}
			c = inspectReplica(f.manifest.ID, broker, f.dirs[broker], r)
		}
		if errors.Is(c.Err, logfile.ErrNewerFormat) {
			return fmt.Errorf("%s: %w: use the program that wrote it", c.Dir, c.Err)
		}
		c.Outdated = f.old(broker)
		key := protocol.PartitionID{TopicID: r.TopicID, Partition: r.Partition}
		f.copies[key] = append(f.copies[key], c)
	}
	return nil
}

// readMetadata builds the cluster's state from the copy of the metadata that the
// cluster will go on with: the longest that may be elected, or else the one that
// becomes the sole voter.
func (f *cluster) readMetadata() error {
	copies := f.copies[catalog.MetadataPartition()]
	best := f.majorityOf(copies)
	if best == nil {
		best = replica.Longest(copies)
	}
	if best == nil {
		errs := []error{errors.New("no copy of its metadata can be read; only a backup can bring it back")}
		for _, c := range copies {
			errs = append(errs, c.Err)
		}
		return errors.Join(errs...)
	}
	f.state = catalog.New()
	err := logfile.WalkFrames(logfile.OSFS{}, best.Dir, func(_ string, _ logfile.Identity, fr logfile.Frame) error {
		if fr.Kind != logfile.KindRecords && fr.Kind != logfile.KindCompacted {
			return nil
		}
		records, err := logfile.ParseRecords(fr)
		if err != nil {
			return err
		}
		for i := range records {
			rec, err := metarecord.Parse(records[i].Key, records[i].Value, records[i].Action)
			if err == nil {
				err = f.state.Apply(rec)
			}
			if err != nil {
				return fmt.Errorf("metadata record at offset %d: %w", records[i].Offset, err)
			}
		}
		return nil
	})
	if err == nil && f.state.Partitions()[catalog.MetadataPartition()] == nil {
		err = fmt.Errorf("the copy of its metadata on broker %d had not got the cluster's first records; only a backup can bring it back", best.Broker)
	}
	return err
}

// majorityOf returns the longest sound copy if the sound ones are enough to
// elect a leader, else nil.
func (f *cluster) majorityOf(copies []replica.Copy) *replica.Copy {
	sound := slices.DeleteFunc(slices.Clone(copies), func(c replica.Copy) bool { return c.Outdated || !c.Usable() })
	present := map[uint64]bool{}
	for _, c := range sound {
		present[c.ReplicaID] = true
	}
	if best := replica.Longest(sound); best != nil && best.Quorum(present) {
		return best
	}
	return nil
}

// partitionKeys lists the metadata, then the offsets, then all other partitions by
// name.
func (f *cluster) partitionKeys() []protocol.PartitionID {
	var keys []protocol.PartitionID
	for key := range f.state.Partitions() {
		if f.state.Topics()[key.TopicID] != nil {
			keys = append(keys, key)
		}
	}
	rank := func(topic string) int {
		return slices.Index([]string{"", protocol.OffsetsTopic, protocol.MetadataTopic}, topic)
	}
	slices.SortFunc(keys, func(a, b protocol.PartitionID) int {
		x, y := f.state.Topics()[a.TopicID].Name, f.state.Topics()[b.TopicID].Name
		return cmp.Or(cmp.Compare(rank(y), rank(x)), cmp.Compare(x, y), cmp.Compare(a.Partition, b.Partition))
	})
	return keys
}

// addPartition adds a partition to the plan if it has no majority.
func (p *Plan) addPartition(f *cluster, key protocol.PartitionID) {
	topic, part := f.state.Topics()[key.TopicID], f.state.Partitions()[key]
	copies := slices.Clone(f.copies[key])
	for i := range copies { // one whose successor is decided on is retired at the next start, whatever it has
		if id, _ := f.state.Held(part, copies[i].Broker, 0); id != copies[i].ReplicaID {
			copies[i].Err = cmp.Or(copies[i].Err, error(errGivenUp))
		}
	}
	if f.majorityOf(copies) != nil {
		return
	}
	survivor := replica.Longest(copies)
	forced := Partition{Cluster: f.manifest.Name, Topic: topic.Name, Partition: key.Partition}
	for _, r := range part.Wanted() {
		c := copyOn(copies, r)
		if survivor != nil && c.Broker == survivor.Broker {
			forced.Survivor = c
		} else {
			forced.Others = append(forced.Others, c)
		}
	}
	if survivor == nil {
		gone := fmt.Sprintf("%s: %s-%d", f.manifest.Name, topic.Name, key.Partition)
		for _, c := range forced.Others {
			gone += fmt.Sprintf("; broker %d: %s", c.Broker, c.Finding)
		}
		p.Gone = append(p.Gone, gone)
		return
	}
	t := takeover{key: key, survivor: *survivor}
	for _, c := range copies {
		t.term = max(t.term, c.HardTerm)
	}
	f.takeovers = append(f.takeovers, t)
	p.Partitions = append(p.Partitions, forced)
}

var errGivenUp = errors.New("it failed before, and another replica was to take its place")

// copyOn describes what was found of the member r.
func copyOn(copies []replica.Copy, r protocol.PlacedReplica) Copy {
	out := Copy{Broker: r.Broker, ReplicaID: r.ReplicaID, Finding: "missing"}
	for _, c := range copies {
		if c.Broker != r.Broker {
			continue
		}
		out.ReplicaID, out.Dir = c.ReplicaID, c.Dir
		out.LastTerm, out.LastIndex, out.NextOffset = c.LastTerm, c.LastIndex, c.NextOffset
		out.Readable = c.Usable()
		switch {
		case isCorrupt(c.Err):
			out.Finding = "damaged: " + c.Err.Error()
		case c.Err != nil:
			out.Finding = c.Err.Error()
		case !c.Usable():
			out.Finding = "empty: it was being built"
		case c.Outdated:
			out.Finding = "an older copy"
		default:
			out.Finding = "ok"
		}
	}
	return out
}
