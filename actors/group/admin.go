package group

import (
	"slices"
	"time"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// DecideLeave takes a member out and gives its partitions to the others.
// Errors: group_not_found, consumer_not_found.
func (g *State) DecideLeave(now int64, id protocol.ConsumerID) ([]metarecord.Record, *protocol.Error) {
	if err := g.checkExists(); err != nil {
		return nil, err
	}
	if !g.IsMember(id) {
		return nil, protocol.Errorf(protocol.CodeConsumerNotFound, "group %q has no member %d", g.name, id)
	}
	next := g.now.clone()
	next.remove(id)
	return g.memberRecords(now, actionLeave, g.nextGeneration(now, next, 0)), nil
}

// DecideSeek moves committed offsets anywhere. If the group has members, a new
// generation begins and the positions of their responses are forgotten, so
// that none of them can carry on or commit from where it was. With create a group that
// does not exist is made. Errors: group_not_found, invalid_parameter, limit_exceeded.
func (g *State) DecideSeek(now int64, offsets []PartitionOffset, create bool) ([]metarecord.Record, *protocol.Error) {
	if err := g.checkExists(); err != nil && !create {
		return nil, err
	}
	recs, err := g.commitRecords(now, offsets, true, 0)
	if err != nil || len(g.now.Members) == 0 {
		return recs, err
	}
	next := g.now.clone()
	next.Generation++
	return append(g.memberRecords(now, actionSeek, next), recs...), nil
}

// DecideDelete deletes the group with its offsets. Errors: group_not_found,
// group_not_empty (a member's lease still runs).
func (g *State) DecideDelete(now int64) ([]metarecord.Record, *protocol.Error) {
	if err := g.checkExists(); err != nil {
		return nil, err
	}
	for i := range g.now.Members {
		if id := g.now.Members[i].ID; g.live(now, id) {
			return nil, protocol.Errorf(protocol.CodeGroupNotEmpty, "group %q has live members", g.name).With("consumer_id", id)
		}
	}
	return g.forgetRecords(actionDeleteGroup), nil
}

// DecideTurn ends the group, so that it may become a queue. Errors: those of
// DecideDelete.
func (g *State) DecideTurn(now int64) ([]metarecord.Record, *protocol.Error) {
	if g.exists() {
		return g.DecideDelete(now)
	}
	return g.forgetRecords(actionDeleteGroup), nil
}

// DecideExpireGroup deletes the group with its offsets when for retentionMs no
// member was live and nothing was committed or changed; no records before that.
// Signs of life that this coordinator has not seen itself count by the times in
// the log.
func (g *State) DecideExpireGroup(now, retentionMs int64) []metarecord.Record {
	if !g.exists() || now-g.usedAt() < retentionMs {
		return nil
	}
	for i := range g.now.Members {
		if g.live(now, g.now.Members[i].ID) {
			return nil
		}
	}
	return g.forgetRecords(actionExpireGroup)
}

// usedAt is when anything was last done with the group.
func (g *State) usedAt() int64 {
	at := max(g.aliveAt, g.now.ChangedAt)
	for _, c := range g.offsets.All() {
		at = max(at, c.At)
	}
	return at
}

func (g *State) forgetRecords(action string) []metarecord.Record {
	recs := []metarecord.Record{{Action: action, Key: metarecord.Key(keyGroup, g.name)}}
	for _, key := range slices.SortedFunc(g.offsets.Keys(), protocol.ComparePartitionIDs) {
		recs = append(recs, g.dropRecord(key))
	}
	return recs
}

// DecideTopicDeleted drops a deleted topic's offsets and takes it out of all
// subscriptions, in a new generation if anybody subscribes to it.
func (g *State) DecideTopicDeleted(now int64, topicID string) []metarecord.Record {
	var recs []metarecord.Record
	for _, key := range slices.SortedFunc(g.offsets.Keys(), protocol.ComparePartitionIDs) {
		if key.TopicID == topicID {
			recs = append(recs, g.dropRecord(key))
		}
	}
	if g.now.topic(topicID) == nil {
		return recs
	}
	next := g.now.clone()
	for i := range next.Members {
		next.Members[i].Topics = slices.DeleteFunc(slices.Clone(next.Members[i].Topics), func(id string) bool { return id == topicID })
	}
	return append(recs, g.memberRecords(now, actionTopicDeleted, g.nextGeneration(now, next, 0))...)
}

// States of a group.
const (
	StateEmpty       = "empty"       // no member has a running lease
	StateRebalancing = "rebalancing" // some live member has not polled in this generation yet
	StateStable      = "stable"
)

// Describe describes the group, but for its lag. Members are those whose lease runs.
func (g *State) Describe(now int64) protocol.GroupInfo {
	info := protocol.GroupInfo{
		Group: g.name, Mode: protocol.ModeStream, State: StateEmpty, Generation: g.now.Generation,
		CreatedAt: time.UnixMilli(g.now.CreatedAt).UTC(), Members: []protocol.MemberInfo{},
	}
	for i := range g.now.Members {
		gm := &g.now.Members[i]
		if !g.live(now, gm.ID) {
			info.LapsedMembers = append(info.LapsedMembers, g.describeMember(gm))
			continue
		}
		switch {
		case g.told.At(gm.ID) != g.now.Generation:
			info.State = StateRebalancing
		case info.State == StateEmpty:
			info.State = StateStable
		}
		info.Members = append(info.Members, g.describeMember(gm))
	}
	return info
}

func (g *State) describeMember(gm *Member) protocol.MemberInfo {
	info := protocol.MemberInfo{
		ConsumerID: gm.ID, SessionTimeoutMs: gm.SessionMs,
		LeaseExpiresAt: time.UnixMilli(g.leases.At(gm.ID)).UTC(),
		Topics:         []string{}, Assignment: []protocol.TopicPartition{},
	}
	for _, id := range gm.Topics {
		if t := g.now.topic(id); t != nil {
			info.Topics = append(info.Topics, t.Name)
		}
	}
	slices.Sort(info.Topics)
	for _, a := range g.assigned(g.now, gm.ID) {
		info.Assignment = append(info.Assignment, protocol.TopicPartition{Topic: a.Topic, Partition: a.Partition})
	}
	return info
}

func (g *State) checkExists() *protocol.Error {
	if g.exists() {
		return nil
	}
	return protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", g.name)
}
