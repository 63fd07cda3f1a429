package front

import (
	"errors"
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// view returns the newest published view of a partition, and who published it.
func (lc *locator) view(t *protocol.Topic, partition int, patience time.Duration) (routing.LogView, *routing.Leadership, *protocol.Error) {
	route, err := lc.route(t, partition)
	if err != nil {
		return nil, nil, err
	}
	ref, until := route.Leader(), time.Time{}
	for {
		if ref != nil {
			v, err := ref.View()
			if err == nil || patience == 0 {
				return v, ref, err
			}
		}
		if until.IsZero() {
			until = time.Now().Add(patience)
		}
		// One that refuses to show its records may have a successor (routing.Leader's
		// View); it is asked again if it leads on.
		if ref = lc.nextLeader(t, route, ref, until); ref == nil {
			return nil, nil, lc.leaderless(t, partition)
		}
	}
}

// errStaleView says that compaction or retention removed a file while it was
// read. The newest view is without that file, so the read is tried again, and the
// error does not reach a client unless that happens many times in a row.
var errStaleView = protocol.Errorf(protocol.CodeStorageFailed, "the partition's files changed while they were read")

// withView calls read with the newest view of a partition. It does so again when
// that view turned out to be stale, and when its leader could not read the bytes
// and another one leads.
func (lc *locator) withView(t *protocol.Topic, partition int, read func(routing.LogView, *routing.Leadership) *protocol.Error) *protocol.Error {
	return lc.withViewWithin(routing.FailoverPatience, t, partition, read)
}

// withViewWithin is withView with another patience for a partition that nobody leads.
func (lc *locator) withViewWithin(patience time.Duration, t *protocol.Topic, partition int, read func(routing.LogView, *routing.Leadership) *protocol.Error) *protocol.Error {
	for tries := 0; ; tries++ {
		v, ref, err := lc.view(t, partition, patience)
		if err != nil {
			return err
		}
		err = read(v, ref)
		switch {
		case err == nil || tries == 10:
			return err
		case err == errStaleView:
		case err.Code != protocol.CodeStorageFailed || !lc.hasSuccessor(t, partition, ref):
			return err
		}
	}
}

// withNearView is withView once, without waiting, of a partition that this node leads. It
// fails with protocol.ErrAway where another node does.
func (lc *locator) withNearView(t *protocol.Topic, partition int, read func(routing.LogView, *routing.Leadership) *protocol.Error) *protocol.Error {
	route, err := lc.route(t, partition)
	if err != nil {
		return err
	}
	ref := route.Leader()
	switch {
	case ref == nil:
		return protocol.ErrNotLeader
	case ref.Away:
		return protocol.ErrAway
	}
	v, err := ref.View()
	if err != nil {
		return err
	}
	return read(v, ref)
}

// hasSuccessor reports whether another replica leads after ref, whose bytes could
// not be read: damage ends a leader, and its successor has them.
func (lc *locator) hasSuccessor(t *protocol.Topic, partition int, ref *routing.Leadership) bool {
	route, err := lc.route(t, partition)
	if err != nil {
		return false
	}
	next := lc.nextLeader(t, route, ref, time.Now().Add(routing.FailoverPatience))
	return next != nil && next != ref
}

// outOfRange says where the log begins and ends, so that a client can choose to go on
// there.
func outOfRange(topic string, partition int, offset int64, v routing.LogView) *protocol.Error {
	return protocol.Errorf(protocol.CodeOffsetOutOfRange,
		"offset %d of partition %d of topic %q is below the log start", offset, partition, topic).
		With("earliest", v.Earliest()).With("latest", v.HighWatermark()).
		With("topic", topic).With("partition", partition)
}

// unreadable is the answer for bytes that are there but cannot be read: never
// "empty", never "not found".
func unreadable(topic string, partition int, err error) *protocol.Error {
	return protocol.Errorf(protocol.CodeStorageFailed, "partition %d of topic %q cannot be read: %v", partition, topic, err)
}

// PartitionOffsets returns the earliest and the next offset of a partition.
func (lc *locator) PartitionOffsets(t *protocol.Topic, partition int) (earliest, latest protocol.Offset, err *protocol.Error) {
	v, _, err := lc.view(t, partition, routing.FailoverPatience)
	if err != nil {
		return 0, 0, err
	}
	return protocol.Offset(v.Earliest()), protocol.Offset(v.HighWatermark()), nil
}

// startOffset resolves where a group starts on a partition.
func (lc *locator) startOffset(t *protocol.Topic, partition int, from protocol.StartFrom) (protocol.Offset, *protocol.Error) {
	var at int64
	err := lc.withView(t, partition, func(v routing.LogView, _ *routing.Leadership) *protocol.Error {
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

// countFetched counts records that were read for a client.
func countFetched(t *protocol.Topic, partition, records, bytes int) {
	routing.Of(t).Partitions[partition].Stats.Fetched(records, bytes)
}
