package datadir

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ottla/protocol"
)

// ReplicaState says what has become of a replica id.
type ReplicaState string

// The states of a replica id, which only ever changes from one to a later one.
const (
	ReplicaLive    ReplicaState = "live"
	ReplicaLost    ReplicaState = "lost"    // its data is lost or was given up; the id is never used again
	ReplicaDeleted ReplicaState = "deleted" // its topic was deleted; the directory may still be there
)

// Replica is one replica id that this broker has or has had.
type Replica struct {
	TopicID   string       `json:"topic_id"`
	Topic     string       `json:"topic"`
	Partition int          `json:"partition"`
	ReplicaID uint64       `json:"replica_id"`
	State     ReplicaState `json:"state"`
}

// Key names the replica.
func (r Replica) Key() protocol.ReplicaID {
	return protocol.ReplicaID{TopicID: r.TopicID, Partition: r.Partition, Replica: r.ReplicaID}
}

// ledgerFile is <broker directory>/ledger.json.
type ledgerFile struct {
	seal
	ClusterID string         `json:"cluster_id"`
	Broker    int            `json:"broker"`
	Opens     uint64         `json:"opens"`
	Peers     map[int]uint64 `json:"peers,omitempty"` // the greatest Opens known of other brokers, by broker
	Replicas  []Replica      `json:"replicas"`
}

func (f *ledgerFile) newest() int { return ledgerPeersVersion }

func (f *ledgerFile) version() int {
	if len(f.Peers) > 0 {
		return ledgerPeersVersion
	}
	return manifestVersion
}

// Ledger is a broker's memory of its replica ids: a replica that is live here but
// missing on disk was lost. It has one owner and no lock. A method that changes it
// returns when the change is on disk, in one write for all of its arguments; after
// an error nothing has changed in memory.
type Ledger struct {
	path string
	disk durable
	file ledgerFile
	at   map[protocol.ReplicaID]int // index in file.Replicas
}

// CreateLedger writes an empty ledger into a new broker directory. It returns
// os.ErrExist when there is one.
func CreateLedger(dir, clusterID string, broker int) error {
	path := filepath.Join(dir, ledgerName)
	if err := absent(path); err != nil {
		return err
	}
	return durable{}.writeSealed(path, &ledgerFile{ClusterID: clusterID, Broker: broker})
}

// ReadLedger reads a broker's ledger and changes nothing. Errors:
// os.ErrNotExist when it is gone (with a broker manifest beside it that is
// damage, never a fresh start), *DamagedFileError, *NewerFormatError.
func ReadLedger(dir, clusterID string, broker int) (*Ledger, error) {
	l := &Ledger{path: filepath.Join(dir, ledgerName)}
	if err := readSealed(l.path, &l.file); err != nil {
		return nil, err
	}
	if l.file.ClusterID != clusterID || l.file.Broker != broker {
		return nil, &DamagedFileError{Path: l.path, Err: fmt.Errorf("it is of cluster %s, broker %d, not of cluster %s, broker %d",
			l.file.ClusterID, l.file.Broker, clusterID, broker)}
	}
	l.index()
	return l, nil
}

// OpenLedger reads a broker's ledger and raises its count beyond what it was
// and beyond floor. Errors: as ReadLedger, and that of the write.
func OpenLedger(dir, clusterID string, broker int, floor uint64) (*Ledger, error) {
	l, err := ReadLedger(dir, clusterID, broker)
	if err != nil {
		return nil, err
	}
	return l, l.Raise(floor)
}

// Raise sets the count to more than it was and more than floor. It is called at
// each open and close, and now and then between them, so that a copy of the
// directory made before has a lower count.
func (l *Ledger) Raise(floor uint64) error {
	next := l.file
	next.Opens = max(next.Opens, floor) + 1
	return l.replace(next)
}

// OpenCount is the count as it is on disk, at least 1 once the ledger was opened. A
// broker whose count is less than its peers have noted has an older copy.
func (l *Ledger) OpenCount() uint64 { return l.file.Opens }

// Peers are the counts of other brokers that were noted, by broker.
func (l *Ledger) Peers() map[int]uint64 { return maps.Clone(l.file.Peers) }

// NotePeers notes the counts of other brokers, by broker. A count that is not
// greater than what is known is passed over, as is the ledger's own broker.
func (l *Ledger) NotePeers(counts map[int]uint64) error {
	next, changed := l.file, false
	next.Peers = maps.Clone(next.Peers)
	for broker, count := range counts {
		if broker == l.file.Broker || count <= next.Peers[broker] {
			continue
		}
		if next.Peers == nil {
			next.Peers = map[int]uint64{}
		}
		next.Peers[broker], changed = count, true
	}
	if !changed {
		return nil
	}
	return l.replace(next)
}

// Replicas returns all entries in the order in which they were added.
func (l *Ledger) Replicas() []Replica { return slices.Clone(l.file.Replicas) }

// Live returns the live replica of a partition; there is one at most.
func (l *Ledger) Live(topicID string, partition int) (Replica, bool) {
	for _, r := range l.file.Replicas {
		if r.State == ReplicaLive && r.TopicID == topicID && r.Partition == partition {
			return r, true
		}
	}
	return Replica{}, false
}

// Add enters new live replicas. One that is live already is passed over. Errors: an
// id is 0, or was lost or deleted, or its partition has another live replica;
// nothing is added then.
func (l *Ledger) Add(rs ...Replica) error {
	next := l.file
	next.Replicas = slices.Clone(next.Replicas)
	states := make(map[protocol.ReplicaID]ReplicaState, len(next.Replicas)) // by id; under id 0, whether the partition has a live one
	for _, r := range next.Replicas {
		states[r.Key()] = r.State
		if r.State == ReplicaLive {
			states[r.partitionKey()] = ReplicaLive
		}
	}
	for _, r := range rs {
		r.State = ReplicaLive
		state, known := states[r.Key()]
		switch {
		case r.ReplicaID == 0:
			return fmt.Errorf("%s: replica id 0 for %s-%d", l.path, r.Topic, r.Partition)
		case known && state == ReplicaLive:
			continue
		case known:
			return fmt.Errorf("%s: %v is %s and cannot return", l.path, r.Key(), state)
		case states[r.partitionKey()] == ReplicaLive:
			return fmt.Errorf("%s: %v: the partition has another live replica", l.path, r.Key())
		}
		states[r.Key()], states[r.partitionKey()] = ReplicaLive, ReplicaLive
		next.Replicas = append(next.Replicas, r)
	}
	if len(next.Replicas) == len(l.file.Replicas) {
		return nil
	}
	return l.replace(next)
}

// partitionKey stands for whichever replica of the partition is live: no replica
// has id 0.
func (r Replica) partitionKey() protocol.ReplicaID {
	return protocol.ReplicaID{TopicID: r.TopicID, Partition: r.Partition}
}

// Mark sets the state of replicas. A replica that is in this state or a later one
// is passed over. Errors: a replica is not in the ledger; nothing is marked then.
func (l *Ledger) Mark(state ReplicaState, keys ...protocol.ReplicaID) error {
	next, changed := l.file, false
	next.Replicas = slices.Clone(next.Replicas)
	for _, k := range keys {
		i, ok := l.at[k]
		if !ok {
			return fmt.Errorf("%s: no %v to mark %s", l.path, k, state)
		}
		if stateRank(state) > stateRank(next.Replicas[i].State) {
			next.Replicas[i].State = state
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return l.replace(next)
}

func stateRank(s ReplicaState) int {
	return slices.Index([]ReplicaState{ReplicaLive, ReplicaLost, ReplicaDeleted}, s)
}

// MovedDir is the name that the directory of a replica has, within its broker's, while it is
// removed because the replica is elsewhere. No replica has it for its log, whatever its topic
// is called, for those end in a number; nor is it that of one of another topic of this name.
func (r Replica) MovedDir() string {
	return fmt.Sprintf("%s.%s-%d.moved", logDirName(r), r.TopicID, r.ReplicaID)
}

// HalfMoved are the replicas whose directories were being removed, because they are elsewhere,
// when the process ended.
func (l *Ledger) HalfMoved() (all []Replica) {
	for _, r := range l.file.Replicas {
		if r.State != ReplicaDeleted {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(l.path), r.MovedDir())); err == nil {
			all = append(all, r)
		}
	}
	return all
}

// Remove takes replicas out that are marked deleted, once their directories are
// removed. Those that are not in the ledger are passed over. Errors: one is in
// another state; nothing is removed then.
func (l *Ledger) Remove(keys ...protocol.ReplicaID) error {
	gone := make(map[protocol.ReplicaID]bool, len(keys))
	for _, k := range keys {
		i, ok := l.at[k]
		if !ok {
			continue
		}
		if s := l.file.Replicas[i].State; s != ReplicaDeleted {
			return fmt.Errorf("%s: %v is %s, not deleted", l.path, k, s)
		}
		gone[k] = true
	}
	if len(gone) == 0 {
		return nil
	}
	next := l.file
	next.Replicas = slices.DeleteFunc(slices.Clone(next.Replicas), func(r Replica) bool { return gone[r.Key()] })
	return l.replace(next)
}

// OnWrite has hook called before each step of a write; its error ends the write
// there. It is for tests of crashes.
func (l *Ledger) OnWrite(hook func(step string) error) { l.disk.hook = hook }

// replace writes next; memory follows the disk.
func (l *Ledger) replace(next ledgerFile) error {
	if err := l.disk.writeSealed(l.path, &next); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	l.file = next
	l.index()
	return nil
}

func (l *Ledger) index() {
	l.at = make(map[protocol.ReplicaID]int, len(l.file.Replicas))
	for i, r := range l.file.Replicas {
		l.at[r.Key()] = i
	}
}
