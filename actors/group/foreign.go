package group

import (
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// What members of another protocol do with the group's offsets. Whether they may is
// decided by whoever knows them.

// Live reports whether the group has a member whose lease runs.
func (g *State) Live(now int64) bool {
	for i := range g.now.Members {
		if g.live(now, g.now.Members[i].ID) {
			return true
		}
	}
	return false
}

// DecideForeignCommit commits offsets, also backwards. A group that was not there
// begins with its first generation, without members. Errors: limit_exceeded,
// invalid_parameter.
func (g *State) DecideForeignCommit(now int64, offsets []PartitionOffset) ([]metarecord.Record, *protocol.Error) {
	recs, err := g.commitRecords(now, offsets, true)
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
