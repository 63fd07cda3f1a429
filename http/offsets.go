package http

import (
	"math"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// postOffset commits a consumer's position, or the offsets in the request.
func postOffset(c *call) *protocol.Error {
	req := &protocol.CommitRequest{}
	err := c.bindBody(
		binding{name: "consumer_id", required: true, set: setInteger(&req.ConsumerID, 1, maxID, atLeast)},
		binding{name: "cluster", set: setName(&req.Cluster)},
		binding{name: "group", set: setName(&req.Group)},
		binding{name: "topic", set: setName(&req.Topic)},
		binding{name: "generation", set: setOptionalInteger(&req.Generation, 0, maxID, atLeast)},
		binding{name: "force", set: setBool(&req.Force)},
		binding{name: "offsets", set: setOffsetCommits(c.srv.o.MaxBatchRecords, &req.Offsets)})
	if err != nil {
		return err
	}
	seen := map[protocol.TopicPartition]bool{}
	for i := range req.Offsets {
		o := &req.Offsets[i]
		if o.Topic == "" {
			o.Topic = req.Topic
		}
		if o.Topic == "" {
			return inRecord(missing("topic"), "offset", i)
		}
		at := protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}
		if seen[at] {
			return inRecord(invalid("offsets", "name partition %d of %s twice", o.Partition, o.Topic), "offset", i)
		}
		seen[at] = true
	}
	reply, err := c.b.Commit(req)
	if err != nil {
		return err
	}
	reply.Offsets = orEmpty(reply.Offsets)
	if len(reply.Moved) > 0 {
		return c.sendJSON(fasthttp.StatusMultiStatus, reply)
	}
	return c.sendJSON(fasthttp.StatusOK, reply)
}

// setOffsetCommits takes an array of {"topic","partition","offset","metadata"?}, at most
// so many.
func setOffsetCommits(most int, dst *[]protocol.OffsetCommit) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(fieldName, "an array")
		}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			var o protocol.OffsetCommit
			err := bindObject(&r, fieldName, []binding{
				{name: "topic", set: setName(&o.Topic)},
				{name: "partition", required: true, set: setInteger(&o.Partition, 0, math.MaxInt32, atLeast)},
				{name: "offset", required: true, set: setInteger(&o.Offset, 0, maxOffset, atLeast)},
				{name: "metadata", set: setText(&o.Metadata)},
			})
			if err != nil {
				return inRecord(err, "offset", len(*dst))
			}
			if len(*dst) == most {
				return protocol.Errorf(protocol.CodeLimitExceeded, "%s has more than %d elements: commit the rest with another request", fieldName, most).
					With("field", fieldName).With("limit", most)
			}
			*dst = append(*dst, o)
		}
		if len(*dst) == 0 {
			return invalid(fieldName, "must not be empty")
		}
		return nil
	}
}

// getOffset lists a group's offsets, of one topic or of all.
func getOffset(c *call) *protocol.Error {
	req := &protocol.OffsetsRequest{}
	var p page
	err := c.bindQuery(p.bindings(
		binding{name: "group", required: true, set: setName(&req.Group)},
		binding{name: "topic", set: setName(&req.Topic)},
		binding{name: "cluster", set: setName(&req.Cluster)})...)
	if err != nil {
		return err
	}
	rows, err := c.b.Offsets(req)
	if err != nil {
		return err
	}
	return sendList(c, &p, "offsets", rows, func(r *protocol.OffsetInfo) string { return rowKey(r.Topic, numberKey(r.Partition)) })
}
