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
func (fr *Front) Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
	c, group, err := fr.commitGroup(req)
	if err != nil {
		return nil, err
	}
	topicID, offsets, err := fr.commitOffsets(c, req)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	answer, err := askGroup(fr, c, group, deadline, func(f protocol.Future[routing.GroupOffsets]) routing.Question {
		return &routing.GroupCommit{Consumer: req.ConsumerID, TopicID: topicID, Offsets: offsets, Generation: req.Generation, Force: req.Force, Reply: f}
	}, func(a routing.GroupOffsets) *protocol.Error { return a.Err })
	if err != nil {
		if err.Code == protocol.CodeGroupNotFound {
			err = protocol.Errorf(protocol.CodeConsumerNotFound, "group %q has never seen consumer %d", group, req.ConsumerID)
		}
		return nil, err
	}
	fr.places.committed(placeKey{c.Name, group, req.ConsumerID}, answer.Offsets)
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
func (fr *Front) commitOffsets(c *routing.Cluster, req *protocol.CommitRequest) (topicID string, offsets []group.PartitionOffset, err *protocol.Error) {
	topics := c.Table().Topics
	if req.Topic != "" {
		if err := fr.mayTopic(c.Name, req.Topic); err != nil {
			return "", nil, err
		}
		t := topics[req.Topic]
		if t == nil {
			return "", nil, topicNotFound(req.Topic)
		}
		topicID = t.ID
	}
	for _, o := range req.Offsets {
		if err := fr.mayTopic(c.Name, o.Topic); err != nil {
			return "", nil, err
		}
		t := topics[o.Topic]
		if t == nil {
			return "", nil, topicNotFound(o.Topic)
		}
		if o.Partition < 0 || o.Partition >= t.Partitions {
			return "", nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", o.Topic, o.Partition).
				With("partitions", t.Partitions)
		}
		if err := beyondEnd(t, &o); err != nil && !req.Force {
			return "", nil, err
		}
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: o.Partition, Offset: o.Offset, Metadata: o.Metadata})
	}
	return topicID, offsets, nil
}

// beyondEnd refuses an offset behind the end of its partition: the group would miss
// what is written up to there, and show no lag. Where nobody leads now, nobody knows.
func beyondEnd(t *protocol.Topic, o *protocol.OffsetCommit) *protocol.Error {
	leader := routing.Of(t).Partitions[o.Partition].Leader()
	if leader == nil {
		return nil
	}
	v, err := leader.View()
	if err != nil || int64(o.Offset) <= v.HighWatermark() {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "offset %d is beyond the end of partition %d of topic %q, which is %d: the group would miss records that are yet to come (force allows it)",
		o.Offset, o.Partition, o.Topic, v.HighWatermark()).With("field", "offset").With("topic", o.Topic).With("partition", o.Partition).With("end", v.HighWatermark())
}

// Offsets is GET /offset: a row for every partition that the group has an
// offset or an owner for; with a topic, for every partition of that topic.
func (fr *Front) Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error) {
	var c *routing.Cluster
	var err *protocol.Error
	if req.Topic != "" {
		if c, err = fr.topicCluster(req.Cluster, req.Topic); err == nil {
			err = fr.mayGroup(c.Name, req.Group)
		}
	} else {
		c, err = fr.groupCluster(req.Cluster, req.Group)
	}
	if err != nil {
		return nil, err
	}
	r, err := fr.readGroup(c, req.Group, false)
	if err != nil {
		return nil, err
	}
	rows := []protocol.OffsetInfo{}
	for name, t := range c.Table().Topics {
		if !fr.access.Who.SeesTopic(c.Name, name) {
			continue
		}
		for p := range t.Partitions {
			row, mentioned := fr.offsetRow(t, p, &r)
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

// offsetRow describes a group on one partition; mentioned reports whether the
// group has anything to do with it.
func (fr *Front) offsetRow(t *protocol.Topic, partition int, r *routing.GroupReading) (row protocol.OffsetInfo, mentioned bool) {
	key := protocol.PartitionID{TopicID: t.ID, Partition: partition}
	row = protocol.OffsetInfo{Topic: t.Name, Partition: partition}
	for i := range r.Offsets {
		if o := &r.Offsets[i]; o.Key() == key {
			at := o.Offset
			row.Committed, row.Metadata, row.CommittedAt = &at, o.Metadata, time.UnixMilli(o.At).UTC()
			mentioned = true
		}
	}
	if owner, ok := r.Owners[key]; ok {
		row.Owner, mentioned = &owner, true
	}
	if at, ok := r.Positions[key]; ok {
		row.Position = &at
	}
	ref := routing.Of(t).Partitions[partition].Leader()
	if ref == nil {
		return row, mentioned
	}
	if v, err := ref.View(); err == nil {
		end := protocol.Offset(v.HighWatermark())
		from := protocol.Offset(v.Earliest())
		if row.Committed != nil {
			from = *row.Committed
		}
		lag := max(0, end-from)
		row.BeyondEnd = from > end
		row.End, row.Lag = &end, &lag
	}
	return row, mentioned
}

// Seek moves a group's committed offsets of a topic.
func (fr *Front) Seek(req *protocol.SeekRequest) ([]protocol.CommittedEntry, *protocol.Error) {
	t, err := fr.findTopic(req.Cluster, req.Topic, false, time.Time{}) // also one that is restored, whose groups come before it is complete
	if err == nil {
		err = fr.mayGroup(t.Cluster, req.Group)
	}
	if err != nil {
		return nil, err
	}
	var offsets []group.PartitionOffset
	for p := range t.Partitions {
		if req.Partition != nil && *req.Partition != p {
			continue
		}
		at, err := fr.seekTarget(t, p, req)
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: p, Offset: at, Metadata: req.Metadata})
	}
	if len(offsets) == 0 {
		return nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", t.Name, *req.Partition)
	}
	if err := fr.changeGroup(t.Cluster, req.Group, routing.GroupChange{Seek: offsets, Create: req.Create}); err != nil {
		return nil, err
	}
	return entries(offsets), nil
}

func (fr *Front) seekTarget(t *protocol.Topic, partition int, req *protocol.SeekRequest) (protocol.Offset, *protocol.Error) {
	if req.Offset != nil {
		return *req.Offset, nil
	}
	return fr.startOffset(t, partition, protocol.StartFrom{Latest: req.Latest, Timestamp: req.Timestamp})
}
