package http

import (
	"math"
	"strconv"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// postOffset commits a consumer's position, or the offsets in the request.
func postOffset(c *call) *protocol.Error {
	req := &protocol.CommitRequest{}
	if err := c.bindQuery(); err != nil {
		return err
	}
	most := c.srv.o.MaxBatchRecords
	set := func(i int, name string, v value) *protocol.Error { return setCommitField(req, most, i, name, v) }
	if err := c.bindRequiredBy(commitFields, set); err != nil {
		return err
	}
	if err := nameOffsets(req); err != nil {
		return err
	}
	reply, err := c.b.Commit(req)
	if err != nil {
		return err
	}
	reply.Offsets = orEmpty(reply.Offsets)
	if len(reply.Moved) > 0 {
		return c.sendJSON(fasthttp.StatusMultiStatus, reply)
	}
	c.send(fasthttp.StatusOK, appendCommitted(c.out(), reply))
	return nil
}

// commitFields are the fields of a commit, which setCommitField sets.
var commitFields = []binding{
	{name: "consumer_id", required: true},
	{name: "cluster"},
	{name: "group"},
	{name: "topic"},
	{name: "generation"},
	{name: "force"},
	{name: "offsets"},
}

// setCommitField sets a field of a commit, of at most so many offsets.
func setCommitField(req *protocol.CommitRequest, most, i int, name string, v value) *protocol.Error {
	switch commitFields[i].name {
	case "consumer_id":
		return setInteger(&req.ConsumerID, 1, maxID, atLeast)(name, v)
	case "cluster":
		return setName(&req.Cluster)(name, v)
	case "group":
		return setName(&req.Group)(name, v)
	case "topic":
		return setName(&req.Topic)(name, v)
	case "generation":
		return setOptionalInteger(&req.Generation, 0, maxID, atLeast)(name, v)
	case "force":
		return setBool(&req.Force)(name, v)
	}
	return setOffsetCommits(most, &req.Offsets)(name, v)
}

// offsetFields are those of an element of offsets, which setOffsetField sets.
var offsetFields = []binding{{name: "topic"}, {name: "partition", required: true}, {name: "offset", required: true}, {name: "metadata"}}

func setOffsetField(o *protocol.OffsetCommit, i int, name string, v value) *protocol.Error {
	switch offsetFields[i].name {
	case "topic":
		return setName(&o.Topic)(name, v)
	case "partition":
		return setInteger(&o.Partition, 0, math.MaxInt32, atLeast)(name, v)
	case "offset":
		return setInteger(&o.Offset, 0, maxOffset, atLeast)(name, v)
	}
	return setText(&o.Metadata)(name, v)
}

// nameOffsets gives each offset its topic. No partition may be there twice.
func nameOffsets(req *protocol.CommitRequest) *protocol.Error {
	var seen map[protocol.TopicPartition]bool
	if len(req.Offsets) > 1 {
		seen = make(map[protocol.TopicPartition]bool, len(req.Offsets))
	}
	for i := range req.Offsets {
		o := &req.Offsets[i]
		if o.Topic == "" {
			o.Topic = req.Topic
		}
		if o.Topic == "" {
			return inRecord(missing("topic"), "offset", i)
		}
		if seen == nil {
			continue
		}
		at := protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}
		if seen[at] {
			return inRecord(invalid("offsets", "name partition %d of %s twice", o.Partition, o.Topic), "offset", i)
		}
		seen[at] = true
	}
	return nil
}

// appendCommitted appends the answer to a commit, as encoding/json would write it.
func appendCommitted(dst []byte, r *protocol.CommitReply) []byte {
	dst = append(dst, `{"group":`...)
	dst = protocol.AppendJSONString(dst, r.Group)
	dst = append(dst, `,"consumer_id":`...)
	dst = strconv.AppendInt(dst, int64(r.ConsumerID), 10)
	dst = append(dst, `,"offsets":[`...)
	for i := range r.Offsets {
		o := &r.Offsets[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"topic":`...)
		dst = protocol.AppendJSONString(dst, o.Topic)
		dst = append(dst, `,"partition":`...)
		dst = strconv.AppendInt(dst, int64(o.Partition), 10)
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, int64(o.Offset), 10)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
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
			set := func(i int, name string, v value) *protocol.Error { return setOffsetField(&o, i, name, v) }
			err := bindObjectBy(&r, fieldName, offsetFields, set)
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
