package http

import (
	"math"
	"strconv"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// topicSettings are the fields that POST /topic and PATCH /topic/{topic} share.
func topicSettings(o *Options, spec *protocol.TopicSpec) []binding {
	const forEver = -1
	return []binding{
		{name: "cluster", set: setName(&spec.Cluster)},
		{name: "partitions", set: setOptionalInteger(&spec.Partitions, 1, maxPartitions, permitted)},
		{name: "replication_factor", set: setOptionalInteger(&spec.ReplicationFactor, 1, 9, permitted)},
		{name: "retention_ms", set: setOptionalInteger(&spec.RetentionMs, forEver, math.MaxInt64, permitted)},
		{name: "retention_bytes", set: setOptionalInteger(&spec.RetentionBytes, forEver, math.MaxInt64, permitted)},
		{name: "segment_bytes", set: setOptionalInteger(&spec.SegmentBytes, 1, math.MaxInt64, permitted)},
		{name: "cleanup_policy", set: setOneOf(&spec.CleanupPolicy, "delete", "compact")},
		{name: "delete_retention_ms", set: setOptionalInteger(&spec.DeleteRetentionMs, 0, math.MaxInt64, permitted)},
		{name: "max_record_bytes", set: setOptionalInteger(&spec.MaxRecordBytes, 1, int64(o.MaxRecordBytes), permitted)},
		{name: "restoring", set: setRestoring(&spec.Restoring)},
	}
}

func postTopic(c *call) *protocol.Error {
	spec := &protocol.TopicSpec{}
	fields := append(topicSettings(&c.srv.o, spec),
		binding{name: "name", required: true, set: setName(&spec.Name)}, binding{name: "start_offsets", set: setStarts(&spec.StartOffsets)})
	if err := c.bindBody(fields...); err != nil {
		return err
	}
	if protocol.IsInternalTopic(spec.Name) {
		return internalTopic(spec.Name)
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, created, err := c.b.CreateTopic(ctx, spec)
	if err != nil {
		return err
	}
	fillTopic(info)
	return c.sendCreated(created, info)
}

// patchTopic changes settings, or adds partitions.
func patchTopic(c *call) *protocol.Error {
	topic, err := c.nameParam("topic")
	if err != nil {
		return err
	}
	if protocol.IsInternalTopic(topic) {
		return internalTopic(topic)
	}
	spec := &protocol.TopicSpec{Name: topic}
	cluster, err := c.clusterQuery()
	if err != nil {
		return err
	}
	spec.Cluster = cluster
	if err := c.bindRequired(topicSettings(&c.srv.o, spec)); err != nil {
		return err
	}
	if cluster != "" && spec.Cluster != cluster {
		return invalid("cluster", "is %q in the body, but %q in the query", spec.Cluster, cluster)
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, err := c.b.AlterTopic(ctx, spec)
	if err != nil {
		return err
	}
	fillTopic(info)
	return c.sendJSON(fasthttp.StatusOK, info)
}

// postDeleteRecords removes the oldest records of partitions.
func postDeleteRecords(c *call) *protocol.Error {
	topic, err := c.nameParam("topic")
	if err != nil {
		return err
	}
	if protocol.IsInternalTopic(topic) {
		return internalTopic(topic)
	}
	cluster, err := c.clusterQuery()
	if err != nil {
		return err
	}
	var trims []protocol.TrimRequest
	if err := c.bindRequired([]binding{{name: "partitions", required: true, set: setTrims(&trims)}}); err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	trimmed, err := c.b.DeleteRecords(ctx, cluster, topic, trims)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, list("partitions", trimmed))
}

// setRestoring takes the id of the producer that restores a topic, or "" where that is
// done.
func setRestoring(dst **string) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		var id string
		if err := setText(&id)(fieldName, v); err != nil {
			return err
		}
		if id != "" {
			if err := checkID(fieldName, []byte(id)); err != nil {
				return err
			}
		}
		*dst = &id
		return nil
	}
}

// setStarts takes an array of offsets.
func setStarts(dst **[]int64) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(fieldName, "an array")
		}
		list := []int64{}
		*dst = &list
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			item, ok := r.Value()
			at, err := strconv.ParseInt(string(item.Raw), 10, 64)
			if !ok || err != nil || at < 0 || at > maxOffset || len(list) == maxPartitions {
				return invalid(fieldName, "must be at most %d offsets from 0 to %d", maxPartitions, int64(maxOffset))
			}
			list = append(list, at)
		}
		return nil
	}
}

// setTrims takes an array of {"partition","before"}, each partition once.
func setTrims(dst *[]protocol.TrimRequest) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(fieldName, "an array")
		}
		seen := map[int]bool{}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			var t protocol.TrimRequest
			err := bindObject(&r, fieldName, []binding{
				{name: "partition", required: true, set: setInteger(&t.Partition, 0, math.MaxInt32, atLeast)},
				{name: "before", required: true, set: setInteger(&t.Before, int64(protocol.AllRecords), maxOffset, atLeast)},
			})
			switch {
			case err != nil:
				return inRecord(err, "partition", len(*dst))
			case seen[t.Partition]:
				return invalid(fieldName, "name partition %d twice", t.Partition)
			case len(*dst) == maxPartitions:
				return invalid(fieldName, "are more than the %d that a topic can have", maxPartitions)
			}
			seen[t.Partition] = true
			*dst = append(*dst, t)
		}
		if len(*dst) == 0 {
			return invalid(fieldName, "must not be empty")
		}
		return nil
	}
}

// maxPartitions is how many partitions a topic can have.
const maxPartitions = 1024

// listTopics returns the topics that a list or a view is asked for.
func listTopics(c *call, p *page) ([]protocol.TopicInfo, *protocol.Error) {
	cluster, internal, err := c.listQuery(p)
	if err != nil {
		return nil, err
	}
	return c.b.Topics(cluster, internal)
}

func getTopics(c *call) *protocol.Error {
	var p page
	topics, err := listTopics(c, &p)
	if err != nil {
		return err
	}
	for i := range topics {
		fillTopic(&topics[i])
	}
	return sendList(c, &p, "topics", topics, func(t *protocol.TopicInfo) string { return rowKey(t.Cluster, t.Name) })
}

// fillTopic makes missing lists empty, so that they are rendered as [].
func fillTopic(t *protocol.TopicInfo) {
	t.Partitions = orEmpty(t.Partitions)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		p.Replicas, p.InSync = orEmpty(p.Replicas), orEmpty(p.InSync)
	}
}

func getTopic(c *call) *protocol.Error {
	cluster, topic, err := c.topicOf()
	if err != nil {
		return err
	}
	info, err := c.b.Topic(cluster, topic)
	if err != nil {
		return err
	}
	fillTopic(info)
	return c.sendJSON(fasthttp.StatusOK, info)
}

func deleteTopic(c *call) *protocol.Error {
	if topic := c.param("topic"); protocol.IsInternalTopic(topic) && protocol.ValidName(topic) {
		return internalTopic(topic)
	}
	cluster, topic, err := c.topicOf()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.DeleteTopic(ctx, cluster, topic); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}
