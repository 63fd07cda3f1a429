package http

import (
	"math"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// postOffset commits a consumer's position, or the offsets given.
func postOffset(c *call) *protocol.Error {
	req := &protocol.CommitRequest{}
	err := c.bindBody(
		field{name: "consumer_id", required: true, set: integer(&req.ConsumerID, 1, maxID, atLeast)},
		field{name: "cluster", set: name(&req.Cluster)},
		field{name: "group", set: name(&req.Group)},
		field{name: "topic", set: name(&req.Topic)},
		field{name: "generation", set: optionalInteger(&req.Generation, 0, maxID, atLeast)},
		field{name: "force", set: boolean(&req.Force)},
		field{name: "offsets", set: offsetCommits(&req.Offsets)})
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
	reply, err := c.srv.b.Commit(req)
	if err != nil {
		return err
	}
	reply.Offsets = orEmpty(reply.Offsets)
	return c.sendJSON(fasthttp.StatusOK, reply)
}

// offsetCommits takes an array of {"topic","partition","offset","metadata"?}.
func offsetCommits(dst *[]protocol.OffsetCommit) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(fieldName, "an array")
		}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			var o protocol.OffsetCommit
			err := bindObject(&r, fieldName, []field{
				{name: "topic", set: name(&o.Topic)},
				{name: "partition", required: true, set: integer(&o.Partition, 0, math.MaxInt32, atLeast)},
				{name: "offset", required: true, set: integer(&o.Offset, 0, maxOffset, atLeast)},
				{name: "metadata", set: text(&o.Metadata)},
			})
			if err != nil {
				return inRecord(err, "offset", len(*dst))
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
	err := c.bindQuery(
		field{name: "group", required: true, set: name(&req.Group)},
		field{name: "topic", set: name(&req.Topic)},
		field{name: "cluster", set: name(&req.Cluster)})
	if err != nil {
		return err
	}
	rows, err := c.srv.b.Offsets(req)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, list("offsets", rows))
}
