package http

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// partitionOf returns the topic and the number of the partition in the path.
func partitionOf(c *call, cluster string) (*protocol.Topic, int, *protocol.Error) {
	topicName, err := c.nameParam("topic")
	if err != nil {
		return nil, 0, err
	}
	number := c.param("partition")
	n, _, ok := protocol.ParseInteger([]byte(number))
	if !ok {
		return nil, 0, invalid("partition", "must be an integer")
	}
	topic, err := c.b.LookupTopic(cluster, topicName, false, c.deadline())
	if err != nil {
		return nil, 0, err
	}
	if n < 0 || n >= int64(topic.Partitions) {
		return nil, 0, protocol.Errorf(protocol.CodePartitionNotFound, "topic %q has no partition %s", topicName, number).
			With("partitions", topic.Partitions)
	}
	return topic, int(n), nil
}

// getRecords reads records of a partition, without a group.
func getRecords(c *call) *protocol.Error {
	o := &c.srv.o
	req := &protocol.FetchRequest{MaxRecords: o.DefaultMaxRecords, MaxBytes: o.DefaultMaxBytes, Done: c.srv.done}
	var (
		cluster string
		offset  *protocol.Offset
	)
	err := c.bindQuery(
		binding{name: "cluster", set: setName(&cluster)},
		binding{name: "offset", set: setOptionalInteger(&offset, 0, maxOffset, atLeast)},
		binding{name: "timestamp", set: setOptionalInteger(&req.Timestamp, 0, maxTimestamp, atLeast)},
		binding{name: "max_records", set: setInteger(&req.MaxRecords, 1, int64(o.MaxRecords), limited)},
		binding{name: "max_bytes", set: setInteger(&req.MaxBytes, 1, int64(o.MaxBytes), limited)},
		binding{name: "timeout_ms", set: setMilliseconds(&req.Timeout, 0, o.MaxTimeout)})
	if err != nil {
		return err
	}
	if offset != nil && req.Timestamp != nil {
		return invalid("offset", "excludes timestamp")
	}
	if req.Topic, req.Partition, err = partitionOf(c, cluster); err != nil {
		return err
	}
	c.nameLeader(req.Topic, req.Partition)
	switch {
	case offset != nil:
		req.Offset = *offset
	case req.Timestamp == nil:
		if req.Offset, _, err = c.b.PartitionOffsets(req.Topic, req.Partition); err != nil {
			return err
		}
	}
	if err := c.who.Usage().Fetch(c.began); err != nil {
		return err
	}
	release, err := c.park(req.Timeout)
	if err != nil {
		return err
	}
	records := &rendering{}
	req.Room, req.Sink = &c.client.answer, records
	return c.await(pending(c, c.b.StartFetch(req), &req.Watch, records, answerFetch, c.lostFetch(req.Topic, records), release), req.Timeout)
}

// maxOffset is the largest offset that a client may name. Counting on from it
// does not overflow.
const maxOffset = 1<<62 - 1

func answerFetch(c *call, records *rendering, r *protocol.FetchReply) {
	var b [96]byte
	c.sendRendered(records, []byte(`{"records":[`), appendFetchTail(b[:0], r))
}

// appendFetchTail appends what follows the records.
func appendFetchTail(dst []byte, r *protocol.FetchReply) []byte {
	dst = append(dst, `],"next_offset":`...)
	dst = strconv.AppendInt(dst, int64(r.NextOffset), 10)
	dst = append(dst, `,"high_watermark":`...)
	dst = strconv.AppendInt(dst, int64(r.HighWatermark), 10)
	dst = append(dst, `,"earliest":`...)
	dst = strconv.AppendInt(dst, int64(r.Earliest), 10)
	return append(dst, '}')
}

// getPartitionOffsets answers the first offset of a partition, and the next one
// that a record will get.
func getPartitionOffsets(c *call) *protocol.Error {
	var cluster string
	if err := c.bindQuery(binding{name: "cluster", set: setName(&cluster)}); err != nil {
		return err
	}
	topic, partition, err := partitionOf(c, cluster)
	if err != nil {
		return err
	}
	earliest, latest, err := c.b.PartitionOffsets(topic, partition)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, struct {
		Earliest protocol.Offset `json:"earliest"`
		Latest   protocol.Offset `json:"latest"`
	}{earliest, latest})
}
