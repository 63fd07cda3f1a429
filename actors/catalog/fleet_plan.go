package catalog

import (
	"cmp"
	"maps"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Aim is the node at which a broker is to be. Decisions count brokers there, and not where
// they are: else two decisions in a row would both fill the node that is empty now.
func (p *PlacedCluster) Aim(broker int) uint64 {
	if m, moves := p.Moves[broker]; moves && !m.Back {
		return m.Node
	}
	return p.Nodes[broker-1]
}

// apart is at how many nodes the brokers are to be.
func (p *PlacedCluster) apart() int {
	nodes := map[uint64]bool{}
	for i := range p.Nodes {
		nodes[p.Aim(i+1)] = true
	}
	return len(nodes)
}

// clone copies p, so that the copy can be changed.
func (p *PlacedCluster) clone() *PlacedCluster {
	c := *p
	c.Nodes, c.Moves = slices.Clone(p.Nodes), maps.Clone(p.Moves)
	if c.Moves == nil {
		c.Moves = map[int]BrokerMove{}
	}
	return &c
}

// Fleet is what a decision about moves knows besides the metadata.
type Fleet struct {
	Own    *PlacedCluster           // the fleet's metadata as a cluster, as far as nobody has moved its brokers
	Alive  func(uint64) bool        // which nodes are heard of
	Copies func(cluster string) int // at how many nodes copies of records of a cluster are, at most; 0: not known

	Room     int                                 // replicas that a node carries; 0: any number
	Replicas func(cluster string) map[uint64]int // of a cluster that each node carries; nil where that is not known
}

// clusters are those that exist, the fleet's own included, by id.
func (s *fleetState) clusters(own *PlacedCluster) []*PlacedCluster {
	var all []*PlacedCluster
	if s.placed[own.Settings.ID] == nil {
		all = append(all, own.clone())
	}
	for _, p := range s.placed {
		if p.Phase != PlacedDeleting {
			all = append(all, p.clone())
		}
	}
	slices.SortFunc(all, func(a, b *PlacedCluster) int { return cmp.Compare(a.Settings.ID, b.Settings.ID) })
	return all
}

// plan is a placement in the making, on copies of the clusters: each move is planned with all
// earlier ones counted, and the state is not changed.
type plan struct {
	s     *fleetState
	all   []*PlacedCluster
	nodes []uint64       // that may get brokers
	load  map[uint64]int // brokers by node, those of the fleet's own metadata not counted
	moved []TaskBroker

	room    int
	carried map[uint64]int // replicas by node, with those that are to come
	total   map[string]int // replicas by cluster
}

func (s *fleetState) newPlan(f *Fleet, without uint64) *plan {
	l := &plan{s: s, all: s.clusters(f.Own), load: map[uint64]int{}, room: f.Room, carried: map[uint64]int{}, total: map[string]int{}}
	for id, n := range s.nodes {
		if id != without && f.Alive(id) && !n.Gone && !n.Leaving && !n.Draining {
			l.nodes = append(l.nodes, id)
		}
	}
	slices.Sort(l.nodes)
	for _, p := range l.all {
		l.count(p, 1)
		if f.Replicas == nil {
			continue
		}
		for node, n := range f.Replicas(p.Settings.ID) {
			l.carried[node] += n
			l.total[p.Settings.ID] += n
		}
	}
	return l
}

// share is how many replicas a broker of a cluster has, about.
func (l *plan) share(p *PlacedCluster) int {
	n := max(len(p.Nodes), p.Settings.NumBrokers, 1)
	return (l.total[p.Settings.ID] + n - 1) / n
}

// fits reports whether a node has room for a broker's replicas. What leaves a node is not
// counted on: it takes its time.
func (l *plan) fits(p *PlacedCluster, broker int, node uint64) bool {
	share := l.share(p)
	return l.room == 0 || share == 0 || broker > 0 && p.Aim(broker) == node || l.carried[node]+share <= l.room ||
		!slices.ContainsFunc(p.Nodes, func(at uint64) bool { return at != node }) // they are all there already
}

// errNoRoom refuses what would have the node that suits a broker best carry too much.
func (l *plan) errNoRoom(p *PlacedCluster) *protocol.Error {
	least := slices.MinFunc(l.nodes, func(a, b uint64) int { return cmp.Compare(l.carried[a], l.carried[b]) })
	return TooManyPartitions(l.carried[least], l.share(p), l.room)
}

func (l *plan) count(p *PlacedCluster, by int) {
	// It has a single partition, and its brokers are not to keep others away.
	if p.Settings.Name == FleetName {
		return
	}
	for i := range p.Nodes {
		l.load[p.Aim(i+1)] += by
	}
}

// rank is how badly a node suits one more broker of a cluster, the broker itself not
// counted: brokers of the cluster there, those in the rack, all there. They are compared in
// this order: what fails together comes before what is evenly spread.
func (l *plan) rank(p *PlacedCluster, broker int, node uint64) [3]int {
	var r [3]int
	for i := range p.Nodes {
		if at := p.Aim(i + 1); i+1 != broker {
			if at == node {
				r[0]++
			}
			if other := l.s.nodes[at]; other != nil && other.Rack == l.s.nodes[node].Rack {
				r[1]++
			}
		}
	}
	r[2] = l.load[node]
	return r
}

// best is the node that suits a broker best, 0 if there is none with room for it; broker 0 is a new one.
func (l *plan) best(p *PlacedCluster, broker int) uint64 {
	nodes := slices.DeleteFunc(slices.Clone(l.nodes), func(node uint64) bool { return !l.fits(p, broker, node) })
	if len(nodes) == 0 {
		return 0
	}
	return slices.MinFunc(nodes, func(a, b uint64) int {
		x, y := l.rank(p, broker, a), l.rank(p, broker, b)
		return cmp.Or(slices.Compare(x[:], y[:]), cmp.Compare(a, b))
	})
}

// move has a broker move.
func (l *plan) move(p *PlacedCluster, broker int, to uint64) {
	l.count(p, -1)
	switch m, moves := p.Moves[broker]; {
	case p.Nodes[broker-1] == to: // it is on its way to somewhere else
		m.Back = true
		p.Moves[broker] = m
	// It was called off. What has come to its directory there is still of use.
	case moves && m.Node == to:
		m.Back = false
		p.Moves[broker] = m
	// A new directory, which the epoch tells from one that another move has left at that node.
	default:
		p.Epoch++
		p.Moves[broker] = BrokerMove{Node: to, Epoch: p.Epoch}
	}
	l.count(p, 1)
	l.carried[to] += l.share(p)
	l.moved = append(l.moved, TaskBroker{Cluster: p.Settings.ID, Broker: broker, To: to})
}

// records are those of all clusters of which a broker is to move.
func (l *plan) records() (recs []metarecord.Record) {
	for _, p := range l.all {
		if slices.ContainsFunc(l.moved, func(b TaskBroker) bool { return b.Cluster == p.Settings.ID }) {
			recs = append(recs, placedRecord(*p))
		}
	}
	return recs
}

// DecideDecommission has all brokers of a node moved to others; the node is gone then.
// Called again it returns the task that is under way, and no records. Errors:
// node_not_found; not_allowed for a node that is gone or not heard of, where there is
// nowhere to move to, where copies would be at fewer nodes, and while a cluster lacks too
// many nodes to decide on anything; too_many_partitions where the others have no room.
func (s *fleetState) DecideDecommission(id uint64, f *Fleet, taskID string, now int64) (*FleetTask, []metarecord.Record, *protocol.Error) {
	n := s.nodes[id]
	switch {
	case n == nil:
		return nil, nil, protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", id)
	case n.Gone:
		return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d is gone already", id)
	// Where its task is not remembered any more (maxTasks) it gets another one, with what is
	// left to be moved.
	case n.Leaving:
		if t := s.leavingTask(id); t != nil {
			return t, nil, nil
		}
	case !f.Alive(id):
		return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d is not heard of: a lost node is replaced by another one", id)
	}
	l := s.newPlan(f, id)
	for _, p := range l.all {
		before := p.apart()
		for i := range p.Nodes {
			if p.Aim(i+1) != id {
				continue
			}
			if err := p.canDecide(f.Alive); err != nil {
				return nil, nil, err
			}
			to := l.best(p, i+1)
			if to == 0 && len(l.nodes) > 0 {
				return nil, nil, l.errNoRoom(p)
			}
			if to == 0 {
				return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d cannot leave: there is no other node that could take its brokers", id)
			}
			l.move(p, i+1, to)
		}
		if err := p.keepsApart(before, f); err != nil {
			return nil, nil, err
		}
	}
	leaving := *n
	leaving.Leaving = true
	t := &FleetTask{ID: taskID, Kind: TaskDecommission, Node: id, Brokers: l.moved, StartedAt: now}
	if t.Brokers == nil {
		t.Brokers = []TaskBroker{}
	}
	recs := append([]metarecord.Record{nodeRecord(leaving)}, l.records()...)
	return t, append(recs, s.taskRecords(t)...), nil
}

// canDecide refuses moves of a cluster of which too many nodes are away: its replicas are
// moved by records of its own metadata, for which a majority must be there.
func (p *PlacedCluster) canDecide(alive func(uint64) bool) *protocol.Error {
	heard := 0
	for _, node := range p.Nodes {
		if alive(node) {
			heard++
		}
	}
	if heard > len(p.Nodes)/2 {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "only %d of the %d brokers of cluster %q are at nodes that are heard of: too few to move any",
		heard, len(p.Nodes), p.Settings.Name)
}

// keepsApart refuses a placement that would bring copies together. Before is at how many
// nodes the brokers were.
func (p *PlacedCluster) keepsApart(before int, f *Fleet) *protocol.Error {
	if p.Settings.Name == FleetName {
		return nil // its copies may come together where there are fewer nodes
	}
	need := f.Copies(p.Settings.ID)
	if need == 0 {
		need = p.Settings.ReplicationFactor
	}
	if after := p.apart(); after < before && after < need {
		return protocol.Errorf(protocol.CodeNotAllowed, "cluster %q has copies of its records at %d nodes, and its brokers would be at %d only: let another node join first",
			p.Settings.Name, min(before, need), after).With("cluster", p.Settings.Name)
	}
	return nil
}

func (s *fleetState) leavingTask(id uint64) *FleetTask {
	var newest *FleetTask
	for _, t := range s.tasks {
		if t.Kind == TaskDecommission && t.Node == id && !t.Cancelled && (newest == nil || t.StartedAt > newest.StartedAt) {
			newest = t
		}
	}
	return newest
}

// DecideStay takes a decommission back: the brokers that are on their way return, those
// that have arrived stay where they are. Errors: node_not_found; not_allowed where the
// node is not leaving.
func (s *fleetState) DecideStay(id uint64) ([]metarecord.Record, *protocol.Error) {
	n := s.nodes[id]
	switch {
	case n == nil:
		return nil, protocol.Errorf(protocol.CodeNodeNotFound, "the fleet has no node %d", id)
	case !n.Leaving:
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "node %d is not being decommissioned", id)
	}
	stays := *n
	stays.Leaving = false
	recs := []metarecord.Record{nodeRecord(stays)}
	for _, cluster := range slices.Sorted(maps.Keys(s.placed)) {
		next, changed := s.placed[cluster].clone(), false
		// Marked, not deleted: replicas that are at the other node already have to come back
		// first (DecideBrokerArrived).
		for b, m := range next.Moves {
			if next.Nodes[b-1] == id && !m.Back {
				m.Back, changed = true, true
				next.Moves[b] = m
			}
		}
		if changed {
			recs = append(recs, placedRecord(*next))
		}
	}
	if t := s.leavingTask(id); t != nil {
		cancelled := *t
		cancelled.Cancelled = true
		recs = append(recs, taskRecord(&cancelled))
	}
	return recs, nil
}

// DecideRebalance has brokers moved until each node has about as many, each cluster's and
// all together, and racks are respected. Errors: not_allowed while brokers move.
func (s *fleetState) DecideRebalance(f *Fleet, taskID string, now int64) (*FleetTask, []metarecord.Record, *protocol.Error) {
	for _, p := range s.placed {
		if len(p.Moves) > 0 {
			return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "brokers of cluster %q are on their way: wait for that to end, or call it off", p.Settings.Name)
		}
	}
	l := s.newPlan(f, 0)
	// So many at most. What is left then is for the next call.
	for range 100 {
		if !l.improve() {
			break
		}
	}
	t := &FleetTask{ID: taskID, Kind: TaskRebalance, Brokers: l.moved, StartedAt: now}
	if t.Brokers == nil {
		t.Brokers = []TaskBroker{}
	}
	return t, append(l.records(), s.taskRecords(t)...), nil
}

// improve moves the broker that gains the most; false if none does.
func (l *plan) improve() bool {
	var cluster *PlacedCluster
	var broker, gain int
	var node uint64
	for _, p := range l.all {
		if p.Settings.Name == FleetName || p.Phase != PlacedCreated || len(l.nodes) == 0 {
			continue
		}
		for i := range p.Nodes {
			at := p.Aim(i + 1)
			if _, moves := p.Moves[i+1]; moves || !slices.Contains(l.nodes, at) {
				continue // what is at a node that is away is not touched
			}
			to := l.best(p, i+1) // its own node, if nowhere else is room
			have, gets := l.rank(p, i+1, at), l.rank(p, i+1, to)
			have[2]-- // without the broker itself
			// The factors keep the order of rank between the moves of different brokers: a
			// cluster has nine at most.
			g := 0
			switch {
			case to == at:
			case gets[0] < have[0]:
				g = 10000 * (have[0] - gets[0])
			case gets[0] == have[0] && gets[1] < have[1]:
				g = 100 * (have[1] - gets[1])
			case gets[0] == have[0] && gets[1] == have[1]:
				g = have[2] - gets[2]
			}
			if g > gain {
				cluster, broker, node, gain = p, i+1, to, g
			}
		}
	}
	if cluster == nil {
		return false
	}
	l.move(cluster, broker, node)
	return true
}

// DecideBrokerArrived notes that all replicas of a broker are where it was to move, or
// back where it is. No records if that move is not under way. A broker may have arrived
// just before its move was called off: it stays there then, for no move leads back any
// more, and without a record of its arrival the move would have no end. Not so at a node
// that is gone, whose replicas are made again where the broker was.
func (s *fleetState) DecideBrokerArrived(cluster string, broker int, epoch, at uint64) []metarecord.Record {
	p := s.placed[cluster]
	if p == nil {
		return nil
	}
	m, moves := p.Moves[broker]
	n := s.nodes[at]
	if !moves || m.Epoch != epoch || at != m.Node && at != p.Aim(broker) || n == nil || n.Gone {
		return nil
	}
	next := p.clone()
	delete(next.Moves, broker)
	next.Nodes[broker-1] = at
	return []metarecord.Record{placedRecord(*next)}
}

// DecideNodesGone notes which of the nodes that leave have no broker any more. A part of a
// cluster that is being deleted, and one that is on its way there or back, keep a node: what
// is left to be done with it only that node can do.
func (s *fleetState) DecideNodesGone(own *PlacedCluster) (recs []metarecord.Record) {
	if s.placed[own.Settings.ID] != nil {
		own = nil
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[id]
		has := own != nil && slices.Contains(own.Nodes, id)
		for _, p := range s.placed {
			has = has || slices.Contains(p.Nodes, id) && (p.Phase != PlacedDeleting || !slices.Contains(p.Removed, id)) ||
				slices.ContainsFunc(slices.Collect(maps.Values(p.Moves)), func(m BrokerMove) bool { return m.Node == id })
		}
		if n.Leaving && !has {
			gone := *n
			gone.Leaving, gone.Draining, gone.Gone = false, false, true
			recs = append(recs, nodeRecord(gone))
		}
	}
	return recs
}

// DecideGrowPlaced gives a cluster more brokers, at the nodes that suit them best. No
// records where it has as many. Errors: cluster_not_found; not_allowed for more than 9,
// and while brokers of it move; not_enough_replicas where no node can take one;
// too_many_partitions where none has room for the replicas.
func (s *fleetState) DecideGrowPlaced(id string, brokers int, f *Fleet) ([]metarecord.Record, *protocol.Error) {
	l := s.newPlan(f, 0)
	at := slices.IndexFunc(l.all, func(p *PlacedCluster) bool { return p.Settings.ID == id })
	if at < 0 {
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %s does not exist", id)
	}
	p := l.all[at]
	switch {
	case !between(1, maxBrokers)(brokers):
		return nil, notInRange("num_brokers", rangeRule(1, maxBrokers), brokers)
	case brokers <= len(p.Nodes):
		return nil, nil
	case len(p.Moves) > 0:
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "brokers of cluster %q are on their way: wait for that to end", p.Settings.Name)
	case len(l.nodes) == 0:
		return nil, protocol.Errorf(protocol.CodeNotEnoughReplicas, "no node of the fleet can take a broker")
	}
	p.Settings.NumBrokers = brokers
	for len(p.Nodes) < brokers {
		to := l.best(p, 0)
		if to == 0 {
			return nil, l.errNoRoom(p)
		}
		l.carried[to] += l.share(p)
		p.Nodes = append(p.Nodes, to)
		if p.Settings.Name != FleetName {
			l.load[to]++
		}
	}
	return []metarecord.Record{placedRecord(*p)}, nil
}

// DecideShrunkPlaced takes the brokers beyond so many from a cluster, which have nothing
// any more. The cluster's own metadata is without them already (ResizeRemoving), and hears
// by this that they are gone (DecideRemoved).
func (s *fleetState) DecideShrunkPlaced(id string, brokers int) []metarecord.Record {
	p := s.placed[id]
	if p == nil || brokers >= len(p.Nodes) || brokers < 1 {
		return nil
	}
	next := p.clone()
	next.Nodes = next.Nodes[:brokers]
	maps.DeleteFunc(next.Moves, func(b int, _ BrokerMove) bool { return b > brokers })
	next.Settings.NumBrokers = brokers
	next.Settings.ReplicationFactor = min(next.Settings.ReplicationFactor, brokers)
	return []metarecord.Record{placedRecord(*next)}
}

// Voters is how many nodes are to hold the fleet's own metadata: an odd number of those
// that are there and stay, five at most, and no fewer than do.
func (s *fleetState) Voters(own *PlacedCluster, alive func(uint64) bool) int {
	if p := s.placed[own.Settings.ID]; p != nil {
		own = p
	}
	living := 0
	for id, n := range s.nodes {
		if alive(id) && !n.Gone && !n.Leaving {
			living++
		}
	}
	return max(len(own.Nodes), min(5, living-1+living%2))
}
