package http

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// partitionOf resolves the topic and the partition of the path.
func (c *call) partitionOf(cluster string) (*protocol.Topic, int, *protocol.Error) {
	topicName, err := c.nameParam("topic")
	if err != nil {
		return nil, 0, err
	}
	text := c.param("partition")
	n, _, ok := protocol.ParseInteger([]byte(text))
	if !ok {
		return nil, 0, invalid("partition", "must be an integer")
	}
	topic, err := c.srv.b.LookupTopic(cluster, topicName, false, c.deadline())
	if err != nil {
		return nil, 0, err
	}
	if n < 0 || n >= int64(topic.Partitions) {
		return nil, 0, protocol.Errorf(protocol.CodePartitionNotFound, "topic %q has no partition %s", topicName, text).
			With("partitions", topic.Partitions)
	}
	return topic, int(n), nil
}

// getRecords reads a partition without a group.
func getRecords(c *call) *protocol.Error {
	o := &c.srv.o
	req := &protocol.FetchRequest{MaxRecords: o.DefaultMaxRecords, MaxBytes: o.DefaultMaxBytes, Done: c.srv.done}
	var (
		cluster string
		offset  *protocol.Offset
	)
	err := c.bindQuery(
		field{name: "cluster", set: name(&cluster)},
		field{name: "offset", set: optionalInteger(&offset, 0, maxOffset, atLeast)},
		field{name: "timestamp", set: optionalInteger(&req.Timestamp, 0, maxTimestamp, atLeast)},
		field{name: "max_records", set: integer(&req.MaxRecords, 1, int64(o.MaxRecords), limited)},
		field{name: "max_bytes", set: integer(&req.MaxBytes, 1, int64(o.MaxBytes), limited)},
		field{name: "timeout_ms", set: milliseconds(&req.Timeout, 0, o.MaxTimeout)})
	if err != nil {
		return err
	}
	if offset != nil && req.Timestamp != nil {
		return invalid("offset", "excludes timestamp")
	}
	if req.Topic, req.Partition, err = c.partitionOf(cluster); err != nil {
		return err
	}
	switch {
	case offset != nil:
		req.Offset = *offset
	case req.Timestamp == nil:
		if req.Offset, _, err = c.srv.b.PartitionOffsets(req.Topic, req.Partition); err != nil {
			return err
		}
	}
	release, err := c.park(req.Timeout)
	if err != nil {
		return err
	}
	records := &rendering{}
	req.Room, req.Sink = &c.client.answer, records
	return c.await(pending(c, c.srv.b.StartFetch(req), &req.Watch, records, answerFetch, release), req.Timeout)
}

// maxOffset leaves room to count on.
const maxOffset = 1<<62 - 1

func answerFetch(c *call, records *rendering, r *protocol.FetchReply) {
	var b [96]byte
	c.sendRendered(records, []byte(`{"records":[`), appendFetchTail(b[:0], r))
}

// appendFetchTail is what follows the records.
func appendFetchTail(dst []byte, r *protocol.FetchReply) []byte {
	dst = append(dst, `],"next_offset":`...)
	dst = strconv.AppendInt(dst, int64(r.NextOffset), 10)
	dst = append(dst, `,"high_watermark":`...)
	dst = strconv.AppendInt(dst, int64(r.HighWatermark), 10)
	dst = append(dst, `,"earliest":`...)
	dst = strconv.AppendInt(dst, int64(r.Earliest), 10)
	return append(dst, '}')
}

// getPartitionOffsets answers the first and the next offset of a partition.
func getPartitionOffsets(c *call) *protocol.Error {
	var cluster string
	if err := c.bindQuery(field{name: "cluster", set: name(&cluster)}); err != nil {
		return err
	}
	topic, partition, err := c.partitionOf(cluster)
	if err != nil {
		return err
	}
	earliest, latest, err := c.srv.b.PartitionOffsets(topic, partition)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, struct {
		Earliest protocol.Offset `json:"earliest"`
		Latest   protocol.Offset `json:"latest"`
	}{earliest, latest})
}
