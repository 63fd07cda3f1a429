package actors

import (
	"cmp"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"ottla/actors/group"
	"ottla/logfile"
	"ottla/protocol"
)

// groupPartition is the partition of __consumer_offsets that keeps a group.
func groupPartition(group string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(group)) // a hash never fails
	return int(h.Sum32() % uint32(partitions))
}

// askGroup sends a message to a group's coordinator and waits for the answer,
// following the coordinator when it moves; see askLeader.
func askGroup[T any](n *Node, h *clusterHandle, group string, deadline time.Time,
	message func(protocol.Future[T]) groupMessage, failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	var none T
	offsets := h.routes.Load().topics[protocol.OffsetsTopic]
	if offsets == nil {
		return none, errStarting
	}
	partition := groupPartition(group, offsets.Partitions)
	route := offsets.Route.(*topicRoute).partitions[partition]
	answer, err := askLeader(n, route, deadline, func(ref *leaderRef, slot protocol.Future[T]) {
		n.env.system.Root.Send(ref.pid, &groupRequest{Group: group, Msg: message(slot)})
	}, failed)
	if err != nil && err.Code == protocol.CodeNoLeader {
		err = n.leaderless(offsets, partition)
	}
	return answer, err
}

// groupsOf asks all coordinators of a cluster for their groups; with a
// consumer, only for those that it is or was in.
func (n *Node) groupsOf(h *clusterHandle, consumer protocol.ConsumerID) ([]string, *protocol.Error) {
	offsets := h.routes.Load().topics[protocol.OffsetsTopic]
	if offsets == nil {
		return nil, errStarting
	}
	var names []string
	deadline := time.Now().Add(n.env.opt.RequestTimeout)
	for p, route := range offsets.Route.(*topicRoute).partitions {
		list, err := n.listGroups(route, consumer, deadline)
		if err != nil {
			if err.Code == protocol.CodeNoLeader {
				err = n.leaderless(offsets, p)
			}
			return nil, err
		}
		names = append(names, list...)
	}
	slices.Sort(names)
	return names, nil
}

func (n *Node) listGroups(route *partitionRoute, consumer protocol.ConsumerID, deadline time.Time) ([]string, *protocol.Error) {
	list, err := askLeader(n, route, deadline, func(ref *leaderRef, slot protocol.Future[groupList]) {
		n.env.system.Root.Send(ref.pid, &listGroups{Consumer: consumer, Reply: slot})
	}, func(l groupList) *protocol.Error { return l.Err })
	return list.Groups, err
}

// groupCluster finds the one cluster that has a group.
func (n *Node) groupCluster(cluster, group string) (*clusterHandle, *protocol.Error) {
	all, err := n.handles(cluster)
	if err != nil || cluster != "" {
		return first(all), err
	}
	held := n.held()
	if len(all) == 1 && held == nil {
		return all[0], nil
	}
	var found *clusterHandle
	for _, h := range all {
		names, err := n.groupsOf(h, 0)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, group) {
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousGroup, "group %q is in more than one cluster, name one", group)
		}
		found = h
	}
	switch {
	case found != nil:
		return found, nil
	case held != nil:
		return nil, held
	}
	return nil, groupNotFound(group)
}

func first(hs []*clusterHandle) *clusterHandle {
	if len(hs) == 0 {
		return nil
	}
	return hs[0]
}

func groupNotFound(group string) *protocol.Error {
	return protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", group)
}

// consumerGroup finds the one group that a consumer is or was in.
func (n *Node) consumerGroup(cluster string, id protocol.ConsumerID) (*clusterHandle, string, *protocol.Error) {
	all, err := n.handles(cluster)
	if err != nil {
		return nil, "", err
	}
	var at *clusterHandle
	var groups []string
	for _, h := range all {
		names, err := n.groupsOf(h, id)
		if err != nil {
			return nil, "", err
		}
		if len(names) > 0 {
			at = h
			groups = append(groups, names...)
		}
	}
	switch len(groups) {
	case 0:
		if held := n.held(); held != nil && cluster == "" {
			return nil, "", held
		}
		return nil, "", protocol.Errorf(protocol.CodeConsumerNotFound, "consumer %d has never been seen", id)
	case 1:
		return at, groups[0], nil
	}
	return nil, "", protocol.Errorf(protocol.CodeAmbiguousGroup, "consumer %d is in more than one group, name one", id).
		With("groups", groups)
}

// Commit is POST /offset.
func (n *Node) Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
	h, group, err := n.commitGroup(req)
	if err != nil {
		return nil, err
	}
	topicID, offsets, err := n.commitOffsets(h, req)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(n.env.opt.RequestTimeout)
	answer, err := askGroup(n, h, group, deadline, func(f protocol.Future[groupOffsets]) groupMessage {
		return &groupCommit{Consumer: req.ConsumerID, TopicID: topicID, Offsets: offsets, Generation: req.Generation, Force: req.Force, Reply: f}
	}, func(a groupOffsets) *protocol.Error { return a.Err })
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

// commitGroup finds the group that a commit means.
func (n *Node) commitGroup(req *protocol.CommitRequest) (*clusterHandle, string, *protocol.Error) {
	if req.Group == "" {
		return n.consumerGroup(req.Cluster, req.ConsumerID)
	}
	if topic := commitTopic(req); topic != "" {
		h, err := n.topicCluster(req.Cluster, topic)
		return h, req.Group, err
	}
	h, err := n.groupCluster(req.Cluster, req.Group)
	return h, req.Group, err
}

func commitTopic(req *protocol.CommitRequest) string {
	if req.Topic == "" && len(req.Offsets) > 0 {
		return req.Offsets[0].Topic
	}
	return req.Topic
}

// commitOffsets resolves the names in a commit.
func (n *Node) commitOffsets(h *clusterHandle, req *protocol.CommitRequest) (topicID string, offsets []group.PartitionOffset, err *protocol.Error) {
	topics := h.routes.Load().topics
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
func (n *Node) readGroup(h *clusterHandle, group string, asKnown bool) (groupReading, *protocol.Error) {
	return askGroup(n, h, group, time.Now().Add(n.env.opt.RequestTimeout),
		func(f protocol.Future[groupReading]) groupMessage { return &groupRead{AsKnown: asKnown, Reply: f} },
		func(a groupReading) *protocol.Error { return a.Err })
}

// Offsets is GET /offset: a row for every partition that the group has an
// offset or an owner for; with a topic, for every partition of that topic.
func (n *Node) Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error) {
	var h *clusterHandle
	var err *protocol.Error
	if req.Topic != "" {
		h, err = n.topicCluster(req.Cluster, req.Topic)
	} else {
		h, err = n.groupCluster(req.Cluster, req.Group)
	}
	if err != nil {
		return nil, err
	}
	r, err := n.readGroup(h, req.Group, false)
	if err != nil {
		return nil, err
	}
	rows := []protocol.OffsetInfo{}
	for name, t := range h.routes.Load().topics {
		for p := range t.Partitions {
			row, mentioned := n.offsetRow(t, p, &r)
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
func (n *Node) offsetRow(t *protocol.Topic, partition int, r *groupReading) (row protocol.OffsetInfo, mentioned bool) {
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
	if ref := t.Route.(*topicRoute).partitions[partition].leader.Load(); ref != nil {
		v := ref.view.Load()
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
func (n *Node) Groups(cluster string) ([]protocol.GroupInfo, *protocol.Error) {
	return n.listGroupInfos(cluster, false)
}

func (n *Node) listGroupInfos(cluster string, asKnown bool) ([]protocol.GroupInfo, *protocol.Error) {
	all, err := n.handles(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.GroupInfo{}
	for _, h := range all {
		names, err := n.groupsOf(h, 0)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			info, err := n.describeGroup(h, name, asKnown)
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
func (n *Node) Group(cluster, group string) (*protocol.GroupInfo, *protocol.Error) {
	h, err := n.groupCluster(cluster, group)
	if err != nil {
		return nil, err
	}
	return n.describeGroup(h, group, false)
}

func (n *Node) describeGroup(h *clusterHandle, group string, asKnown bool) (*protocol.GroupInfo, *protocol.Error) {
	r, err := n.readGroup(h, group, asKnown)
	if err != nil {
		return nil, err
	}
	info := r.Info
	info.Cluster, info.Lag = h.manifest.Name, n.lagOf(h, &r)
	return &info, nil
}

// lagOf adds up a group's lag on the partitions that it has anything to do with.
func (n *Node) lagOf(h *clusterHandle, r *groupReading) (lag protocol.Offset) {
	topics := h.routes.Load().topics
	add := func(topic string, key protocol.PartitionID) {
		t := topics[topic]
		if t == nil || t.ID != key.TopicID || key.Partition >= t.Partitions {
			return // deleted, and perhaps made anew
		}
		if row, _ := n.offsetRow(t, key.Partition, r); row.Lag != nil {
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
func (n *Node) DeleteGroup(cluster, group string) *protocol.Error {
	return n.changeGroup(cluster, group, groupChange{Delete: true})
}

// LeaveGroup takes a member out of its group.
func (n *Node) LeaveGroup(cluster, group string, id protocol.ConsumerID) *protocol.Error {
	return n.changeGroup(cluster, group, groupChange{Leave: id})
}

func (n *Node) changeGroup(cluster, group string, change groupChange) *protocol.Error {
	h, err := n.groupCluster(cluster, group)
	if err != nil {
		return err
	}
	_, err = askGroup(n, h, group, time.Now().Add(n.env.opt.RequestTimeout), func(f protocol.Future[*protocol.Error]) groupMessage {
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
func (n *Node) Seek(req *protocol.SeekRequest) ([]protocol.CommittedEntry, *protocol.Error) {
	t, err := n.LookupTopic(req.Cluster, req.Topic, false, time.Time{})
	if err != nil {
		return nil, err
	}
	var offsets []group.PartitionOffset
	for p := range t.Partitions {
		if req.Partition != nil && *req.Partition != p {
			continue
		}
		at, err := n.seekTarget(t, p, req)
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, group.PartitionOffset{Topic: t.Name, TopicID: t.ID, Partition: p, Offset: at})
	}
	if len(offsets) == 0 {
		return nil, protocol.Errorf(protocol.CodeUnknownPartition, "topic %q has no partition %d", t.Name, *req.Partition)
	}
	if err := n.changeGroup(t.Cluster, req.Group, groupChange{Seek: offsets}); err != nil {
		return nil, err
	}
	return entries(offsets), nil
}

func (n *Node) seekTarget(t *protocol.Topic, partition int, req *protocol.SeekRequest) (protocol.Offset, *protocol.Error) {
	if req.Offset != nil {
		return *req.Offset, nil
	}
	return n.startOffset(t, partition, protocol.StartFrom{Latest: req.Latest, Timestamp: req.Timestamp})
}

// startOffset resolves where a group starts on a partition.
func (n *Node) startOffset(t *protocol.Topic, partition int, from protocol.StartFrom) (protocol.Offset, *protocol.Error) {
	var at int64
	err := n.fresh(t, partition, func(v *logfile.View, _ *leaderRef) *protocol.Error {
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
