package catalog

import (
	"maps"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Resize is the latest change of the number of brokers. Immutable, like Topic.
type Resize struct {
	TaskID    string      `json:"task_id"`
	Brokers   int         `json:"brokers"` // that there are to be
	Phase     ResizePhase `json:"phase"`
	StartedAt int64       `json:"started_at"` // milliseconds since 1970
}

// ResizePhase says how far a change of the number of brokers is.
type ResizePhase string

// The phases.
const (
	ResizeMoving   ResizePhase = "moving"   // replicas are moved, to new brokers or away from those that leave
	ResizeRemoving ResizePhase = "removing" // brokers that have nothing any more are ended, and their directories removed
	ResizeDone     ResizePhase = "done"
)

type resizeValue struct {
	V int `json:"v"`
	Resize
}

// Resizing is the latest change of the number of brokers, nil if there was none.
func (s *State) Resizing() *Resize { return s.resize }

// BrokerCount is how many brokers the cluster has, those that leave included.
func (s *State) BrokerCount() int { return len(s.brokers) }

// BrokerAt is a broker as the cluster knows it; nil if there is none.
func (s *State) BrokerAt(id int) *Broker { return s.brokers[id] }

// DecideGrow enters new brokers, which places says where they are, and has replicas
// moved to them.
func (s *State) DecideGrow(brokers int, places map[int]Broker, taskID string, now int64) []metarecord.Record {
	// It was decided in the fleet, and may be told more than once.
	if s.settings == nil || brokers <= len(s.brokers) {
		return nil
	}
	settings := *s.settings
	settings.NumBrokers = brokers
	recs := []metarecord.Record{settingsRecord(settings)}
	// Numbers have no gaps: it is always the last brokers that leave.
	for id := len(s.brokers) + 1; id <= brokers; id++ {
		at := places[id]
		at.ID, at.CreatedAt = id, now
		recs = append(recs, brokerRecord(at))
	}
	return append(recs, resizeRecord(Resize{TaskID: taskID, Brokers: brokers, Phase: ResizeMoving, StartedAt: now}))
}

// DecideShrink has the replicas of the brokers beyond so many moved to the others, and
// these brokers removed then. Where a change is under way it takes its place; the number
// that there are takes it back. No records where that is the aim already, or nothing is to
// be done. Errors: not_allowed where a topic needs more brokers, or its copies would be at
// fewer nodes.
func (s *State) DecideShrink(brokers int, taskID string, now int64) ([]metarecord.Record, *protocol.Error) {
	if s.settings == nil {
		return nil, protocol.Errorf(protocol.CodeStarting, "the cluster is starting: its metadata has not been read yet")
	}
	if !between(1, maxBrokers)(brokers) {
		return nil, notInRange("num_brokers", rangeRule(1, maxBrokers), brokers)
	}
	r := s.resize
	moving := r != nil && r.Phase != ResizeDone
	switch {
	case moving && r.Brokers == brokers, !moving && brokers >= len(s.brokers):
		return nil, nil
	// Their directories are being removed: it is too late to take this back.
	case moving && r.Phase == ResizeRemoving:
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "the number of brokers is being changed to %d: wait for task %s to end", r.Brokers, r.TaskID)
	}
	nodes := map[uint64]bool{}
	for id, b := range s.brokers {
		if id <= brokers {
			// Where they will be, if they are moving as well.
			nodes[b.goal()] = true
		}
	}
	for _, t := range s.TopicList() {
		// Ottla's own topics have fewer copies then.
		if t.Internal() {
			continue
		}
		if t.ReplicationFactor > brokers {
			return nil, protocol.Errorf(protocol.CodeNotAllowed, "topic %q has %d copies of its records, each on a broker of its own: it needs more than %d brokers",
				t.Name, t.ReplicationFactor, brokers).With("topic", t.Name)
		}
		if have := s.apart(t); have > len(nodes) {
			return nil, protocol.Errorf(protocol.CodeNotAllowed, "the copies of topic %q are at %d nodes, and the first %d brokers are at %d only",
				t.Name, have, brokers, len(nodes)).With("topic", t.Name)
		}
	}
	return []metarecord.Record{resizeRecord(Resize{TaskID: taskID, Brokers: brokers, Phase: ResizeMoving, StartedAt: now})}, nil
}

// apart is at how many nodes the copies of a topic's partitions are, at least.
func (s *State) apart(t *Topic) int {
	least := t.ReplicationFactor
	for n := range t.Partitions {
		if p := s.partition(t.ID, n); p != nil {
			nodes := map[uint64]bool{}
			for _, r := range p.Replicas {
				nodes[s.Locate(p, r.Broker)] = true
			}
			least = min(least, len(nodes))
		}
	}
	return least
}

// MostCopies is the greatest number of nodes that the copies of a topic of users are at:
// with fewer nodes some would be closer together.
func (s *State) MostCopies() int {
	most := 1
	for _, t := range s.topics {
		if !t.Internal() {
			most = max(most, s.apart(t))
		}
	}
	return most
}

// resized notes that all replicas are where they are to be.
func (s *State) resized() []metarecord.Record {
	next := *s.resize
	// It has grown, or was taken back: nothing is to be removed.
	if len(s.brokers) <= next.Brokers {
		next.Phase = ResizeDone
		return []metarecord.Record{resizeRecord(next)}
	}
	next.Phase = ResizeRemoving
	settings := *s.settings
	settings.NumBrokers = next.Brokers
	// The default for new topics; those that there are were looked at before.
	settings.ReplicationFactor = min(settings.ReplicationFactor, next.Brokers)
	recs := []metarecord.Record{settingsRecord(settings), resizeRecord(next)}
	for _, id := range slices.Sorted(maps.Keys(s.brokers)) {
		if id > next.Brokers {
			recs = append(recs, metarecord.Record{Action: actionRemoveBroker, Key: metarecord.Key(keyBroker, id)})
		}
	}
	return recs
}

// DecideRemoved notes that the brokers that the cluster does not have any more are gone.
func (s *State) DecideRemoved() []metarecord.Record {
	if s.resize == nil || s.resize.Phase != ResizeRemoving {
		return nil
	}
	next := *s.resize
	next.Phase = ResizeDone
	return []metarecord.Record{resizeRecord(next)}
}

func settingsRecord(c ClusterSettings) metarecord.Record {
	return metarecord.Record{Action: actionCreateCluster, Key: metarecord.Key(keyCluster), Value: metarecord.JSON(clusterValue{metarecord.Format, c})}
}

func resizeRecord(r Resize) metarecord.Record {
	return metarecord.Record{Action: actionResizeCluster, Key: metarecord.Key(keyResize), Value: metarecord.JSON(resizeValue{metarecord.Format, r})}
}

func (s *State) applyResize(value []byte) error {
	var v resizeValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	s.resize = &v.Resize
	return nil
}
