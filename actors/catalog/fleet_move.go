package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// FleetTask is something that takes time: the brokers of one node are moved to
// another. Immutable, like Topic.
type FleetTask struct {
	ID        string       `json:"id"`
	Kind      string       `json:"kind"`           // TaskReplace, TaskDecommission or TaskRebalance
	Node      uint64       `json:"node,omitempty"` // whose brokers are moved; 0: those of several
	With      uint64       `json:"with,omitempty"` // to where; 0: to several
	Brokers   []TaskBroker `json:"brokers"`
	StartedAt int64        `json:"started_at"` // milliseconds since 1970
	Cancelled bool         `json:"cancelled,omitempty"`
}

// TaskBroker is a broker that a task moves.
type TaskBroker struct {
	Cluster string `json:"cluster"` // id
	Broker  int    `json:"broker"`
	To      uint64 `json:"to,omitempty"` // the node; 0: the task's With
}

// Kinds of tasks.
const (
	TaskReplace      = "replace"      // a node takes the place of a lost one
	TaskDecommission = "decommission" // the brokers of a node move to others, and it is gone
	TaskRebalance    = "rebalance"    // brokers move so that all nodes have about as many
	TaskResize       = "resize"       // a cluster gets more brokers or fewer
)

// maxTasks is how many tasks are remembered, the oldest first forgotten.
const maxTasks = 100

type taskValue struct {
	V int `json:"v"`
	FleetTask
}

// Tasks are the tasks of a fleet by id. The map may not be changed.
func (s *fleetState) Tasks() map[string]*FleetTask { return s.tasks }

// DecideReplaceNode gives the brokers of a node that is lost to another one, which
// begins them anew from the other copies; the lost one may never come back. Own is
// the fleet's metadata as a cluster, as far as nobody has moved its brokers. Alive
// says which nodes are heard of. Errors: node_not_found; not_allowed while the node is
// heard of, or where the other cannot take its place.
func (s *fleetState) DecideReplaceNode(lost, with uint64, own *PlacedCluster, alive func(uint64) bool, taskID string, now int64) (*FleetTask, []metarecord.Record, *protocol.Error) {
	n, by := s.nodes[lost], s.nodes[with]
	switch {
	case n == nil || by == nil:
		missing := lost
		if n != nil {
			missing = with
		}
		return nil, nil, protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", missing)
	case n.Gone:
		return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d has been replaced already", lost)
	case lost == with, by.Gone, by.Draining, by.Leaving, !alive(with):
		return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d cannot take the place of node %d: it is lost, drained or the same", with, lost)
	// It may lead, and acknowledge records. Its brokers can be moved with nothing lost
	// (DecideDecommission).
	case alive(lost):
		return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d is heard of: only a lost node is replaced", lost)
	}
	// In one decision with the new places: the lost node is let in nowhere from then on, so no
	// copy that comes back votes beside the one that is made in its place.
	t := &FleetTask{ID: taskID, Kind: TaskReplace, Node: lost, With: with, Brokers: []TaskBroker{}, StartedAt: now}
	gone := *n
	gone.Gone, gone.Leaving = true, false
	recs := []metarecord.Record{nodeRecord(gone)}
	all := []*PlacedCluster{}
	if s.placed[own.Settings.ID] == nil {
		all = append(all, own)
	}
	for _, p := range s.placed {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *PlacedCluster) int { return cmp.Compare(a.Settings.ID, b.Settings.ID) })
	for _, p := range all {
		next := *p
		next.Nodes, next.Moves = slices.Clone(p.Nodes), maps.Clone(p.Moves)
		for b, m := range next.Moves {
			if m.Node == lost { // what was there already is made again where the broker is
				next.Moves[b] = BrokerMove{Node: m.Node, Epoch: m.Epoch, Back: true}
			}
		}
		for i, node := range next.Nodes {
			if node == lost {
				next.Nodes[i] = with
				if p.Settings.ID == own.Settings.ID {
					next.Nodes[i] = s.voterFor(&next, with, alive)
				}
				t.Brokers = append(t.Brokers, TaskBroker{Cluster: p.Settings.ID, Broker: i + 1})
				delete(next.Moves, i+1) // the node that it was moving to has a part of it only
			}
		}
		if p.Phase == PlacedDeleting { // nobody has to remove what is lost
			recs = append(recs, s.removedBy(p, lost)...)
			continue
		}
		if !slices.Equal(next.Nodes, p.Nodes) || !maps.Equal(next.Moves, p.Moves) {
			recs = append(recs, placedRecord(next))
		}
	}
	// Of a cluster that is being deleted nothing is made anew.
	t.Brokers = slices.DeleteFunc(t.Brokers, func(b TaskBroker) bool { p := s.placed[b.Cluster]; return p != nil && p.Phase == PlacedDeleting })
	return t, append(recs, s.taskRecords(t)...), nil
}

// voterFor is the node that gets a part of the fleet's metadata in the place of a lost one:
// with, or another one where that has a part already. Two parts at one node would take the
// majority with them when it fails.
func (s *fleetState) voterFor(p *PlacedCluster, with uint64, alive func(uint64) bool) uint64 {
	others := slices.Clone(p.Nodes)
	for i := range others {
		others[i] = p.Aim(i + 1)
	}
	if !slices.Contains(p.Nodes, with) && !slices.Contains(others, with) {
		return with
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[id]
		if alive(id) && !n.Gone && !n.Leaving && !n.Draining && !slices.Contains(p.Nodes, id) && !slices.Contains(others, id) {
			return id
		}
	}
	return with
}

func (s *fleetState) removedBy(p *PlacedCluster, node uint64) []metarecord.Record {
	if !slices.Contains(p.Nodes, node) {
		return nil
	}
	return s.DecideClusterRemoved(p.Settings.ID, node)
}

// taskRecords are those of a new task, and of one that is forgotten for it.
func (s *fleetState) taskRecords(t *FleetTask) []metarecord.Record {
	recs := []metarecord.Record{taskRecord(t)}
	if len(s.tasks) < maxTasks {
		return recs
	}
	var oldest *FleetTask
	for _, old := range s.tasks {
		if oldest == nil || cmp.Or(cmp.Compare(old.StartedAt, oldest.StartedAt), cmp.Compare(old.ID, oldest.ID)) < 0 {
			oldest = old
		}
	}
	// Without a value, for which compaction drops it.
	return append(recs, metarecord.Record{Action: actionNoteTask, Key: metarecord.Key(keyTask, oldest.ID)})
}

func taskRecord(t *FleetTask) metarecord.Record {
	return metarecord.Record{Action: actionNoteTask, Key: metarecord.Key(keyTask, t.ID), Value: metarecord.JSON(taskValue{metarecord.Format, *t})}
}

// DecideDrainNode has leadership leave a node, or lets it come back. Its brokers stay there
// and keep their copies; new ones are placed elsewhere. No records where
// it is so already. Errors: node_not_found; not_allowed for one that is gone.
func (s *fleetState) DecideDrainNode(id uint64, drain bool) ([]metarecord.Record, *protocol.Error) {
	n := s.nodes[id]
	switch {
	case n == nil:
		return nil, protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", id)
	case n.Gone:
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d is gone for good", id)
	case n.Draining == drain:
		return nil, nil
	}
	next := *n
	next.Draining = drain
	return []metarecord.Record{nodeRecord(next)}, nil
}

func (s *fleetState) applyTask(id string, value []byte) error {
	if value == nil {
		delete(s.tasks, id)
		return nil
	}
	var v taskValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	if v.ID != id {
		return fmt.Errorf("the key is of another task")
	}
	s.tasks[id] = &v.FleetTask
	return nil
}
