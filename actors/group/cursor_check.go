package group

import "ottla/protocol"

// CursorFor makes the cursor of a member's response.
func (g *State) CursorFor(clusterID string, id protocol.ConsumerID, term uint64, positions []PartitionOffset) *Cursor {
	c := &Cursor{
		ClusterID: clusterID, Group: g.name, GroupCreated: g.createdAt(),
		ConsumerID: id, Generation: g.Generation(), Term: term,
		Positions: make([]CursorPosition, len(positions)),
	}
	for i, p := range positions {
		c.Positions[i] = CursorPosition{p.TopicID, p.Partition, p.Offset}
	}
	return c
}

// CheckCursor checks that a cursor belongs to this group and consumer, and that
// the consumer may commit its positions. Errors:
// foreign_cursor (another cluster, group or consumer, or a deleted group of
// this name), stale_generation (an older one, the member has gone, or a
// partition is not its own). It is called before DecidePoll, so that what the poll
// itself changes does not make its cursor stale.
func (g *State) CheckCursor(c *Cursor, clusterID string, id protocol.ConsumerID) *protocol.Error {
	if err := g.CheckCursorOrigin(c, clusterID, id); err != nil {
		return err
	}
	generation := c.Generation
	return g.checkCommitter(id, &generation, g.CursorOffsets(c), true)
}

// CheckCursorOrigin is the part of CheckCursor that does not depend on the
// generation. Errors: foreign_cursor.
func (g *State) CheckCursorOrigin(c *Cursor, clusterID string, id protocol.ConsumerID) *protocol.Error {
	switch {
	case c.ClusterID != clusterID:
		return protocol.Errorf(protocol.CodeForeignCursor, "the cursor belongs to another cluster")
	case c.Group != g.name:
		return protocol.Errorf(protocol.CodeForeignCursor, "the cursor belongs to group %q, not to %q", c.Group, g.name)
	case c.GroupCreated != g.createdAt():
		return protocol.Errorf(protocol.CodeForeignCursor, "the cursor belongs to a group %q that was deleted", g.name)
	case c.ConsumerID != id:
		return protocol.Errorf(protocol.CodeForeignCursor, "the cursor belongs to consumer %d, not to %d", c.ConsumerID, id)
	}
	return nil
}

// OwnedPositions are those positions of a cursor that its consumer can read on
// from, whatever has happened since: it has owned their partitions all along.
func (g *State) OwnedPositions(c *Cursor) []CursorPosition {
	var owned []CursorPosition
	for _, p := range c.Positions {
		if g.ownedSince(c.ConsumerID, protocol.PartitionID{TopicID: p.TopicID, Partition: p.Partition}, c.Generation) {
			owned = append(owned, p)
		}
	}
	return owned
}

// CursorOffsets are the positions of a cursor as offsets to read from or to
// commit. The name of a topic is empty when nobody subscribes to it.
func (g *State) CursorOffsets(c *Cursor) []PartitionOffset {
	offsets := make([]PartitionOffset, len(c.Positions))
	for i, p := range c.Positions {
		offsets[i] = PartitionOffset{TopicID: p.TopicID, Partition: p.Partition, Offset: p.Offset}
		if t := g.now.topic(p.TopicID); t != nil {
			offsets[i].Topic = t.Name
		}
	}
	return offsets
}
