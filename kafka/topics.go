package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// topicHandlers make, change and describe topics. Any node takes changes: it hands them to the
// cluster's metadata, and answers when they are committed, so there is no controller to look for.
// A change that is given up, because its time is over, may still happen (REQUEST_TIMED_OUT).
type topicHandlers struct{ *caller }

// createTopics makes topics, one after the other. A name that comes twice is refused, once, and
// neither is made: they may differ. The time-out is for each, so a request for many may take
// longer than that; a client that has left ends it.
func (h *topicHandlers) createTopics(req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	resp := answerTo[*kmsg.CreateTopicsResponse](req)
	named := map[string]int{}
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		// The rest would be made for nobody. The first one is made in any case: clients send a
		// change and leave, too.
		if i > 0 && h.gone() {
			break
		}
		t := &req.Topics[i]
		if named[t.Topic] > 1 {
			if slices.ContainsFunc(resp.Topics, func(o kmsg.CreateTopicsResponseTopic) bool { return o.Topic == t.Topic }) {
				continue
			}
			resp.Topics = append(resp.Topics, refusedTopic(t.Topic, errInvalidRequest, "the topic is named twice"))
			continue
		}
		resp.Topics = append(resp.Topics, h.createTopic(t, req.TimeoutMillis, req.ValidateOnly))
	}
	return resp
}

// refusedTopic is a topic that is not made. Numbers in it are -1, for not known.
func refusedTopic(name string, code int16, why string) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.ErrorCode, out.ErrorMessage, out.NumPartitions, out.ReplicationFactor = name, code, &why, -1, -1
	return out
}

// createTopic makes a topic, or finds out whether it could be made, as far as that can be told
// without making it: whether there are brokers enough shows only then. One that is there already
// is an error also if it is just like that, unlike with HTTP, because Kafka's clients rely on it
// to find out who was first. The answer has the settings of the new topic (KIP-525).
func (h *topicHandlers) createTopic(t *kmsg.CreateTopicsRequestTopic, timeoutMs int32, validateOnly bool) kmsg.CreateTopicsResponseTopic {
	spec := &protocol.TopicSpec{Name: t.Topic, Cluster: h.srv.o.Cluster}
	if code, why := h.srv.o.specOf(spec, t); code != errNone {
		return refusedTopic(t.Topic, code, why)
	}
	if _, err := h.srv.clusterID(); err != nil {
		return refusedTopic(t.Topic, topicError(err), err.Message)
	}
	b := h.view(protocol.RightAdmin)
	// Before it is made, for CreateTopic of the same settings is no error, and so that validating
	// finds it. Of two clients at the same time one hears it from CreateTopic (created).
	if info, err := b.Topic(spec.Cluster, spec.Name); err == nil {
		return refusedTopic(info.Name, errTopicAlreadyExists, "topic "+info.Name+" already exists")
	}
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.NumPartitions, out.ReplicationFactor = t.Topic, max(t.NumPartitions, 1), max(t.ReplicationFactor, 1)
	if validateOnly {
		return out
	}
	ctx, cancel := h.timeout(timeoutMs)
	defer cancel()
	info, created, err := b.CreateTopic(ctx, spec)
	switch {
	case err != nil:
		out.ErrorCode, out.ErrorMessage = topicSpecError(err)
		return out
	case !created:
		return refusedTopic(t.Topic, errTopicAlreadyExists, "topic "+t.Topic+" already exists")
	}
	out.TopicID, _ = h.srv.ids.id(info.ID)
	out.NumPartitions, out.ReplicationFactor = int32(len(info.Partitions)), int16(info.ReplicationFactor)
	for i := range topicConfigs {
		value := topicConfigs[i].get(info)
		o := kmsg.NewCreateTopicsResponseTopicConfig()
		o.Name, o.Value, o.Source = topicConfigs[i].name, &value, int8(kmsg.ConfigSourceDynamicTopicConfig)
		o.ReadOnly = topicConfigs[i].set == nil
		out.Configs = append(out.Configs, o)
	}
	return out
}

// specOf makes a spec of what a client asks for. A number of -1 is the cluster's default (KIP-464),
// and is left out of the spec. The bounds here are those of all clusters; the cluster has its own.
func (o *Options) specOf(spec *protocol.TopicSpec, t *kmsg.CreateTopicsRequestTopic) (code int16, why string) {
	switch {
	case !protocol.ValidName(t.Topic) || protocol.IsInternalTopic(t.Topic):
		return errInvalidTopic, "a topic has 1 to 200 of letters, digits, dot, underscore and dash, and does not begin with __"
	case len(t.ReplicaAssignment) > 0:
		if code, why := assign(spec, t); code != errNone {
			return code, why
		}
	case t.NumPartitions == 0 || t.NumPartitions < -1 || t.NumPartitions > 1024:
		return errInvalidPartitions, "a topic has 1 to 1024 partitions"
	case t.ReplicationFactor == 0 || t.ReplicationFactor < -1 || t.ReplicationFactor > 9:
		return errInvalidReplicationFactor, "a topic has 1 to 9 replicas, and not more than there are brokers"
	}
	if n := int(t.NumPartitions); n > 0 {
		spec.Partitions = &n
	}
	if n := int(t.ReplicationFactor); n > 0 {
		spec.ReplicationFactor = &n
	}
	for i := range t.Configs {
		if wrong := o.applyConfig(spec, t.Configs[i].Name, t.Configs[i].Value); wrong != "" {
			return errInvalidConfig, wrong
		}
	}
	return errNone, ""
}

// maxPartitions is how many a topic may have. It is checked here so that the code is that of the
// number, and before anything is allocated for that many.
const maxPartitions = 1024

// assign takes the brokers of a new topic's replicas, as a client has chosen them. Whether
// there are such brokers is found out when the topic is made, and that all partitions have as
// many replicas. The numbers of partitions and replicas follow from the choice, and have to be -1
// beside it, as with Kafka.
func assign(spec *protocol.TopicSpec, t *kmsg.CreateTopicsRequestTopic) (code int16, why string) {
	n := len(t.ReplicaAssignment)
	switch {
	case t.NumPartitions != -1 || t.ReplicationFactor != -1:
		return errInvalidRequest, "a topic has replicas that are chosen, or a number of partitions and of replicas, not both"
	case n > maxPartitions:
		return errInvalidPartitions, "a topic has 1 to 1024 partitions"
	}
	chosen := make([][]int, n)
	for i := range t.ReplicaAssignment {
		a := &t.ReplicaAssignment[i]
		if a.Partition < 0 || int(a.Partition) >= n || chosen[a.Partition] != nil {
			return errInvalidReplicaAssignment, "the partitions are not 0, 1, 2 and so on, each once"
		}
		chosen[a.Partition] = brokersOf(a.Replicas)
	}
	copies := len(chosen[0])
	if copies == 0 {
		return errInvalidReplicaAssignment, "a partition has no replicas"
	}
	spec.Partitions, spec.ReplicationFactor, spec.Assignment = &n, &copies, &chosen
	return errNone, ""
}

// brokersOf are ids of brokers. In a fleet, too, a client that chooses replicas has to name brokers,
// though the nodes that it sees are others.
func brokersOf(ids []int32) []int {
	brokers := make([]int, len(ids))
	for i, id := range ids {
		brokers[i] = int(id)
	}
	return brokers
}

// topicSpecError is the error of a topic that was not made, or not changed. The cluster has one
// code for what it does not allow, and names the field; Kafka has codes for two of these, and
// calls the others settings.
func topicSpecError(err *protocol.Error) (int16, *string) {
	code, text := adminError(err)
	if code == errInvalidConfig {
		switch err.Details["field"] {
		case "assignment":
			code = errInvalidReplicaAssignment
		case "replication_factor":
			code = errInvalidReplicationFactor
		}
	}
	return code, text
}

// deleteTopics deletes topics by their names, or from version 6 on by their ids (KIP-516). Whoever
// asks by an id is told the name only of a topic that he may know of.
func (h *topicHandlers) deleteTopics(req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
	resp := answerTo[*kmsg.DeleteTopicsResponse](req)
	topics := req.Topics
	// Below version 6 there are only names.
	for i := range req.TopicNames {
		topics = append(topics, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
	}
	for i := range topics {
		if i > 0 && h.gone() {
			break // nobody would know which are deleted
		}
		t := &topics[i]
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		name := ""
		if t.Topic != nil {
			name = *t.Topic
		} else if known, ok := h.srv.ids.name(h.srv, t.TopicID); ok {
			if name = known; h.who.SeesTopic(h.srv.o.Cluster, name) {
				out.Topic = &name
			}
		} else {
			out.ErrorCode = errUnknownTopicID
			resp.Topics = append(resp.Topics, out)
			continue
		}
		ctx, cancel := h.timeout(req.TimeoutMillis)
		switch {
		case protocol.IsInternalTopic(name) || !protocol.ValidName(name):
			out.ErrorCode = errInvalidTopic
		default:
			out.ErrorCode, out.ErrorMessage = adminError(h.view(protocol.RightAdmin).DeleteTopic(ctx, h.srv.o.Cluster, name))
		}
		cancel()
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// createPartitions adds partitions to topics (KIP-195), to each for itself.
func (h *topicHandlers) createPartitions(req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
	resp := answerTo[*kmsg.CreatePartitionsResponse](req)
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = t.Topic
		out.ErrorCode, out.ErrorMessage = h.addPartitions(t, req.TimeoutMillis, req.ValidateOnly)
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// addPartitions adds partitions to a topic. The count is that of all of them, and has to be more
// than there are: a client that repeats its request is told so, and knows that the first one has
// worked. The brokers that it chooses are those of the new ones only.
func (h *topicHandlers) addPartitions(t *kmsg.CreatePartitionsRequestTopic, timeoutMs int32, validateOnly bool) (int16, *string) {
	info, err := h.view(protocol.RightAdmin).Topic(h.srv.o.Cluster, t.Topic)
	if err != nil {
		return adminError(err)
	}
	refuse := func(code int16, why string) (int16, *string) { return code, &why }
	switch n := int(t.Count); {
	case protocol.IsInternalTopic(t.Topic):
		return refuse(errInvalidTopic, "the broker chooses the partitions of its own topics")
	case n <= len(info.Partitions):
		return refuse(errInvalidPartitions, "the topic has "+number(int64(len(info.Partitions)))+" partitions: it can only get more")
	case n > maxPartitions:
		return refuse(errInvalidPartitions, "a topic has 1 to 1024 partitions")
	case t.Assignment != nil && len(t.Assignment) != n-len(info.Partitions):
		return refuse(errInvalidReplicaAssignment, "replicas are chosen for all partitions that are added, or for none")
	case validateOnly:
		return errNone, nil
	default:
		spec := &protocol.TopicSpec{Name: t.Topic, Cluster: h.srv.o.Cluster, Partitions: &n}
		if t.Assignment != nil {
			chosen := make([][]int, len(t.Assignment))
			for i := range t.Assignment {
				chosen[i] = brokersOf(t.Assignment[i].Replicas)
			}
			spec.Assignment = &chosen
		}
		ctx, cancel := h.timeout(timeoutMs)
		defer cancel()
		_, err := h.view(protocol.RightAdmin).AlterTopic(ctx, spec)
		return topicSpecError(err)
	}
}

// deleteRecords removes records below offsets (KIP-107), partition by partition: one that cannot
// be does not keep the others.
func (h *topicHandlers) deleteRecords(req *kmsg.DeleteRecordsRequest) *kmsg.DeleteRecordsResponse {
	resp := answerTo[*kmsg.DeleteRecordsResponse](req)
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = t.Topic
		for j := range t.Partitions {
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			p.Partition = t.Partitions[j].Partition
			p.LowWatermark, p.ErrorCode = h.trim(t.Topic, &t.Partitions[j], req.TimeoutMillis)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// trim moves the start of a partition to an offset, or for -1 to its end, and returns where it is
// then: never lower than it was. It may be in the middle of a segment, whose file stays until it
// is over as a whole. A compacted topic is refused, as by Kafka: its records are removed by key.
func (h *topicHandlers) trim(topic string, p *kmsg.DeleteRecordsRequestTopicPartition, timeoutMs int32) (low int64, code int16) {
	switch {
	case protocol.IsInternalTopic(topic):
		return -1, errInvalidTopic
	case p.Offset < int64(protocol.AllRecords): // -1, which Kafka calls the high watermark
		return -1, errOffsetOutOfRange
	}
	ctx, cancel := h.timeout(timeoutMs)
	defer cancel()
	trimmed, err := h.view(protocol.RightAdmin).DeleteRecords(ctx, h.srv.o.Cluster, topic, []protocol.TrimRequest{{Partition: int(p.Partition), Before: protocol.Offset(p.Offset)}})
	switch {
	case err == nil: // one was asked for
		return int64(trimmed[0].Earliest), errNone
	case err.Code == protocol.CodeNotAllowed && err.Details["latest"] != nil:
		return -1, errOffsetOutOfRange
	case err.Code == protocol.CodeNotAllowed:
		return -1, errPolicyViolation
	}
	// It may pass: this request goes to leaders, and not to the controller.
	if code, _ = adminError(err); code == errNotController {
		code = errNotLeaderOrFollower
	}
	return -1, code
}
