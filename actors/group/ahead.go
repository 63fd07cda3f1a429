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
// offset. Repeated says that the member may have been asked for before and nobody knows
// what became of it, so that the positions may be committed already; no other poll of the
// consumer may have been here since. What is to be committed first is in recs. It is called
// after DecidePoll on the same state; when recs are applied, call Polled and Delivered.
func (g *State) Ahead(now int64, id protocol.ConsumerID, d *PollDecision, a *Ahead, after []CursorPosition, repeated bool) (recs []metarecord.Record, ok bool) {
	if !a.fits(d, after, func(i int) protocol.Offset { return a.From[i] }) &&
		!(repeated && a.Commit && a.fits(d, after, func(i int) protocol.Offset { return a.Positions[i].Offset })) {
		return nil, false
	}
	if !a.Commit {
		return nil, true
	}
	recs, err := g.DecideAutoCommit(now, id, a.Generation, a.Positions)
	return recs, err == nil
}

// GoesOn reports whether reading that began at from of each of positions began at the
// committed offset, or is committed already: what a poll delivers that did not ask for its
// share, because its consumer has had it since the poll before.
func (g *State) GoesOn(positions []PartitionOffset, from []protocol.Offset) bool {
	if len(from) != len(positions) {
		return false
	}
	for i := range positions {
		have, known := g.offsets.Get(positions[i].Key())
		if !known || have.Offset != from[i] && have.Offset != positions[i].Offset {
			return false
		}
	}
	return true
}

// fits reports whether the poll on which d is the decision would begin at from of each
// partition.
func (a *Ahead) fits(d *PollDecision, after []CursorPosition, from func(i int) protocol.Offset) bool {
	if len(d.Records) > 0 || d.Generation != a.Generation || len(a.Positions) != len(d.Assigned) || len(a.From) != len(d.Assigned) {
		return false
	}
	for i := range d.Assigned {
		mine, o := &d.Assigned[i], &a.Positions[i]
		if mine.TopicID != o.TopicID || mine.Partition != o.Partition || mine.Committed == nil {
			return false
		}
		begin := *mine.Committed
		for _, c := range after {
			if c.TopicID == o.TopicID && c.Partition == o.Partition {
				begin = c.Offset
			}
		}
		if from(i) != begin && !mutate.On(mutate.AheadUnchecked) {
			return false
		}
	}
	return true
}
