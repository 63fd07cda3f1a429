package group

import (
	"slices"

	"ottla/actors/few"
	"ottla/actors/metarecord"
	"ottla/mutate"
	"ottla/protocol"
)

// DecideCommit commits offsets for a consumer. A member may commit, lapsed or
// not, on partitions that it owns and on those without an owner; generation, unless nil, must be the
// current one. Records are returned for what changes; none means that all of
// it is committed already. When they are applied, call ExtendLease. Errors:
// consumer_not_found (never seen), stale_generation (expired or left, an older
// generation, or a partition that belongs to another), offset_regression
// unless force, limit_exceeded, invalid_parameter. Nothing is committed then.
func (g *State) DecideCommit(now int64, id protocol.ConsumerID, generation *protocol.Generation, offsets []PartitionOffset, force bool) ([]metarecord.Record, *protocol.Error) {
	if err := g.checkCommitter(id, generation, offsets, false); err != nil {
		return nil, err
	}
	recs, err := g.commitRecords(now, offsets, force, 0)
	if err != nil {
		return nil, err
	}
	return append(recs, g.Revived(now, id)...), nil
}

// DecideAck commits what a member acknowledges with its next poll: every
// partition must be its own in this generation.
func (g *State) DecideAck(now int64, id protocol.ConsumerID, generation protocol.Generation, offsets []PartitionOffset) ([]metarecord.Record, *protocol.Error) {
	if err := g.checkCommitter(id, &generation, offsets, true); err != nil {
		return nil, err
	}
	return g.commitRecords(now, offsets, false, 0)
}

// DecideAutoCommit moves the offsets of a member past the records that it is
// about to be given, with the errors of DecideAck. An offset that is further
// already, because the member reads again what it was given before, stays. Poll is
// what the delivery is known by, 0: nothing.
func (g *State) DecideAutoCommit(now int64, id protocol.ConsumerID, generation protocol.Generation, offsets []PartitionOffset, poll uint64) ([]metarecord.Record, *protocol.Error) {
	if err := g.checkCommitter(id, &generation, offsets, true); err != nil {
		return nil, err
	}
	behind := func(o PartitionOffset) bool {
		have, committed := g.offsets.Get(o.Key())
		return committed && o.Offset <= have.Offset
	}
	if slices.ContainsFunc(offsets, behind) {
		offsets = slices.DeleteFunc(slices.Clone(offsets), behind)
	}
	if !g.namesPolls() {
		poll = 0
	}
	return g.commitRecords(now, offsets, false, poll)
}

// checkCommitter refuses a commit that id may not make on these partitions; with
// owned, all of them must be its own. A nil generation is not checked.
func (g *State) checkCommitter(id protocol.ConsumerID, generation *protocol.Generation, offsets []PartitionOffset, owned bool) *protocol.Error {
	if err := g.checkMember(id); err != nil {
		return err
	}
	if generation != nil {
		if err := g.checkGeneration(*generation); err != nil {
			return err
		}
	}
	for i := range offsets {
		o := &offsets[i]
		if owner := g.now.owner(o.Key()); owner != id && (owned || owner != 0) {
			return g.Stale("partition %d of topic %q does not belong to consumer %d any more", o.Partition, o.Topic, id)
		}
	}
	return nil
}

// checkMember refuses former members (stale_generation) and consumers that never
// were members (consumer_not_found).
func (g *State) checkMember(id protocol.ConsumerID) *protocol.Error {
	switch {
	case g.IsMember(id):
		return nil
	case slices.Contains(g.now.Former, id):
		return g.Stale("consumer %d is not a member of group %q any more", id, g.name)
	}
	return protocol.Errorf(protocol.CodeConsumerNotFound, "group %q has never seen consumer %d", g.name, id)
}

// checkGeneration refuses every generation but the current one.
func (g *State) checkGeneration(generation protocol.Generation) *protocol.Error {
	if generation == g.now.Generation || mutate.On(mutate.OldGeneration) {
		return nil
	}
	return g.Stale("generation %d of group %q is not the current one", generation, g.name).With("generation", generation)
}

// Stale makes the refusal of a member whose generation or lease has passed; it
// names the current generation.
func (g *State) Stale(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeStaleGeneration, format+": poll again without a cursor", args...).With("current_generation", g.now.Generation)
}

// commitRecords makes the records for the offsets that differ from what is
// committed. They name the poll, unless it is 0.
func (g *State) commitRecords(now int64, offsets []PartitionOffset, force bool, poll uint64) ([]metarecord.Record, *protocol.Error) {
	var recs []metarecord.Record
	var seen few.Map[protocol.PartitionID, struct{}]
	for i := range offsets {
		o := &offsets[i]
		have, committed := g.offsets.Get(o.Key())
		_, twice := seen.Get(o.Key())
		switch {
		case o.Offset < 0 || o.Partition < 0:
			return nil, protocol.Errorf(protocol.CodeInvalidParameter, "partition and offset must be 0 or more, got %d and %d", o.Partition, o.Offset)
		case len(o.Metadata) > maxCommitMetadata:
			return nil, protocol.Errorf(protocol.CodeLimitExceeded, "metadata of %d bytes is too long", len(o.Metadata)).With("limit", maxCommitMetadata)
		case twice:
			return nil, protocol.Errorf(protocol.CodeInvalidParameter, "partition %d of topic %q is there twice", o.Partition, o.Topic)
		case committed && o.Offset < have.Offset && !force:
			return nil, protocol.Errorf(protocol.CodeOffsetRegression,
				"partition %d of topic %q is at %d, going back to %d needs force", o.Partition, o.Topic, have.Offset, o.Offset).
				With("topic", o.Topic).With("partition", o.Partition).With("current", have.Offset).With("requested", o.Offset)
		}
		if i+1 < len(offsets) {
			seen.Set(o.Key(), struct{}{})
		}
		if !committed || have.Offset != o.Offset || have.Metadata != o.Metadata {
			recs = append(recs, g.commitRecord(now, *o, poll))
		}
	}
	return recs, nil
}

// Delivered notes the positions after a response: for every partition that
// the member was assigned, also those without records. It reports whether the
// generation is still the current one; if not, nothing is noted, and the response
// must not be delivered.
func (g *State) Delivered(id protocol.ConsumerID, generation protocol.Generation, positions []PartitionOffset) bool {
	if generation != g.now.Generation || !g.IsMember(id) {
		return false
	}
	mp := g.positions.At(id)
	if mp == nil || mp.generation != generation {
		next := &memberPositions{generation: generation}
		if mp != nil {
			for key, o := range mp.at.All() {
				if g.ownedSince(id, key, mp.generation) {
					next.at.Set(key, o)
				}
			}
		}
		g.positions.Set(id, next)
		mp = next
	}
	for _, o := range positions {
		mp.at.Set(o.Key(), o)
	}
	return true
}

// ownedSince reports whether id has owned a partition without a break since a
// generation; nobody else can have read or committed on it then.
func (g *State) ownedSince(id protocol.ConsumerID, key protocol.PartitionID, since protocol.Generation) bool {
	return g.now.owner(key) == id && g.since.At(key) <= since
}

// Position returns the offsets after the consumer's latest response, of one
// topic if topicID is not empty: what a commit without offsets commits. Partitions
// that belong to others since, or did in between, are moved; those of them that have
// nothing to commit beyond the group's offset are left out. Errors:
// consumer_not_found, stale_generation (none is left of what was delivered),
// position_unknown (nothing delivered since the last failover or seek).
func (g *State) Position(id protocol.ConsumerID, topicID string) (owned, moved []PartitionOffset, err *protocol.Error) {
	if err := g.checkMember(id); err != nil {
		return nil, nil, err
	}
	var lost *PartitionOffset
	if mp := g.positions.At(id); mp != nil {
		for key, o := range mp.at.All() {
			if topicID != "" && o.TopicID != topicID {
				continue
			}
			// What nobody owns any member may commit.
			if owner := g.now.owner(key); owner == 0 || owner == id && g.ownedSince(id, key, mp.generation) {
				owned = append(owned, o)
				continue
			}
			lost = &o
			if have, ok := g.offsets.Get(key); !ok || o.Offset > have.Offset {
				moved = append(moved, o)
			}
		}
	}
	switch {
	case len(owned) > 0:
	case lost != nil:
		return nil, nil, g.Stale("partition %d of topic %q belongs, or has belonged in between, to another consumer", lost.Partition, lost.Topic)
	default:
		return nil, nil, protocol.Errorf(protocol.CodePositionUnknown,
			"the position of consumer %d in group %q is not known, commit with offsets", id, g.name)
	}
	byPartition := func(a, b PartitionOffset) int { return protocol.ComparePartitionIDs(a.Key(), b.Key()) }
	slices.SortFunc(owned, byPartition)
	slices.SortFunc(moved, byPartition)
	return owned, moved, nil
}

// PositionAt is the offset after the latest response to a partition's owner; known
// is false when nothing was delivered to it since the last failover or seek.
func (g *State) PositionAt(topicID string, partition int) (offset protocol.Offset, known bool) {
	key := protocol.PartitionID{TopicID: topicID, Partition: partition}
	owner := g.now.owner(key)
	if mp := g.positions.At(owner); mp != nil && g.ownedSince(owner, key, mp.generation) {
		o, ok := mp.at.Get(key)
		return o.Offset, ok
	}
	return 0, false
}

// Live reports whether the group has a member whose lease runs.
func (g *State) Live(now int64) bool {
	for i := range g.now.Members {
		if g.live(now, g.now.Members[i].ID) {
			return true
		}
	}
	return false
}

// DecideForeignCommit commits offsets for members of another protocol, also backwards.
// Whether they may is decided by whoever knows them. A group that was not there
// begins with its first generation, without members. Errors: limit_exceeded,
// invalid_parameter.
func (g *State) DecideForeignCommit(now int64, offsets []PartitionOffset) ([]metarecord.Record, *protocol.Error) {
	recs, err := g.commitRecords(now, offsets, true, 0)
	if err != nil || g.exists() {
		return recs, err
	}
	next := g.now.clone()
	next.Generation++
	return append(g.memberRecords(now, actionSeek, next), recs...), nil
}

// DecideDropOffsets removes committed offsets.
func (g *State) DecideDropOffsets(keys []protocol.PartitionID) []metarecord.Record {
	var recs []metarecord.Record
	for _, key := range keys {
		if _, committed := g.offsets.Get(key); committed {
			recs = append(recs, g.dropRecord(key))
		}
	}
	return recs
}
