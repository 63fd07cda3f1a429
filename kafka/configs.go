package kafka

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// topicConfig is a setting of a topic under Kafka's name. What can be set can be shown and reset,
// too; what has no effect is shown as what the server does, whatever was sent.
type topicConfig struct {
	name string
	kind kmsg.ConfigType
	// set puts a value into a spec and reports whether it is one; nil: the setting is
	// taken and has no effect, because Ottla has no such choice.
	set func(s *protocol.TopicSpec, value string) bool
	// get is the setting of a topic.
	get func(t *protocol.TopicInfo) string
	// reset is the setting if it can be set.
	reset protocol.TopicReset
}

// topicConfigs are all settings that topics of Kafka have. Those that Ottla does not
// have show what it does, and are taken with any value: tools send settings of Kafka's with each
// topic, and refusing them would keep those from working. What Kafka does not have either is
// refused, because it is a slip of the pen.
var topicConfigs = []topicConfig{
	{"cleanup.policy", kmsg.ConfigTypeList, func(s *protocol.TopicSpec, v string) bool {
		s.CleanupPolicy = &v
		return v == "delete" || v == "compact"
	}, func(t *protocol.TopicInfo) string { return t.CleanupPolicy }, protocol.ResetCleanupPolicy},
	{"retention.ms", kmsg.ConfigTypeLong, setInt64(func(s *protocol.TopicSpec, n *int64) { s.RetentionMs = n }, -1), func(t *protocol.TopicInfo) string { return number(t.RetentionMs) }, protocol.ResetRetentionMs},
	{"retention.bytes", kmsg.ConfigTypeLong, setInt64(func(s *protocol.TopicSpec, n *int64) { s.RetentionBytes = n }, -1), func(t *protocol.TopicInfo) string { return number(t.RetentionBytes) }, protocol.ResetRetentionBytes},
	{"segment.bytes", kmsg.ConfigTypeInt, setInt64(func(s *protocol.TopicSpec, n *int64) { s.SegmentBytes = n }, 1), func(t *protocol.TopicInfo) string { return number(t.SegmentBytes) }, protocol.ResetSegmentBytes},
	{"delete.retention.ms", kmsg.ConfigTypeLong, setInt64(func(s *protocol.TopicSpec, n *int64) { s.DeleteRetentionMs = n }, 0), func(t *protocol.TopicInfo) string { return number(t.DeleteRetentionMs) }, protocol.ResetDeleteRetentionMs},
	{"max.message.bytes", kmsg.ConfigTypeInt, setInt64(func(s *protocol.TopicSpec, n *int64) {
		bytes := int(min(*n, protocol.MaxTopicRecordBytes))
		s.MaxRecordBytes = &bytes
	}, 1), func(t *protocol.TopicInfo) string { return strconv.Itoa(t.MaxRecordBytes) }, protocol.ResetMaxRecordBytes},
	{"compression.gzip.level", kmsg.ConfigTypeInt, nil, always("-1"), 0},
	{"compression.lz4.level", kmsg.ConfigTypeInt, nil, always("9"), 0},
	{"compression.type", kmsg.ConfigTypeString, nil, always("uncompressed"), 0},
	{"compression.zstd.level", kmsg.ConfigTypeInt, nil, always("3"), 0},
	{"file.delete.delay.ms", kmsg.ConfigTypeLong, nil, always("0"), 0},
	{"flush.messages", kmsg.ConfigTypeLong, nil, always("1"), 0},
	{"flush.ms", kmsg.ConfigTypeLong, nil, always("0"), 0},
	{"follower.replication.throttled.replicas", kmsg.ConfigTypeList, nil, always(""), 0},
	{"index.interval.bytes", kmsg.ConfigTypeInt, nil, always("4096"), 0},
	{"leader.replication.throttled.replicas", kmsg.ConfigTypeList, nil, always(""), 0},
	{"local.retention.bytes", kmsg.ConfigTypeLong, nil, always("-2"), 0},
	{"local.retention.ms", kmsg.ConfigTypeLong, nil, always("-2"), 0},
	{"max.compaction.lag.ms", kmsg.ConfigTypeLong, nil, always("9223372036854775807"), 0},
	{"message.downconversion.enable", kmsg.ConfigTypeBoolean, nil, always("false"), 0},
	{"message.timestamp.after.max.ms", kmsg.ConfigTypeLong, nil, always("9223372036854775807"), 0},
	{"message.timestamp.before.max.ms", kmsg.ConfigTypeLong, nil, always("9223372036854775807"), 0},
	{"message.timestamp.difference.max.ms", kmsg.ConfigTypeLong, nil, always("9223372036854775807"), 0},
	{"message.timestamp.type", kmsg.ConfigTypeString, nil, always("CreateTime"), 0},
	{"min.cleanable.dirty.ratio", kmsg.ConfigTypeDouble, nil, always("0.5"), 0},
	{"min.compaction.lag.ms", kmsg.ConfigTypeLong, nil, always("0"), 0},
	{"min.insync.replicas", kmsg.ConfigTypeInt, nil, func(t *protocol.TopicInfo) string { return strconv.Itoa(t.ReplicationFactor/2 + 1) }, 0},
	{"preallocate", kmsg.ConfigTypeBoolean, nil, always("false"), 0},
	{"remote.storage.enable", kmsg.ConfigTypeBoolean, nil, always("false"), 0},
	{"segment.index.bytes", kmsg.ConfigTypeInt, nil, always("10485760"), 0},
	{"segment.jitter.ms", kmsg.ConfigTypeLong, nil, always("0"), 0},
	{"segment.ms", kmsg.ConfigTypeLong, nil, always("604800000"), 0},
	{"unclean.leader.election.enable", kmsg.ConfigTypeBoolean, nil, always("false"), 0},
}

// topicConfigTexts say what the settings do that can be set, as tools and consoles show them to
// people; those of the others all say that they have no effect.
var topicConfigTexts = map[string]string{
	"cleanup.policy":      "What becomes of old records: delete removes segments by age and size, compact keeps the newest record of each key. Not both.",
	"retention.ms":        "How long records are kept at least, in milliseconds; -1: for ever.",
	"retention.bytes":     "How large a partition's log may become, in bytes, before its oldest segments are removed; -1: unlimited.",
	"segment.bytes":       "Size of a segment, in bytes, after which another one is begun.",
	"delete.retention.ms": "How long a compacted topic keeps the records that delete a key, in milliseconds.",
	"max.message.bytes":   "Bytes of one record's key, value and headers, up to message.max.bytes of the broker.",
}

func always(value string) func(*protocol.TopicInfo) string {
	return func(*protocol.TopicInfo) string { return value }
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// setInt64 makes a set of a whole number that is not below the least. Kafka has -1 for no limit; other
// negative numbers are slips.
func setInt64(put func(*protocol.TopicSpec, *int64), least int64) func(*protocol.TopicSpec, string) bool {
	return func(s *protocol.TopicSpec, value string) bool {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < least {
			return false
		}
		put(s, &n)
		return true
	}
}

// applyConfig puts a setting into a spec. It returns what is wrong with it, "" if
// nothing is. Only what a spec cannot say is found here; ranges are those of the cluster, which
// refuses what is beyond them when the topic is made or changed.
func (o *Options) applyConfig(s *protocol.TopicSpec, name string, value *string) (wrong string) {
	i := slices.IndexFunc(topicConfigs, func(c topicConfig) bool { return c.name == name })
	switch {
	case i < 0:
		return "topics have no setting " + name
	case value == nil:
		return "setting " + name + " has no value"
	case topicConfigs[i].set != nil && !topicConfigs[i].set(s, *value):
		return *value + " is no value of " + name
	case s.MaxRecordBytes != nil && *s.MaxRecordBytes > o.MaxRecordBytes:
		return "max.message.bytes is beyond the limit of this server, which is " + strconv.Itoa(o.MaxRecordBytes)
	}
	return ""
}

// changeConfig is applyConfig for one change, which may also be that the setting becomes
// the default again. It returns what is wrong with it. Appending (KIP-339) would only be of use
// for a list, and the one list that has an effect, cleanup.policy, has one entry here.
func (o *Options) changeConfig(s *protocol.TopicSpec, c *kmsg.IncrementalAlterConfigsRequestResourceConfig) (wrong string) {
	switch c.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		return o.applyConfig(s, c.Name, c.Value)
	case kmsg.IncrementalAlterConfigOpDelete:
		i := slices.IndexFunc(topicConfigs, func(t topicConfig) bool { return t.name == c.Name })
		if i < 0 {
			return "topics have no setting " + c.Name
		}
		s.Reset |= topicConfigs[i].reset
		return ""
	}
	return "a setting can be set or deleted; it cannot be appended to or subtracted from"
}

// describeConfigs lists the settings of topics and of the brokers: those that are named, or all if
// none is (null or an empty list, as with Kafka). All brokers have the same, whichever is asked
// for, as they are one server's.
func (h *topicHandlers) describeConfigs(req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	resp := answerTo[*kmsg.DescribeConfigsResponse](req)
	for i := range req.Resources {
		r := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName, out.Configs = r.ResourceType, r.ResourceName, []kmsg.DescribeConfigsResponseResourceConfig{}
		switch r.ResourceType {
		case kmsg.ConfigResourceTypeTopic:
			h.describeTopicConfigs(&out, r.ConfigNames, req.IncludeDocumentation)
		case kmsg.ConfigResourceTypeBroker:
			h.srv.o.describeBrokerConfigs(&out, r.ConfigNames, req.IncludeDocumentation)
		default:
			text := "only topics and brokers have settings"
			out.ErrorCode, out.ErrorMessage = errInvalidRequest, &text
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// describeBrokerConfigs lists the limits that clients may want to know, under the names of Kafka's
// that mean about the same; they are set in the server's own configuration, and so are read-only.
// Clients that fit their batches to message.max.bytes are never refused for their size.
func (o *Options) describeBrokerConfigs(out *kmsg.DescribeConfigsResponseResource, names []string, documented bool) {
	for _, c := range []struct {
		name  string
		value int64
		text  string
	}{
		{"connections.max.idle.ms", o.IdleTimeout.Milliseconds(), "Longest pause between two requests on a connection, in milliseconds."},
		{"max.connections", int64(o.MaxConnections), "Open connections of Kafka clients: limits.connections of the server."},
		{"message.max.bytes", int64(o.MaxRecordBytes), "Bytes of one record's key, value and headers: limits.record_bytes of the server."},
		{"socket.request.max.bytes", int64(o.MaxRequestBytes), "Bytes of one request, and of its batches decompressed: limits.body_bytes of the server."},
	} {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		value := number(c.value)
		row := kmsg.NewDescribeConfigsResponseResourceConfig()
		row.Name, row.Value, row.ConfigType = c.name, &value, kmsg.ConfigTypeLong
		row.ReadOnly, row.Source = true, kmsg.ConfigSourceStaticBrokerConfig
		if documented {
			row.Documentation = &c.text
		}
		out.Configs = append(out.Configs, row)
	}
}

// describeTopicConfigs lists a topic's settings. Those that can be set are shown as set for the topic,
// also where the value is the cluster's default: which of the two it is, is not kept apart. Tools
// that copy topics take those that are no defaults, and so all of these. Texts are asked for from
// version 3 on (KIP-569).
func (h *topicHandlers) describeTopicConfigs(out *kmsg.DescribeConfigsResponseResource, names []string, documented bool) {
	info, err := h.seeing(out.ResourceName).Topic(h.srv.o.Cluster, out.ResourceName)
	if err != nil {
		out.ErrorCode, out.ErrorMessage = adminError(err)
		return
	}
	for i := range topicConfigs {
		from := &topicConfigs[i]
		if len(names) > 0 && !slices.Contains(names, from.name) {
			continue
		}
		value := from.get(info)
		o := kmsg.NewDescribeConfigsResponseResourceConfig()
		o.Name, o.Value, o.ConfigType = from.name, &value, from.kind
		o.ReadOnly = from.set == nil
		o.Source, o.IsDefault = kmsg.ConfigSourceDynamicTopicConfig, false
		if o.ReadOnly {
			o.Source, o.IsDefault = kmsg.ConfigSourceDefaultConfig, true
		}
		if documented {
			text := topicConfigTexts[from.name]
			if text == "" {
				text = "It has no effect: it is taken because clients send it, and shown as the server does it."
			}
			o.Documentation = &text
		}
		out.Configs = append(out.Configs, o)
	}
}

// incrementalAlterConfigs changes settings of topics one by one (KIP-339): what is not named stays.
// A topic's changes are made together or not at all.
func (h *topicHandlers) incrementalAlterConfigs(req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
	resp := answerTo[*kmsg.IncrementalAlterConfigsResponse](req)
	for i := range req.Resources {
		r := &req.Resources[i]
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		spec := &protocol.TopicSpec{Name: r.ResourceName, Cluster: h.srv.o.Cluster}
		wrong := ""
		for j := range r.Configs {
			if w := h.srv.o.changeConfig(spec, &r.Configs[j]); w != "" {
				wrong = w
			}
		}
		out.ErrorCode, out.ErrorMessage = h.alterTopic(r.ResourceType, spec, wrong, req.ValidateOnly)
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// alterConfigs changes settings of topics; those that are not named become the default
// again. That is what the older request has always meant, and why Kafka has a newer one.
func (h *topicHandlers) alterConfigs(req *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse {
	resp := answerTo[*kmsg.AlterConfigsResponse](req)
	for i := range req.Resources {
		r := &req.Resources[i]
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		spec := &protocol.TopicSpec{Name: r.ResourceName, Cluster: h.srv.o.Cluster}
		wrong := ""
		// What is named as well keeps the value that is sent: resets come first (catalog).
		for j := range topicConfigs {
			spec.Reset |= topicConfigs[j].reset
		}
		for j := range r.Configs {
			if w := h.srv.o.applyConfig(spec, r.Configs[j].Name, r.Configs[j].Value); w != "" {
				wrong = w
			}
		}
		out.ErrorCode, out.ErrorMessage = h.alterTopic(r.ResourceType, spec, wrong, req.ValidateOnly)
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// alterTopic changes a topic's settings in one step. A change that is only to be validated, or has no
// effect, asks whether there is such a topic, and whether the client may change it; ranges of
// values are not looked at then. The request has no time-out of its own, so it is the server's.
func (h *topicHandlers) alterTopic(kind kmsg.ConfigResourceType, spec *protocol.TopicSpec, wrong string, validateOnly bool) (int16, *string) {
	if kind != kmsg.ConfigResourceTypeTopic {
		text := "only topics have settings that can be changed"
		return errInvalidRequest, &text
	}
	if wrong != "" {
		return errInvalidConfig, &wrong
	}
	if !protocol.ValidName(spec.Name) || protocol.IsInternalTopic(spec.Name) {
		return errInvalidTopic, nil
	}
	if validateOnly || *spec == (protocol.TopicSpec{Name: spec.Name, Cluster: spec.Cluster}) {
		_, err := h.view(protocol.RightAdmin).Topic(spec.Cluster, spec.Name)
		return adminError(err)
	}
	ctx, cancel := h.timeout(0)
	defer cancel()
	_, err := h.view(protocol.RightAdmin).AlterTopic(ctx, spec)
	return adminError(err)
}
