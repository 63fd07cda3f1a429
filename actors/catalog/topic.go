package catalog

import (
	"hash/fnv"
	"slices"
	"strings"

	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// DecideCreateTopic creates a topic under id. If there is one of that name with the
// settings that spec sends, it returns that one's id and no records. Now is in
// milliseconds since 1970. Errors: starting, invalid_name, internal_topic,
// not_allowed, topic_exists, too_many_partitions, quota_exceeded.
func (s *State) DecideCreateTopic(spec *protocol.TopicSpec, id string, now int64, limits TopicLimits,
) (topicID string, recs []metarecord.Record, err *protocol.Error) {
	limits = limits.orDefaults()
	// What was sent is looked at before what there is.
	if err := checkTopicName(spec.Name); err != nil {
		return "", nil, err
	}
	if s.settings == nil || len(s.brokers) == 0 {
		return "", nil, protocol.Errorf(protocol.CodeStarting, "the cluster is starting: its metadata has not been read yet")
	}
	t := Topic{
		ID: id, Name: spec.Name, Partitions: s.settings.Partitions,
		TopicSettings: s.settings.topicDefaults(limits), CreatedAt: now, Owner: limits.Room.Owner,
	}
	if err := setSetting(&t.Partitions, spec.Partitions, "partitions",
		rangeRule(1, maxTopicPartitions), between(1, maxTopicPartitions)); err != nil {
		return "", nil, err
	}
	if err := setSetting(&t.ReplicationFactor, spec.ReplicationFactor, "replication_factor",
		rangeRule(1, int64(s.settings.NumBrokers)), between(1, s.settings.NumBrokers)); err != nil {
		return "", nil, err
	}
	// The defaults stand in t already.
	if err := t.override(spec, limits); err != nil {
		return "", nil, err
	}
	if err := t.restore(spec); err != nil {
		return "", nil, err
	}
	// A client that did not hear the first answer asks again, and is to get the same one.
	if have := s.TopicByName(spec.Name); have != nil {
		return have.ID, nil, have.conflict(spec)
	}
	// After that, for what is there already needs no room.
	if err := limits.Room.admit(s, t.Partitions, t.ReplicationFactor); err != nil {
		return "", nil, err
	}
	placed, err := s.placement(spec, &t, 0)
	if err != nil {
		return "", nil, err
	}
	return id, newTopicRecords(t, placed), nil
}

// placement places the partitions of a topic from that number on. Errors: not_allowed.
func (s *State) placement(spec *protocol.TopicSpec, t *Topic, from int) ([]Partition, *protocol.Error) {
	// Whoever chooses the brokers has reasons that the rotation does not know.
	if spec.Assignment != nil {
		return chosenReplicas(s.brokerIDs(), *spec.Assignment, t.Partitions-from, t.ReplicationFactor)
	}
	start := s.placementStart(t.Name)
	if first := s.partition(t.ID, 0); first != nil { // the rotation goes on where it stopped
		start = indexOf(s.brokerIDs(), first.Replicas[0].Broker)
	}
	return placeReplicas(s.brokerIDs(), start, from, t.Partitions, t.ReplicationFactor), nil
}

// restore takes what a topic that is restored needs. Errors: not_allowed.
func (t *Topic) restore(spec *protocol.TopicSpec) *protocol.Error {
	if spec.Restoring != nil {
		t.Restoring = *spec.Restoring
	}
	if spec.StartOffsets == nil {
		return nil
	}
	// A new topic begins at 0: only what is restored had offsets before.
	if t.Restoring == "" || len(*spec.StartOffsets) != t.Partitions {
		return protocol.Errorf(protocol.CodeNotAllowed, "start_offsets need restoring, and one offset for each of the %d partitions", t.Partitions).With("field", "start_offsets")
	}
	t.Starts = *spec.StartOffsets
	return nil
}

// DecideAlterTopic changes the settings that spec sends. The number of partitions
// can only grow, the replication factor cannot change. No records are returned
// when nothing changes. Now is in milliseconds since 1970.
// Errors: topic_not_found, internal_topic, not_allowed, too_many_partitions,
// quota_exceeded.
func (s *State) DecideAlterTopic(spec *protocol.TopicSpec, now int64, limits TopicLimits) (topicID string, recs []metarecord.Record, err *protocol.Error) {
	have, err := s.writableTopic(spec.Name)
	if err != nil {
		return "", nil, err
	}
	t := *have
	// The same number is no change, so what describes a topic can be sent again as it is.
	if rf := spec.ReplicationFactor; rf != nil && *rf != t.ReplicationFactor {
		return "", nil, protocol.Errorf(protocol.CodeNotAllowed,
			"replication_factor of a topic cannot change, it is %d", t.ReplicationFactor).With("field", "replication_factor")
	}
	if err := setSetting(&t.Partitions, spec.Partitions, "partitions",
		rangeRule(int64(have.Partitions), maxTopicPartitions)+", it can only grow",
		between(have.Partitions, maxTopicPartitions)); err != nil {
		return "", nil, err
	}
	// Before what is set: a setting that is named twice has the value that was sent.
	t.reset(spec.Reset, s.settings.topicDefaults(limits.orDefaults()))
	if err := t.override(spec, limits.orDefaults()); err != nil {
		return "", nil, err
	}
	switch {
	case spec.StartOffsets != nil, spec.Restoring != nil && *spec.Restoring != "":
		return "", nil, protocol.Errorf(protocol.CodeNotAllowed, "a topic can only be restored when it is created").With("field", "restoring")
	// The restore has ended. Which one it was stays known, for its last request may come
	// twice.
	case spec.Restoring != nil && t.Restoring != "":
		t.Restoring, t.Restored = "", t.Restoring
	}
	// No record for what is so already.
	if t.Partitions == have.Partitions && t.TopicSettings == have.TopicSettings && t.Restoring == have.Restoring {
		return t.ID, nil, nil
	}
	if added := t.Partitions - have.Partitions; added > 0 {
		if err := limits.Room.admit(s, added, t.ReplicationFactor); err != nil {
			return "", nil, err
		}
		// An older program would not know what to do with it.
		if limits.Level == 0 || limits.Level >= level.Placements.Level {
			t.Earlier = have.earlierWith(now)
		}
	}
	recs = []metarecord.Record{topicRecord(actionAlterTopic, t)}
	if t.Partitions > have.Partitions {
		added, err := s.placement(spec, &t, have.Partitions)
		if err != nil {
			return "", nil, err
		}
		recs = append(recs, placementRecords(t.ID, have.Partitions, added)...)
	}
	return t.ID, recs, nil
}

// earlierWith is Earlier of the topic that has more partitions from now on.
func (t *Topic) earlierWith(now int64) []EarlierPartitions {
	var kept []EarlierPartitions
	for _, e := range t.Earlier {
		// By then nobody looks for a key where it was before.
		if now < e.Until+protocol.PlacementWindowMs {
			kept = append(kept, e)
		}
	}
	return append(kept, EarlierPartitions{Partitions: t.Partitions, Until: now, First: len(t.Earlier) == 0})
}

// Placements are the numbers of partitions that it has had lately, oldest first.
func (t *Topic) Placements() []protocol.Placement {
	var all []protocol.Placement
	for _, e := range t.Earlier {
		all = append(all, protocol.Placement(e))
	}
	return all
}

// DecideDeleteTopic deletes a topic and its placement. What is kept, until
// DecideTopicRemoved forgets it, is the permission to remove its directories. Errors:
// topic_not_found, internal_topic.
func (s *State) DecideDeleteTopic(name string, now int64) (topicID string, recs []metarecord.Record, err *protocol.Error) {
	t, err := s.writableTopic(name)
	if err != nil {
		return "", nil, err
	}
	gone := topicValue{V: metarecord.Format, Deleted: &DeletedTopic{Name: t.Name, Partitions: t.Partitions, DeletedAt: now}}
	recs = append(recs, metarecord.Record{Action: actionDeleteTopic, Key: metarecord.Key(keyTopic, t.ID), Value: metarecord.JSON(gone)})
	// Each key of its own, for compaction goes by keys.
	for p := range t.Partitions {
		recs = append(recs, metarecord.Record{Action: actionDeleteTopic, Key: metarecord.Key(keyPartition, t.ID, p)})
	}
	return t.ID, recs, nil
}

// DecideTopicRemoved notes that some brokers have removed their copies of a deleted
// topic, and forgets it when all have. No records if that is known already.
func (s *State) DecideTopicRemoved(topicID string, brokers []int) []metarecord.Record {
	t, ok := s.deleted[topicID]
	if !ok {
		return nil
	}
	removed := slices.Clone(t.Removed)
	for _, b := range brokers {
		if !slices.Contains(removed, b) {
			removed = append(removed, b)
		}
	}
	// Of the brokers that there are now: one that was removed since takes its directory
	// along.
	if left := slices.DeleteFunc(s.brokerIDs(), func(b int) bool { return slices.Contains(removed, b) }); len(left) > 0 {
		if len(removed) == len(t.Removed) {
			return nil
		}
		t.Removed = removed
		v := topicValue{V: metarecord.Format, Deleted: &t}
		return []metarecord.Record{{Action: actionDeleteTopic, Key: metarecord.Key(keyTopic, topicID), Value: metarecord.JSON(v)}}
	}
	return []metarecord.Record{{Action: actionForgetTopic, Key: metarecord.Key(keyTopic, topicID)}}
}

// writableTopic finds a topic that clients may change.
func (s *State) writableTopic(name string) (*Topic, *protocol.Error) {
	if err := checkTopicName(name); err != nil {
		return nil, err
	}
	t := s.TopicByName(name)
	if t == nil {
		return nil, protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", name)
	}
	return t, nil
}

func checkTopicName(name string) *protocol.Error {
	// It may not exist yet, and is refused all the same.
	if protocol.IsInternalTopic(name) {
		return protocol.Errorf(protocol.CodeInternalTopic, "topic %q belongs to Ottla and is read-only", name)
	}
	if !protocol.ValidName(name) {
		return invalidName("topic", name)
	}
	return nil
}

// conflict compares the fields that spec sends with the topic: nil when they
// agree, else topic_exists naming those that do not.
func (t *Topic) conflict(spec *protocol.TopicSpec) *protocol.Error {
	var d differences
	compare(&d, "partitions", spec.Partitions, t.Partitions)
	compare(&d, "replication_factor", spec.ReplicationFactor, t.ReplicationFactor)
	compare(&d, "retention_ms", spec.RetentionMs, t.RetentionMs)
	compare(&d, "retention_bytes", spec.RetentionBytes, t.RetentionBytes)
	compare(&d, "segment_bytes", spec.SegmentBytes, t.SegmentBytes)
	compare(&d, "cleanup_policy", spec.CleanupPolicy, t.CleanupPolicy)
	compare(&d, "delete_retention_ms", spec.DeleteRetentionMs, t.DeleteRetentionMs)
	compare(&d, "max_record_bytes", spec.MaxRecordBytes, t.MaxRecordBytes)
	// Also after its end, when the request that created it is sent again.
	if spec.Restoring != nil && *spec.Restoring != t.Restoring && *spec.Restoring != t.Restored {
		d.fields = append(d.fields, "restoring")
	}
	if spec.StartOffsets != nil && !slices.Equal(*spec.StartOffsets, t.Starts) {
		d.fields = append(d.fields, "start_offsets")
	}
	switch {
	case len(d.fields) == 0:
		return nil
	// These are no settings that one could agree on.
	case slices.Contains(d.fields, "restoring") || slices.Contains(d.fields, "start_offsets"):
		return protocol.Errorf(protocol.CodeTopicExists,
			"topic %q already exists and was not made by this restore: delete it, or restore under another name", t.Name).With("fields", d.fields)
	}
	return protocol.Errorf(protocol.CodeTopicExists, "topic %q already exists with other settings: %s",
		t.Name, strings.Join(d.texts, ", ")).With("fields", d.fields)
}

// InternalTopic are the settings of one of Ottla's own topics.
func InternalTopic(id, name string, partitions, rf int, now int64) Topic {
	return Topic{ID: id, Name: name, Partitions: partitions, CreatedAt: now, TopicSettings: TopicSettings{
		ReplicationFactor: rf, RetentionMs: -1, RetentionBytes: -1, SegmentBytes: 16 << 20,
		CleanupPolicy: CleanupCompact, DeleteRetentionMs: defaultDeleteRetentionMs, MaxRecordBytes: 1 << 20,
	}}
}

// placementStart says where in the list of brokers the rotation of a new
// topic's preferred leaders begins: at the broker that leads the fewest
// partitions, and among equals at one that the name picks, so that topics of
// one partition do not all end up on the first broker.
func (s *State) placementStart(topic string) int {
	brokers := s.brokerIDs()
	leads := make([]int, len(brokers))
	for key, p := range s.partitions {
		// Every cluster has the same internal ones, so they would only shift the result.
		if t := s.topics[key.TopicID]; t == nil || t.Internal() || len(p.Replicas) == 0 {
			continue
		}
		if i := indexOf(brokers, p.Replicas[0].Broker); i >= 0 {
			leads[i]++
		}
	}
	h := fnv.New32a()
	h.Write([]byte(topic))
	best := int(h.Sum32() % uint32(len(brokers)))
	for i, first := 0, best; i < len(brokers); i++ {
		if at := (first + i) % len(brokers); leads[at] < leads[best] {
			best = at
		}
	}
	return best
}
