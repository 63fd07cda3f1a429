package fleet

import (
	"fmt"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// facts are what decisions about moves know besides the metadata.
func (f *Fleet) facts() *catalog.Fleet {
	// As it was founded: it has no record of its own among the placed clusters until it has
	// been given to more nodes.
	own := Placement(&f.node.Founding)
	own.Phase = catalog.PlacedCreated
	return &catalog.Fleet{Own: own, Alive: f.Usable, Room: f.o.Room, Replicas: func(cluster string) map[uint64]int {
		if c := f.clusterByID(cluster); c != nil && c.View() != nil {
			return c.View().Replicas
		}
		return nil
	}, Copies: func(cluster string) int {
		if c := f.clusterByID(cluster); c != nil && c.View() != nil {
			return c.View().Copies
		}
		return 0
	}}
}

func newTaskID(kind string, of any) string {
	return fmt.Sprintf("%s-%v-%s", kind, of, protocol.NewID()[:8])
}

// Decommission has all brokers of a node moved to others; the node is gone then. Called
// again it returns the task that is under way. Errors: those of
// catalog.State.DecideDecommission.
func (f *Fleet) Decommission(id uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	if err := f.Needs(level.Moves, deadline); err != nil {
		return protocol.TaskInfo{}, err
	}
	return f.begin(deadline, func(s *catalog.State) (*catalog.FleetTask, []metarecord.Record, *protocol.Error) {
		return s.DecideDecommission(id, f.facts(), newTaskID(catalog.TaskDecommission, id), f.o.Now().UnixMilli())
	})
}

// Rebalance has brokers moved until all nodes have about as many. Errors: those of
// catalog.State.DecideRebalance.
func (f *Fleet) Rebalance(deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	if err := f.Needs(level.Moves, deadline); err != nil {
		return protocol.TaskInfo{}, err
	}
	return f.begin(deadline, func(s *catalog.State) (*catalog.FleetTask, []metarecord.Record, *protocol.Error) {
		return s.DecideRebalance(f.facts(), newTaskID(catalog.TaskRebalance, "all"), f.o.Now().UnixMilli())
	})
}

// begin begins a task and describes it.
func (f *Fleet) begin(deadline time.Time, decide func(*catalog.State) (*catalog.FleetTask, []metarecord.Record, *protocol.Error)) (protocol.TaskInfo, *protocol.Error) {
	if !f.Belongs() {
		return protocol.TaskInfo{}, ErrJoining
	}
	var task *catalog.FleetTask
	err := f.meta.Change(deadline, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		task, recs, err = decide(s)
		return recs, err
	})
	if err != nil {
		return protocol.TaskInfo{}, err
	}
	return f.taskInfo(task), nil
}

// Stay takes a decommission back. Errors: those of catalog.State.DecideStay.
func (f *Fleet) Stay(id uint64, deadline time.Time) *protocol.Error {
	if !f.Belongs() {
		return ErrJoining
	}
	return f.meta.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) { return s.DecideStay(id) })
}

// Grow gives a cluster more brokers. Errors: those of catalog.State.DecideGrowPlaced.
func (f *Fleet) Grow(cluster string, brokers int, deadline time.Time) *protocol.Error {
	if !f.Belongs() {
		return ErrJoining
	}
	return f.meta.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideGrowPlaced(cluster, brokers, f.facts())
	})
}

// Shrunk says that a cluster has nothing on its brokers beyond so many any more.
func (f *Fleet) Shrunk(cluster string, brokers int) {
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideShrunkPlaced(cluster, brokers), nil
	})
}

// Arrived says that all replicas of a broker are at a node, by the move with that epoch.
func (f *Fleet) Arrived(cluster string, broker int, epoch, at uint64) {
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideBrokerArrived(cluster, broker, epoch, at), nil
	})
}

// Gone reports whether a node is gone for good, as far as this one knows.
func (f *Fleet) Gone(node uint64) bool {
	v := f.view.Load()
	return v != nil && v.Nodes[node] != nil && v.Nodes[node].Gone
}

// Tend returns the records of what is due in the fleet's metadata: nodes whose brokers have
// left are gone, and more nodes hold the metadata where there are more.
func (f *Fleet) Tend(s *catalog.State) []metarecord.Record {
	if !f.Belongs() {
		return nil
	}
	// One thing at a time, the most urgent first: each of them changes what the next one
	// would be decided on.
	facts := f.facts()
	if recs := s.DecideNodesGone(facts.Own); len(recs) > 0 {
		return recs
	}
	// An older program could not read that the metadata moves.
	if recs, _ := s.DecideRaise(f.offer, false); len(recs) > 0 || s.Level() < level.Moves.Level {
		return recs
	}
	// Not while brokers move, the metadata's own or others': where these end is what the
	// choice of nodes rests on.
	if p := s.Placed()[facts.Own.Settings.ID]; p != nil && len(p.Moves) > 0 {
		return nil
	}
	if s.Moving() {
		return nil
	}
	recs, err := s.DecideGrowPlaced(facts.Own.Settings.ID, s.Voters(facts.Own, f.Usable), facts)
	if err != nil {
		f.o.Log.Warn("the fleet's metadata is not given to more nodes", "error", err)
	}
	return recs
}

// movesInfo says how far the moves of a task are, as far as this node knows.
func (f *Fleet) movesInfo(t *catalog.FleetTask, info *protocol.TaskInfo) {
	v := f.view.Load()
	known, moving := true, false
	for _, b := range t.Brokers {
		p := v.Placed[b.Cluster]
		// It has been deleted since, or has fewer brokers: nothing is left to move.
		if p == nil || b.Broker > len(p.Nodes) || p.Phase == catalog.PlacedDeleting {
			continue
		}
		c := f.clusterByID(b.Cluster)
		if c == nil || c.View() == nil {
			// What this node does not know is not taken for done.
			known = false
			continue
		}
		view := c.View()
		placed := view.Rebuilt[b.Broker].Placed
		if _, moves := p.Moves[b.Broker]; !moves {
			info.Moved += placed
			continue
		}
		// The replicas that are not there yet, counted by the cluster's own metadata.
		moving = true
		left := placed // nothing has begun, as far as this node knows
		if n, begun := view.Moves[b.Broker]; begun {
			left = n.Left
			if n.Waiting && info.WaitingFor == "" {
				info.WaitingFor = partitionWaits(c, n.Stuck)
			}
		}
		info.Moved, info.Left = info.Moved+placed-left, info.Left+left
		// This outweighs what a partition waits for: without the node nothing arrives at
		// all.
		if to := p.Aim(b.Broker); !f.Usable(to) {
			info.WaitingFor = fmt.Sprintf("node %d, which is not heard of", to)
		}
	}
	n := v.Nodes[t.Node]
	switch {
	case !known:
		info.WaitingFor = "this node to know all of the clusters"
	case moving:
		if info.WaitingFor == "" {
			info.WaitingFor = "replicas to be filled by the others"
		}
	case t.Cancelled:
		info.State, info.WaitingFor = protocol.TaskCancelled, ""
	// All has left, and the node goes once the metadata is tended to.
	case t.Kind == catalog.TaskDecommission && (n == nil || !n.Gone):
		info.WaitingFor = "all nodes to know"
		if v.deleting() {
			info.WaitingFor = "files of deleted clusters to be removed"
		}
	default:
		info.State, info.WaitingFor = protocol.TaskDone, ""
	}
}

// deleting reports whether a cluster is being deleted.
func (v *View) deleting() bool {
	for _, p := range v.Placed {
		if p.Phase == catalog.PlacedDeleting {
			return true
		}
	}
	return false
}

// partitionWaits says what a partition that moves waits for.
func partitionWaits(c *routing.Cluster, id protocol.PartitionID) string {
	view := c.View()
	// The id, for a topic that was deleted meanwhile.
	name := id.TopicID
	for i := range view.Topics {
		if view.Topics[i].ID == id.TopicID {
			name = view.Topics[i].Name
		}
	}
	what := fmt.Sprintf("partition %d of topic %s of cluster %s", id.Partition, name, c.Name)
	if p := view.Partitions[id]; p != nil && p.Leader() == nil {
		return what + ", which has no leader"
	}
	if why := view.Problems[id]; why != "" {
		return what + ": " + why
	}
	return what + ", which is being copied"
}

// ResizeInfo describes the latest change of the number of a cluster's brokers, nil if there
// was none.
func ResizeInfo(c *routing.Cluster) *protocol.TaskInfo {
	view := c.View()
	// The fleet's own metadata grows by itself, which is nobody's task.
	if view == nil || view.Resize == nil || c.Name == catalog.FleetName {
		return nil
	}
	r := view.Resize
	info := &protocol.TaskInfo{
		ID: r.TaskID, Kind: catalog.TaskResize, State: protocol.TaskRunning, Cluster: c.Name, Brokers: r.Brokers, StartedAt: time.UnixMilli(r.StartedAt).UTC(),
	}
	for _, n := range view.Moves {
		info.Left += n.Left
		if n.Waiting && info.WaitingFor == "" {
			info.WaitingFor = partitionWaits(c, n.Stuck)
		}
	}
	switch {
	case r.Phase == catalog.ResizeDone:
		info.State, info.Left, info.WaitingFor = protocol.TaskDone, 0, ""
	case r.Phase == catalog.ResizeRemoving:
		info.WaitingFor = "brokers that have nothing any more to end"
	case info.WaitingFor == "":
		info.WaitingFor = "replicas to be spread over the brokers"
	}
	return info
}
