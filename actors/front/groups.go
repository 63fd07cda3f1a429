package front

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// askGroup sends a message to a group's coordinator and waits for the answer,
// following the coordinator when it moves; see askLeader.
func askGroup[T any](fr *Front, h *routing.Cluster, group string, deadline time.Time,
	message func(protocol.Future[T]) routing.Question, failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	var none T
	offsets := h.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return none, routing.ErrStarting
	}
	partition := routing.GroupPartition(group, offsets.Partitions)
	route := routing.Of(offsets).Partitions[partition]
	answer, err := askLeader(fr, route, deadline, func(ref *routing.Leadership, slot protocol.Future[T]) {
		ref.Ask(&routing.GroupRequest{Group: group, Msg: message(slot)})
	}, failed)
	if err != nil && err.Code == protocol.CodeNoLeader {
		err = fr.leaderless(offsets, partition)
	}
	return answer, err
}

// groupsOf asks all coordinators of a cluster for their groups; with a
// consumer, only for those that it is or was in.
func (fr *Front) groupsOf(h *routing.Cluster, consumer protocol.ConsumerID) ([]string, *protocol.Error) {
	offsets := h.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return nil, routing.ErrStarting
	}
	var names []string
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	for p, route := range routing.Of(offsets).Partitions {
		list, err := fr.listGroups(route, consumer, deadline)
		if err != nil {
			if err.Code == protocol.CodeNoLeader {
				err = fr.leaderless(offsets, p)
			}
			return nil, err
		}
		names = append(names, list...)
	}
	slices.Sort(names)
	return names, nil
}

func (fr *Front) listGroups(route *routing.Partition, consumer protocol.ConsumerID, deadline time.Time) ([]string, *protocol.Error) {
	list, err := askLeader(fr, route, deadline, func(ref *routing.Leadership, slot protocol.Future[routing.GroupList]) {
		ref.Ask(&routing.ListGroups{Consumer: consumer, Reply: slot})
	}, func(l routing.GroupList) *protocol.Error { return l.Err })
	return list.Groups, err
}

// Commit is POST /offset.
func (fr *Front) Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
	h, group, err := fr.commitGroup(req)
	if err != nil {
		return nil, err
	}
	topicID, offsets, err := fr.commitOffsets(h, req)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	answer, err := askGroup(fr, h, group, deadline, func(f protocol.Future[routing.GroupOffsets]) routing.Question {
		return &routing.GroupCommit{Consumer: req.ConsumerID, TopicID: topicID, Offsets: offsets, Generation: req.Generation, Force: req.Force, Reply: f}
	}, func(a routing.GroupOffsets) *protocol.Error { return a.Err })
	if err != nil {
		if err.Code == protocol.CodeGroupNotFound {
			err = protocol.Errorf(protocol.CodeConsumerNotFound, "group %q has never seen consumer %d", group, req.ConsumerID)
		}
		return nil, err
	}
	return &protocol.CommitReply{Group: group, ConsumerID: req.ConsumerID, Offsets: entries(answer.Offsets)}, nil
}

func entries(offsets []group.PartitionOffset) []protocol.CommittedEntry {
	list := make([]protocol.CommittedEntry, len(offsets))
	for i, o := range offsets {
		list[i] = protocol.CommittedEntry{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset}
	}
	return list
}

// commitOffsets resolves the names in a commit.
func (fr *Front) commitOffsets(h *routing.Cluster, req *protocol.CommitRequest) (topicID string, offsets []group.PartitionOffset, err *protocol.Error) {
	topics := h.Table().Topics
	if req.Topic != "" {
		t := topics[req.Topic]
		if t == nil {
			return "", nil, topicNotFound(req.Topic)
		}
		topicID = t.ID
	}
	for _, o := range req.Offsets {
		t := topics[o.Topic]
		if t == nil {
			return "", nil, topicNotFound(o.Topic)
		}
		if o.Partition < 0 || o.Partition >= t.Partitions {
			return "", nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", o.Topic, o.Partition).
				With("partitions", t.Partitions)
		}
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: o.Partition, Offset: o.Offset, Metadata: o.Metadata})
	}
	return topicID, offsets, nil
}

// readGroup asks for a group's offsets and members, linearizably unless asKnown.
func (fr *Front) readGroup(h *routing.Cluster, group string, asKnown bool) (routing.GroupReading, *protocol.Error) {
	return askGroup(fr, h, group, time.Now().Add(fr.opt.RequestTimeout),
		func(f protocol.Future[routing.GroupReading]) routing.Question {
			return &routing.GroupRead{AsKnown: asKnown, Reply: f}
		},
		func(a routing.GroupReading) *protocol.Error { return a.Err })
}

// Offsets is GET /offset: a row for every partition that the group has an
// offset or an owner for; with a topic, for every partition of that topic.
func (fr *Front) Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error) {
	var h *routing.Cluster
	var err *protocol.Error
	if req.Topic != "" {
		h, err = fr.topicCluster(req.Cluster, req.Topic)
	} else {
		h, err = fr.groupCluster(req.Cluster, req.Group)
	}
	if err != nil {
		return nil, err
	}
	r, err := fr.readGroup(h, req.Group, false)
	if err != nil {
		return nil, err
	}
	rows := []protocol.OffsetInfo{}
	for name, t := range h.Table().Topics {
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

// offsetRow describes a group on one partition; mentioned tells whether the
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
	if ref := routing.Of(t).Partitions[partition].Leader(); ref != nil {
		v := ref.View()
		end := protocol.Offset(v.HighWatermark())
		from := protocol.Offset(v.Earliest())
		if row.Committed != nil {
			from = *row.Committed
		}
		lag := max(0, end-from)
		row.End, row.Lag = &end, &lag
	}
	return row, mentioned
}

// Groups lists the groups of one cluster, or of all.
func (fr *Front) Groups(cluster string) ([]protocol.GroupInfo, *protocol.Error) {
	return fr.listGroupInfos(cluster, false)
}

func (fr *Front) listGroupInfos(cluster string, asKnown bool) ([]protocol.GroupInfo, *protocol.Error) {
	all, err := fr.handles(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.GroupInfo{}
	for _, h := range all {
		names, err := fr.groupsOf(h, 0)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			info, err := fr.describeGroup(h, name, asKnown)
			if err != nil {
				if err.Code == protocol.CodeGroupNotFound {
					continue // deleted in the meantime
				}
				return nil, err
			}
			list = append(list, *info)
		}
	}
	return list, nil
}

// Group describes one group.
func (fr *Front) Group(cluster, group string) (*protocol.GroupInfo, *protocol.Error) {
	h, err := fr.groupCluster(cluster, group)
	if err != nil {
		return nil, err
	}
	return fr.describeGroup(h, group, false)
}

func (fr *Front) describeGroup(h *routing.Cluster, group string, asKnown bool) (*protocol.GroupInfo, *protocol.Error) {
	r, err := fr.readGroup(h, group, asKnown)
	if err != nil {
		return nil, err
	}
	info := r.Info
	info.Cluster, info.Lag = h.Name, fr.lagOf(h, &r)
	return &info, nil
}

// lagOf adds up a group's lag on the partitions that it has anything to do with.
func (fr *Front) lagOf(h *routing.Cluster, r *routing.GroupReading) (lag protocol.Offset) {
	topics := h.Table().Topics
	add := func(topic string, key protocol.PartitionID) {
		t := topics[topic]
		if t == nil || t.ID != key.TopicID || key.Partition >= t.Partitions {
			return // deleted, and perhaps made anew
		}
		if row, _ := fr.offsetRow(t, key.Partition, r); row.Lag != nil {
			lag += *row.Lag
		}
	}
	committed := make(map[protocol.PartitionID]bool, len(r.Offsets))
	for i := range r.Offsets {
		committed[r.Offsets[i].Key()] = true
		add(r.Offsets[i].Topic, r.Offsets[i].Key())
	}
	for key := range r.Owners {
		if !committed[key] {
			add(r.Topics[key.TopicID], key)
		}
	}
	return lag
}

// DeleteGroup deletes a group without live members.
func (fr *Front) DeleteGroup(cluster, group string) *protocol.Error {
	return fr.changeGroup(cluster, group, routing.GroupChange{Delete: true})
}

// LeaveGroup takes a member out of its group.
func (fr *Front) LeaveGroup(cluster, group string, id protocol.ConsumerID) *protocol.Error {
	return fr.changeGroup(cluster, group, routing.GroupChange{Leave: id})
}

func (fr *Front) changeGroup(cluster, group string, change routing.GroupChange) *protocol.Error {
	h, err := fr.groupCluster(cluster, group)
	if err != nil {
		return err
	}
	_, err = askGroup(fr, h, group, time.Now().Add(fr.opt.RequestTimeout), func(f protocol.Future[*protocol.Error]) routing.Question {
		m := change
		m.Reply = f
		return &m
	}, func(err *protocol.Error) *protocol.Error { return err })
	if err != nil && err.Outcome == protocol.OutcomeUnknown {
		switch { // an earlier attempt has done it
		case change.Leave != 0 && (err.Code == protocol.CodeConsumerNotFound || err.Code == protocol.CodeStaleGeneration),
			change.Delete && err.Code == protocol.CodeGroupNotFound:
			return nil
		}
	}
	return err
}

// Seek moves a group's committed offsets of a topic.
func (fr *Front) Seek(req *protocol.SeekRequest) ([]protocol.CommittedEntry, *protocol.Error) {
	t, err := fr.LookupTopic(req.Cluster, req.Topic, false, time.Time{})
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
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: p, Offset: at})
	}
	if len(offsets) == 0 {
		return nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", t.Name, *req.Partition)
	}
	if err := fr.changeGroup(t.Cluster, req.Group, routing.GroupChange{Seek: offsets}); err != nil {
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

// startOffset resolves where a group starts on a partition.
func (fr *Front) startOffset(t *protocol.Topic, partition int, from protocol.StartFrom) (protocol.Offset, *protocol.Error) {
	var at int64
	err := fr.fresh(t, partition, func(v *logfile.View, _ *routing.Leadership) *protocol.Error {
		var err error
		switch {
		case from.Timestamp != nil:
			at, err = v.OffsetForTime(*from.Timestamp)
		case from.Latest:
			at = v.HighWatermark()
		default:
			at = v.Earliest()
		}
		switch {
		case errors.Is(err, logfile.ErrStale):
			return errStaleView
		case err != nil:
			return unreadable(t.Name, partition, err)
		}
		return nil
	})
	return protocol.Offset(at), err
}
