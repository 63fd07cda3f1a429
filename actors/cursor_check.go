package actors

import "ottla/protocol"

// cursorFor makes the cursor of a member's response.
func (g *groupState) cursorFor(clusterID string, id protocol.ConsumerID, term uint64, positions []groupOffset) *cursor {
	c := &cursor{
		ClusterID: clusterID, Group: g.name, GroupCreated: g.createdAt(),
		ConsumerID: id, Generation: g.generation(), Term: term,
		Positions: make([]cursorPosition, len(positions)),
	}
	for i, p := range positions {
		c.Positions[i] = cursorPosition{p.TopicID, p.Partition, p.Offset}
	}
	return c
}

// checkCursor holds a cursor against the group that it comes back to. Errors:
// foreign_cursor (another cluster, group or consumer, or a deleted group of
// this name), stale_generation (an older one, the member has gone, or a
// partition is not its own). Check before decidePoll: what the poll itself
// changes does not make its cursor stale.
func (g *groupState) checkCursor(c *cursor, clusterID string, id protocol.ConsumerID) *protocol.Error {
	if err := g.checkCursorOrigin(c, clusterID, id); err != nil {
		return err
	}
	generation := c.Generation
	return g.checkCommitter(id, &generation, g.cursorOffsets(c), true)
}

// checkCursorOrigin is the part of checkCursor that does not depend on the
// generation. Errors: foreign_cursor.
func (g *groupState) checkCursorOrigin(c *cursor, clusterID string, id protocol.ConsumerID) *protocol.Error {
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

// heldPositions are those positions of a cursor that its consumer can read on
// from, whatever has happened since: it has owned their partitions all along.
func (g *groupState) heldPositions(c *cursor) []cursorPosition {
	var held []cursorPosition
	for _, p := range c.Positions {
		if g.held(c.ConsumerID, protocol.PartitionID{TopicID: p.TopicID, Partition: p.Partition}, c.Generation) {
			held = append(held, p)
		}
	}
	return held
}

// cursorOffsets are the positions of a cursor as offsets to read from or to
// commit. The name of a topic is empty when nobody subscribes to it.
func (g *groupState) cursorOffsets(c *cursor) []groupOffset {
	offsets := make([]groupOffset, len(c.Positions))
	for i, p := range c.Positions {
		offsets[i] = groupOffset{TopicID: p.TopicID, Partition: p.Partition, Offset: p.Offset}
		if t := g.now.topic(p.TopicID); t != nil {
			offsets[i].Topic = t.Name
		}
	}
	return offsets
}
