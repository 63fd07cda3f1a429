package actors

import (
	"errors"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// failoverPatience is how long a request waits for a partition's next leader
// before it answers that there is none.
const failoverPatience = 5 * time.Second

// Produce sends every request to its partition's leader and waits for all. A
// leader that refuses because it does not lead has done nothing, so the request
// follows the leadership until the deadline.
func (n *Node) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	refs := make([]*leaderRef, len(reqs))
	for i, req := range reqs {
		req.Reply, req.Deadline = protocol.NewFuture[protocol.ProduceResult](), deadline
		if refs[i] = req.Topic.Route.(*topicRoute).partitions[req.Partition].leader.Load(); refs[i] != nil {
			n.env.system.Root.Send(refs[i].pid, req)
		}
	}
	for i, req := range reqs {
		req.Result = n.awaitProduce(req, refs[i], deadline)
		if req.Result.Err == nil && !req.Result.Duplicate {
			req.Topic.Route.(*topicRoute).partitions[req.Partition].stats.produced(&req.Lines)
		}
	}
}

func (n *Node) awaitProduce(req *protocol.ProduceRequest, ref *leaderRef, deadline time.Time) protocol.ProduceResult {
	route := req.Topic.Route.(*topicRoute).partitions[req.Partition]
	var patience time.Time
	for {
		if ref != nil {
			res, ok := req.Reply.Wait(deadline)
			if !ok {
				return protocol.ProduceResult{Err: protocol.Unknownf("no majority confirmed the record in time")}
			}
			if res.Err == nil || res.Err.Code != protocol.CodeNoLeader {
				return res
			}
		}
		if patience.IsZero() {
			patience = minTime(deadline, time.Now().Add(failoverPatience))
		}
		next := n.nextLeader(route, ref, patience)
		if next == nil {
			return protocol.ProduceResult{Err: n.leaderless(req.Topic, req.Partition)}
		}
		ref = next
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		n.env.system.Root.Send(ref.pid, req)
	}
}

// nextLeader waits for a leader other than the one that refused. One that
// refused because it was about to hand over, and then did not, is asked again.
func (n *Node) nextLeader(route *partitionRoute, not *leaderRef, deadline time.Time) *leaderRef {
	for time.Now().Before(deadline) {
		if hopeless(route) {
			return route.leader.Load()
		}
		if ref := route.await(not, minTime(deadline, time.Now().Add(50*time.Millisecond))); ref != nil {
			return ref
		}
		select {
		case <-n.stopped:
			return nil
		default:
		}
	}
	return nil
}

// hopeless reports whether waiting for a leader is in vain: there was one, and
// too few replicas run to elect another. Those of a partition that has never
// been led are most likely still being made.
func hopeless(route *partitionRoute) bool {
	return route.led.Load() && lacksMajority(route)
}

// lacksMajority reports whether too few replicas run to elect a leader.
func lacksMajority(route *partitionRoute) bool {
	return route.group != nil && route.replicas > 0 && route.group.running() < route.replicas/2+1
}

// gone is why a topic that was looked up earlier cannot be found any more, nil
// if it still can.
func (n *Node) gone(t *protocol.Topic) *protocol.Error {
	h := t.Route.(*topicRoute).cluster
	if (*n.clusters.Load())[t.Cluster] != h {
		return protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", t.Cluster)
	}
	if now := h.routes.Load().topics[t.Name]; now == nil || now.ID != t.ID {
		return topicNotFound(t.Name)
	}
	return nil
}

// leaderless is the answer for a partition that nobody leads.
func (n *Node) leaderless(t *protocol.Topic, partition int) *protocol.Error {
	select {
	case <-n.stopped:
		return protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")
	default:
	}
	route := t.Route.(*topicRoute).partitions[partition]
	if err := n.gone(t); err != nil {
		return err
	}
	if lacksMajority(route) {
		return protocol.Errorf(protocol.CodeNotEnoughReplicas,
			"partition %d of topic %q has %d of %d replicas running, no majority%s",
			partition, t.Name, route.group.running(), route.replicas, n.ailment(t, route.key))
	}
	return protocol.Errorf(protocol.CodeNoLeader, "partition %d of topic %q has no leader at the moment", partition, t.Name)
}

// ailment says what is wrong with a partition's replicas, as far as that is
// known.
func (n *Node) ailment(t *protocol.Topic, key protocol.PartitionID) string {
	view := t.Route.(*topicRoute).cluster.admin.Load()
	if view == nil || view.problems[key] == "" {
		return ""
	}
	return ": " + view.problems[key]
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// route returns a partition's route; an error if there is no such partition.
func (n *Node) route(t *protocol.Topic, partition int) (*partitionRoute, *protocol.Error) {
	tr := t.Route.(*topicRoute)
	if partition < 0 || partition >= len(tr.partitions) {
		return nil, protocol.Errorf(protocol.CodePartitionNotFound, "topic %q has no partition %d", t.Name, partition).
			With("partitions", len(tr.partitions))
	}
	return tr.partitions[partition], nil
}

// view returns the newest published view of a partition, and who published it.
func (n *Node) view(t *protocol.Topic, partition int, patience time.Duration) (*logfile.View, *leaderRef, *protocol.Error) {
	route, err := n.route(t, partition)
	if err != nil {
		return nil, nil, err
	}
	ref := route.leader.Load()
	if ref == nil {
		ref = n.nextLeader(route, nil, time.Now().Add(patience))
	}
	if ref == nil {
		return nil, nil, n.leaderless(t, partition)
	}
	return ref.view.Load(), ref, nil
}

// countFetched counts records that were read for a client.
func countFetched(t *protocol.Topic, partition, records, bytes int) {
	t.Route.(*topicRoute).partitions[partition].stats.fetched(records, bytes)
}

func readView(got *gathered, v *logfile.View, req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	offset := int64(req.Offset)
	if req.Timestamp != nil {
		at, err := v.OffsetForTime(*req.Timestamp)
		if errors.Is(err, logfile.ErrStale) {
			return nil, errStaleView
		}
		if err != nil {
			return nil, unreadable(req.Topic.Name, req.Partition, err)
		}
		offset = at
	}
	if offset < v.Earliest() {
		return nil, outOfRange(req.Topic.Name, req.Partition, offset, v)
	}
	if err := readInto(got, v, req, offset); err != nil {
		return nil, err
	}
	reply := &protocol.FetchReply{
		Records: got.records, NextOffset: protocol.Offset(offset),
		HighWatermark: protocol.Offset(v.HighWatermark()), Earliest: protocol.Offset(v.Earliest()),
	}
	switch {
	case got.count > 0:
		reply.NextOffset = got.last + 1
	case offset < v.HighWatermark():
		reply.NextOffset = reply.HighWatermark // compaction left nothing up to there
	}
	return reply, nil
}

// readInto reads what is asked for as far as there is room for it.
func readInto(got *gathered, v *logfile.View, req *protocol.FetchRequest, offset int64) *protocol.Error {
	if offset < v.HighWatermark() {
		bytes, err := takeRoom(req.Room, estimate(v, offset, req.MaxRecords, req.MaxBytes), req.MaxBytes)
		if err != nil {
			return err
		}
		if err := got.read(v, req.Topic.Name, req.Partition, offset, req.MaxRecords, bytes); err != nil {
			return err
		}
	}
	return keepRoom(req.Room, got.bytes)
}

// errStaleView: compaction or retention removed a file while it was read. The
// newest view is without it; it never reaches a client.
var errStaleView = protocol.Errorf(protocol.CodeStorageFailed, "the partition's files changed while they were read")

// fresh calls read with a partition's newest view, again when that turned out
// not to be the newest any more.
func (n *Node) fresh(t *protocol.Topic, partition int, read func(*logfile.View, *leaderRef) *protocol.Error) *protocol.Error {
	for tries := 0; ; tries++ {
		v, ref, err := n.view(t, partition, failoverPatience)
		if err != nil {
			return err
		}
		err = read(v, ref)
		switch {
		case err == nil || tries == 10:
			return err
		case err == errStaleView:
		case err.Code != protocol.CodeStorageFailed || !n.succeeded(t, partition, ref):
			return err
		}
	}
}

// succeeded reports whether another replica leads after ref, whose bytes could
// not be read: damage ends a leader, and its successor has them.
func (n *Node) succeeded(t *protocol.Topic, partition int, ref *leaderRef) bool {
	route, err := n.route(t, partition)
	if err != nil {
		return false
	}
	next := n.nextLeader(route, ref, time.Now().Add(failoverPatience))
	return next != nil && next != ref
}

func outOfRange(topic string, partition int, offset int64, v *logfile.View) *protocol.Error {
	return protocol.Errorf(protocol.CodeOffsetOutOfRange,
		"offset %d of partition %d of topic %q is below the log start", offset, partition, topic).
		With("earliest", v.Earliest()).With("latest", v.HighWatermark()).
		With("topic", topic).With("partition", partition)
}

// unreadable is the answer for bytes that are there but cannot be read: never
// "empty", never "not found".
func unreadable(topic string, partition int, err error) *protocol.Error {
	return protocol.Errorf(protocol.CodeStorageFailed, "partition %d of topic %q cannot be read: %v", partition, topic, err)
}

// PartitionOffsets returns the earliest and the next offset of a partition.
func (n *Node) PartitionOffsets(t *protocol.Topic, partition int) (earliest, latest protocol.Offset, err *protocol.Error) {
	v, _, err := n.view(t, partition, failoverPatience)
	if err != nil {
		return 0, 0, err
	}
	return protocol.Offset(v.Earliest()), protocol.Offset(v.HighWatermark()), nil
}
