package group

import (
	"ottla/actors/metarecord"
	"ottla/mutate"
	"ottla/protocol"
)

// Ahead is what a poll has read before it asked for its share, from where its consumer
// was to go on by what was known of it: see State.Ahead.
type Ahead struct {
	Generation protocol.Generation
	Positions  []PartitionOffset // the next offset to read of each partition of the share, by topic id and partition
	From       []protocol.Offset // where reading began, in the same order
	Commit     bool              // the positions are committed before the records are returned
}

// Ahead decides whether a poll may return what it has read before it asked. It may if the
// decision on the poll, d, changes nothing and gives the member exactly these partitions, and
// reading would begin exactly there: where the poll's cursor reads on, else at the committed
// offset. Poll is what the poll is known by, and once says that it is known to have been
// here before, and no other poll of the consumer since: then the positions may be committed
// already, by itself. What is to be committed first is in recs. It is called
// after DecidePoll on the same state; when recs are applied, call Polled and Delivered.
func (g *State) Ahead(now int64, id protocol.ConsumerID, d *PollDecision, a *Ahead, after []CursorPosition, poll uint64, once bool) (recs []metarecord.Record, ok bool) {
	if !a.fits(d) {
		return nil, false
	}
	begins := func(o *PartitionOffset) (protocol.Offset, bool) {
		for _, c := range after {
			if c.TopicID == o.TopicID && c.Partition == o.Partition {
				return c.Offset, true
			}
		}
		have, known := g.offsets.Get(o.Key())
		return have.Offset, known
	}
	next := follows(a.Positions, a.From, begins) || a.Commit && g.isCommittedBy(poll, once, a.Positions, a.From)
	if !next && !mutate.On(mutate.AheadUnchecked) {
		return nil, false
	}
	if !a.Commit {
		return nil, true
	}
	recs, err := g.DecideAutoCommit(now, id, a.Generation, a.Positions, poll)
	return recs, err == nil
}

// GoesOn reports whether reading that began at from of each of positions began at the
// committed offset, or is committed already, by the same delivery: what a poll delivers that
// may not be what its consumer is to be given next, because it did not ask for its share, or
// asked another coordinator. Poll is what the delivery is known by, and once says
// that no other poll of the consumer has been here since it began.
func (g *State) GoesOn(positions []PartitionOffset, from []protocol.Offset, poll uint64, once bool) bool {
	if len(from) != len(positions) {
		return false
	}
	committed := func(o *PartitionOffset) (protocol.Offset, bool) {
		have, known := g.offsets.Get(o.Key())
		return have.Offset, known
	}
	return follows(positions, from, committed) || g.isCommittedBy(poll, once, positions, from)
}

// follows reports whether reading began at from where it was to begin.
func follows(positions []PartitionOffset, from []protocol.Offset, begins func(*PartitionOffset) (protocol.Offset, bool)) bool {
	for i := range positions {
		if at, known := begins(&positions[i]); !known || at != from[i] {
			return false
		}
	}
	return true
}

// isCommittedBy reports whether all that was read is committed, and by the poll that has read
// it: the commits say so. Below level.PollNames they do not, and what is committed is taken
// for the poll's if no other can have committed it.
func (g *State) isCommittedBy(poll uint64, once bool, positions []PartitionOffset, from []protocol.Offset) bool {
	for i := range positions {
		o := &positions[i]
		have, known := g.offsets.Get(o.Key())
		its := from[i] == o.Offset || poll != 0 && have.Poll == poll || once && !g.namesPolls()
		if !known || have.Offset != o.Offset || !its {
			return false
		}
	}
	return true
}

// fits reports whether the decision on a poll leaves everything as the poll has taken it to
// be, but for where reading begins.
func (a *Ahead) fits(d *PollDecision) bool {
	if len(d.Records) > 0 || d.Generation != a.Generation || len(a.Positions) != len(d.Assigned) || len(a.From) != len(d.Assigned) {
		return false
	}
	for i := range d.Assigned {
		mine, o := &d.Assigned[i], &a.Positions[i]
		if mine.TopicID != o.TopicID || mine.Partition != o.Partition || mine.Committed == nil {
			return false
		}
	}
	return true
}
