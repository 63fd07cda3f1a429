package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Commit is POST /offset.
func (gs *groupService) Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
	c, group, err := gs.commitGroup(req)
	if err != nil {
		return nil, err
	}
	topicID, offsets, err := gs.commitOffsets(c, req)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(gs.opt.RequestTimeout)
	answer, err := askGroup(gs.locator, c, group, deadline, func(f protocol.Future[routing.GroupOffsets]) routing.Question {
		return &routing.GroupCommit{Consumer: req.ConsumerID, TopicID: topicID, Offsets: offsets, Generation: req.Generation, Force: req.Force, Reply: f}
	}, func(a routing.GroupOffsets) *protocol.Error { return a.Err })
	if err != nil {
		if err.Code == protocol.CodeGroupNotFound {
			err = protocol.Errorf(protocol.CodeConsumerNotFound, "group %q has never seen consumer %d", group, req.ConsumerID)
		}
		return nil, err
	}
	// So that the consumer's next poll is not read ahead at the old place, in vain.
	gs.places.committed(placeKey{c.Name, group, req.ConsumerID}, answer.Offsets)
	return &protocol.CommitReply{Group: group, ConsumerID: req.ConsumerID, Offsets: entries(answer.Offsets), Moved: entries(answer.Moved)}, nil
}

func entries(offsets []group.PartitionOffset) []protocol.CommittedEntry {
	list := make([]protocol.CommittedEntry, len(offsets))
	for i, o := range offsets {
		list[i] = protocol.CommittedEntry{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset}
	}
	return list
}

// commitOffsets resolves the names in a commit.
func (gs *groupService) commitOffsets(c *routing.Cluster, req *protocol.CommitRequest) (topicID string, offsets []group.PartitionOffset, err *protocol.Error) {
	topics, until := c.Table().Topics, time.Now().Add(endPatience)
	if req.Topic != "" {
		if err := gs.mayTopic(c.Name, req.Topic); err != nil {
			return "", nil, err
		}
		t := topics[req.Topic]
		if t == nil {
			return "", nil, topicNotFound(req.Topic)
		}
		topicID = t.ID
	}
	for _, o := range req.Offsets {
		if err := gs.mayTopic(c.Name, o.Topic); err != nil {
			return "", nil, err
		}
		t := topics[o.Topic]
		if t == nil || o.TopicID != "" && o.TopicID != t.ID {
			return "", nil, topicNotFound(o.Topic)
		}
		if o.Partition < 0 || o.Partition >= t.Partitions {
			return "", nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", o.Topic, o.Partition).
				With("partitions", t.Partitions)
		}
		// The check is a help against mistakes and no promise: the end may move before the
		// commit.
		if !req.Force {
			if err := gs.beyondEnd(t, &o, until); err != nil {
				return "", nil, err
			}
		}
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: o.Partition, Offset: o.Offset, Metadata: o.Metadata})
	}
	return topicID, offsets, nil
}

// endPatience is how long a commit waits, for all its partitions, until their leaders
// know that they have no successor. One that was out of touch asks the others when it is
// asked itself, which takes milliseconds.
const endPatience = time.Second

// beyondEnd refuses an offset behind the end of its partition: the group would miss
// what is written up to there, and show no lag. Where nobody leads now, nobody knows. A
// leader that may have a successor is asked again until then.
func (gs *groupService) beyondEnd(t *protocol.Topic, o *protocol.OffsetCommit, until time.Time) *protocol.Error {
	if routing.Of(t).Partitions[o.Partition].Leader() == nil {
		return nil
	}
	v, _, err := gs.view(t, o.Partition, max(0, time.Until(until)))
	if err != nil || int64(o.Offset) <= v.HighWatermark() {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "offset %d is beyond the end of partition %d of topic %q, which is %d: the group would miss records that are yet to come (force allows it)",
		o.Offset, o.Partition, o.Topic, v.HighWatermark()).With("field", "offset").With("topic", o.Topic).With("partition", o.Partition).With("end", v.HighWatermark())
}

// Offsets is GET /offset: a row for every partition that the group has an
// offset or an owner for; with a topic, for every partition of that topic.
func (gs *groupService) Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error) {
	var c *routing.Cluster
	var err *protocol.Error
	if req.Topic != "" {
		if c, err = gs.topicCluster(req.Cluster, req.Topic); err == nil {
			err = gs.mayGroup(c.Name, req.Group)
		}
	} else {
		c, err = gs.groupCluster(req.Cluster, req.Group)
	}
	if err != nil {
		return nil, err
	}
	r, err := gs.readGroup(c, req.Group, false)
	if err != nil {
		return nil, err
	}
	rows := []protocol.OffsetInfo{}
	for name, t := range c.Table().Topics {
		if !gs.access.Who.SeesTopic(c.Name, name) {
			continue
		}
		for p := range t.Partitions {
			row, mentioned := gs.offsetRow(t, p, &r)
			if name == req.Topic || req.Topic == "" && mentioned {
				rows = append(rows, row)
			}
		}
	}
	slices.SortFunc(rows, func(a, b protocol.OffsetInfo) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return rows, nil
}

// Seek moves a group's committed offsets of a topic.
func (gs *groupService) Seek(req *protocol.SeekRequest) ([]protocol.CommittedEntry, *protocol.Error) {
	t, err := gs.findTopic(req.Cluster, req.Topic, false, time.Time{}) // also one that is restored, whose groups come before it is complete
	if err == nil {
		err = gs.mayGroup(t.Cluster, req.Group)
	}
	if err != nil {
		return nil, err
	}
	var offsets []group.PartitionOffset
	for p := range t.Partitions {
		if req.Partition != nil && *req.Partition != p {
			continue
		}
		// All targets are found before any offset moves: the group gets all of them in one proposal, or none.
		at, err := gs.seekTarget(t, p, req)
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: p, Offset: at, Metadata: req.Metadata})
	}
	if len(offsets) == 0 {
		return nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", t.Name, *req.Partition)
	}
	if err := gs.changeGroup(t.Cluster, req.Group, routing.GroupChange{Seek: offsets, Create: req.Create}); err != nil {
		return nil, err
	}
	return entries(offsets), nil
}

func (gs *groupService) seekTarget(t *protocol.Topic, partition int, req *protocol.SeekRequest) (protocol.Offset, *protocol.Error) {
	if req.Offset != nil {
		return *req.Offset, nil
	}
	return gs.startOffset(t, partition, protocol.StartFrom{Latest: req.Latest, Timestamp: req.Timestamp})
}
