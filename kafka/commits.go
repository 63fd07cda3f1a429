package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// commitPart is a partition of a commit, and where its code goes: into the answer, which is made
// before the commit.
type commitPart struct {
	commit protocol.OffsetCommit
	code   *int16
}

// offsetCommit commits offsets, those of partitions that exist. These are committed together, or
// not at all, and so have one code. It is answered when a majority has them on disk.
//
// A topic that was deleted has UNKNOWN_TOPIC_OR_PARTITION, and does not keep the others from being
// committed: else a consumer of many topics could not commit until it has noticed. An offset is
// not compared with the partition's end, as with Kafka: the client may know of a newer one than
// this node. The retention time of versions below 5 is not looked at: all groups have the
// server's.
func (h *groupHandlers) offsetCommit(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := answerTo[*kmsg.OffsetCommitResponse](req)
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	var parts []commitPart
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		topic, code := h.readable(t.Topic, [16]byte{}, false)
		for j := range t.Partitions {
			p, o := &t.Partitions[j], &out.Partitions[j]
			o.Partition, o.ErrorCode = p.Partition, code
			switch {
			case code != errNone:
			case p.Partition < 0 || int(p.Partition) >= topic.Partitions:
				o.ErrorCode = errUnknownTopicOrPartition
			default:
				parts = append(parts, commitPart{protocol.OffsetCommit{
					Topic: t.Topic, Partition: int(p.Partition), Offset: protocol.Offset(p.Offset), Metadata: nullable(p.Metadata),
				}, &o.ErrorCode})
			}
		}
	}
	code := errNone
	switch {
	case !protocol.ValidName(req.Group):
		code = errInvalidGroupID
	case len(parts) > 0:
		code = h.commit(req, parts)
	}
	for _, p := range parts {
		*p.code = code
	}
	return resp
}

// commit asks the group to commit. Who commits without being a member, by assigning partitions to
// itself, sends no id and generation -1, which is taken while the group has no members. Where
// nobody knows what became of it the code is REQUEST_TIMED_OUT: the client commits again, which
// does no harm.
func (h *groupHandlers) commit(req *kmsg.OffsetCommitRequest, parts []commitPart) int16 {
	offsets := make([]protocol.OffsetCommit, len(parts))
	for i := range parts {
		offsets[i] = parts[i].commit
	}
	code, err := h.view(protocol.RightRead).CommitClassic(h.srv.o.Cluster, req.Group,
		protocol.ClassicMember{Member: req.MemberID, Instance: nullable(req.InstanceID), Generation: req.Generation}, offsets)
	switch {
	case err == nil:
		return code
	case err.Outcome == protocol.OutcomeUnknown:
		return errRequestTimedOut
	// Deleted meanwhile. The others were not committed, and are when the client asks again.
	case err.Code == protocol.CodeTopicNotFound, err.Code == protocol.CodeUnknownPartition:
		return errUnknownTopicOrPartition
	}
	return memberError(err)
}

// offsetFetch reads committed offsets: of the partitions that are named, or of all. A
// group that is not known has none, which is no error: each new group begins so. From version 8
// on there are several groups in a request (KIP-709); those below are answered as if there was
// one. That offsets be stable (version 7, KIP-447) is always so, without transactions.
func (h *groupHandlers) offsetFetch(req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := answerTo[*kmsg.OffsetFetchResponse](req)
	if req.Version >= 8 {
		for i := range req.Groups {
			resp.Groups = append(resp.Groups, h.groupOffsets(&req.Groups[i]))
		}
		return resp
	}
	asked := kmsg.OffsetFetchRequestGroup{Group: req.Group}
	if req.Topics != nil {
		asked.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for i := range req.Topics {
		asked.Topics = append(asked.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: req.Topics[i].Topic, Partitions: req.Topics[i].Partitions})
	}
	got := h.groupOffsets(&asked)
	resp.ErrorCode = got.ErrorCode
	resp.Topics = []kmsg.OffsetFetchResponseTopic{}
	for i := range got.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = got.Topics[i].Topic
		for j := range got.Topics[i].Partitions {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			from := &got.Topics[i].Partitions[j]
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = from.Partition, from.Offset, from.LeaderEpoch, from.Metadata, from.ErrorCode
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// groupOffsets reads the offsets of one group. Versions below 2 have no code for a group, so each
// partition has it as well: clients must not take -1 beside an error for "none", upon which they
// would begin where auto.offset.reset says.
func (h *groupHandlers) groupOffsets(req *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group, out.Topics = req.Group, []kmsg.OffsetFetchResponseGroupTopic{}
	rows, err := h.view(protocol.RightRead).Offsets(&protocol.OffsetsRequest{Cluster: h.srv.o.Cluster, Group: req.Group})
	if err != nil && err.Code != protocol.CodeGroupNotFound {
		out.ErrorCode = groupError(err)
	}
	at := map[protocol.TopicPartition]*protocol.OffsetInfo{}
	for i := range rows {
		if rows[i].Committed != nil {
			at[protocol.TopicPartition{Topic: rows[i].Topic, Partition: rows[i].Partition}] = &rows[i]
		}
	}
	if req.Topics == nil { // all: rows are in the order of topics
		for i := range rows {
			if rows[i].Committed == nil {
				continue
			}
			if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != rows[i].Topic {
				t := kmsg.NewOffsetFetchResponseGroupTopic()
				t.Topic = rows[i].Topic
				out.Topics = append(out.Topics, t)
			}
			t := &out.Topics[len(out.Topics)-1]
			t.Partitions = append(t.Partitions, committedAt(int32(rows[i].Partition), &rows[i], errNone))
		}
		return out
	}
	for i := range req.Topics {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic = req.Topics[i].Topic
		for _, p := range req.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, committedAt(p, at[protocol.TopicPartition{Topic: t.Topic, Partition: int(p)}], out.ErrorCode))
		}
		out.Topics = append(out.Topics, t)
	}
	return out
}

// committedAt is the offset of a partition; -1 where there is none, with metadata that is empty and
// not null. The leader epoch of a commit is not kept.
func committedAt(partition int32, row *protocol.OffsetInfo, code int16) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = partition, -1, -1, new(string), code
	if row != nil {
		p.Offset, p.Metadata = int64(*row.Committed), &row.Metadata
	}
	return p
}

// offsetDelete removes committed offsets (KIP-496). It does so while the group has no members only,
// so all partitions have the same code: Kafka would do it for topics that no member reads.
func (h *groupHandlers) offsetDelete(req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := answerTo[*kmsg.OffsetDeleteResponse](req)
	var partitions []protocol.TopicPartition
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			partitions = append(partitions, protocol.TopicPartition{Topic: req.Topics[i].Topic, Partition: int(req.Topics[i].Partitions[j].Partition)})
		}
	}
	code, err := h.view(protocol.RightAdmin).DropOffsets(h.srv.o.Cluster, req.Group, partitions)
	if err != nil {
		resp.ErrorCode = groupError(err)
		return resp
	}
	for i := range req.Topics {
		t := kmsg.NewOffsetDeleteResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewOffsetDeleteResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
