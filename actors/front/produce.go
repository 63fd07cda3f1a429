package front

import (
	"errors"
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// Produce sends every request to its partition's leader and waits for all. A
// leader that refuses because it does not lead has done nothing, so the request
// follows the leadership until the deadline.
func (fr *Front) Produce(reqs []*protocol.ProduceRequest, deadline time.Time) {
	refs := make([]*routing.Leadership, len(reqs))
	for i, req := range reqs {
		req.Reply, req.Deadline = protocol.NewFuture[protocol.ProduceResult](), deadline
		if refs[i] = routing.Of(req.Topic).Partitions[req.Partition].Leader(); refs[i] != nil {
			refs[i].Produce(req)
		}
	}
	for i, req := range reqs {
		req.Result = fr.awaitProduce(req, refs[i], deadline)
		if req.Result.Err == nil && !req.Result.Duplicate {
			routing.Of(req.Topic).Partitions[req.Partition].Stats.Produced(&req.Lines)
		}
	}
}

func (fr *Front) awaitProduce(req *protocol.ProduceRequest, ref *routing.Leadership, deadline time.Time) protocol.ProduceResult {
	route := routing.Of(req.Topic).Partitions[req.Partition]
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
			patience = minTime(deadline, time.Now().Add(routing.FailoverPatience))
		}
		next := fr.nextLeader(route, ref, patience)
		if next == nil {
			return protocol.ProduceResult{Err: fr.leaderless(req.Topic, req.Partition)}
		}
		ref = next
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		ref.Produce(req)
	}
}

// nextLeader waits for a leader other than the one that refused. One that
// refused because it was about to hand over, and then did not, is asked again.
func (fr *Front) nextLeader(route *routing.Partition, not *routing.Leadership, deadline time.Time) *routing.Leadership {
	for time.Now().Before(deadline) {
		if route.Hopeless() {
			return route.Leader()
		}
		if ref := route.Await(not, minTime(deadline, time.Now().Add(50*time.Millisecond))); ref != nil {
			return ref
		}
		select {
		case <-fr.stopped:
			return nil
		default:
		}
	}
	return nil
}

// leaderless is the answer for a partition that nobody leads.
func (fr *Front) leaderless(t *protocol.Topic, partition int) *protocol.Error {
	select {
	case <-fr.stopped:
		return protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")
	default:
	}
	route := routing.Of(t).Partitions[partition]
	if err := fr.gone(t); err != nil {
		return err
	}
	if route.LacksMajority() {
		return protocol.Errorf(protocol.CodeNotEnoughReplicas,
			"partition %d of topic %q has %d of %d replicas running, no majority%s",
			partition, t.Name, route.Running(), route.Placed, fr.ailment(t, route.ID))
	}
	return protocol.Errorf(protocol.CodeNoLeader, "partition %d of topic %q has no leader at the moment", partition, t.Name)
}

// ailment says what is wrong with a partition's replicas, as far as that is
// known.
func (fr *Front) ailment(t *protocol.Topic, key protocol.PartitionID) string {
	view := routing.Of(t).Cluster.View()
	if view == nil || view.Problems[key] == "" {
		return ""
	}
	return ": " + view.Problems[key]
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// countFetched counts records that were read for a client.
func countFetched(t *protocol.Topic, partition, records, bytes int) {
	routing.Of(t).Partitions[partition].Stats.Fetched(records, bytes)
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
func (fr *Front) fresh(t *protocol.Topic, partition int, read func(*logfile.View, *routing.Leadership) *protocol.Error) *protocol.Error {
	for tries := 0; ; tries++ {
		v, ref, err := fr.view(t, partition, routing.FailoverPatience)
		if err != nil {
			return err
		}
		err = read(v, ref)
		switch {
		case err == nil || tries == 10:
			return err
		case err == errStaleView:
		case err.Code != protocol.CodeStorageFailed || !fr.succeeded(t, partition, ref):
			return err
		}
	}
}

// succeeded reports whether another replica leads after ref, whose bytes could
// not be read: damage ends a leader, and its successor has them.
func (fr *Front) succeeded(t *protocol.Topic, partition int, ref *routing.Leadership) bool {
	route, err := fr.route(t, partition)
	if err != nil {
		return false
	}
	next := fr.nextLeader(route, ref, time.Now().Add(routing.FailoverPatience))
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
func (fr *Front) PartitionOffsets(t *protocol.Topic, partition int) (earliest, latest protocol.Offset, err *protocol.Error) {
	v, _, err := fr.view(t, partition, routing.FailoverPatience)
	if err != nil {
		return 0, 0, err
	}
	return protocol.Offset(v.Earliest()), protocol.Offset(v.HighWatermark()), nil
}
