package kafka

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// What ListOffsets may ask for instead of a time: the greatest timestamp from version 7 on
// (KIP-734), the earliest local offset from version 8 on (KIP-405). Other negative numbers are
// of logs in another store, of which there is none: the offset is -1, and no error.
const (
	latestOffset   = -1
	earliestOffset = -2
	maxTimeOffset  = -3
	earliestLocal  = -4 // of the log that is not in another store: all of it
)

// listOffsets finds offsets by time, and the first and the last ones. The leader epoch is -1,
// for not known. The isolation level does not matter, as nothing is ever aborted. Each partition
// has a code: what may pass is NOT_LEADER_OR_FOLLOWER, as everywhere with records. Any node
// answers, whoever leads.
func (h *recordHandlers) listOffsets(req *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	resp := answerTo[*kmsg.ListOffsetsResponse](req)
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		topic, code := h.readable(t.Topic, [16]byte{}, false)
		for j := range t.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.ErrorCode, p.Offset, p.Timestamp, p.LeaderEpoch = t.Partitions[j].Partition, code, -1, -1, -1
			if code == errNone {
				p.Offset, p.Timestamp, p.ErrorCode = h.offsetAt(topic, int(p.Partition), t.Partitions[j].Timestamp)
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// offsetAt is the offset that is meant, with the time of its record where a time was
// asked for; -1 where there is none. A time finds the first record in the log that is not older.
// Records need not be in the order of their times, so older ones may stand behind it.
func (h *recordHandlers) offsetAt(t *protocol.Topic, partition int, at int64) (offset, timestamp int64, code int16) {
	if partition < 0 || partition >= t.Partitions {
		return -1, -1, errUnknownTopicOrPartition
	}
	b := h.view(protocol.RightRead)
	if at < 0 {
		earliest, latest, err := b.PartitionOffsets(t, partition)
		switch {
		case err != nil:
			return -1, -1, topicError(err)
		case at == latestOffset:
			return int64(latest), -1, errNone
		case at == earliestOffset, at == earliestLocal:
			return int64(earliest), -1, errNone
		case at == maxTimeOffset:
			return h.greatestTime(t, partition, latest)
		}
		return -1, -1, errNone
	}
	reply, err := h.readNow(&protocol.FetchRequest{Topic: t, Partition: partition, Timestamp: &at, MaxRecords: 1, MaxBytes: 1})
	switch {
	case err != nil:
		return -1, -1, topicError(err)
	case len(reply.Records) == 0:
		return -1, -1, errNone
	}
	return int64(reply.Records[0].Offset), reply.Records[0].Timestamp, errNone
}

// greatestTime is the first record with the greatest timestamp. It asks for times at which
// there is still a record, as a binary search does, so that the indexes answer it; mostly
// that of the last record is the greatest, and the next question is the last one. Else there are
// about as many questions as the distance in milliseconds has bits, twice. Records that come
// meanwhile may be found or not.
func (h *recordHandlers) greatestTime(t *protocol.Topic, partition int, latest protocol.Offset) (offset, timestamp int64, code int16) {
	read := func(req protocol.FetchRequest) (*protocol.Record, *protocol.Error) {
		req.Topic, req.Partition, req.MaxRecords, req.MaxBytes = t, partition, 1, 1
		reply, err := h.readNow(&req)
		if err != nil || len(reply.Records) == 0 {
			return nil, err
		}
		return &reply.Records[0], nil
	}
	from := func(at int64) (*protocol.Record, *protocol.Error) { return read(protocol.FetchRequest{Timestamp: &at}) }
	best, err := from(0)
	if err == nil && best != nil {
		last, lastErr := read(protocol.FetchRequest{Offset: max(latest-1, best.Offset)})
		if err = lastErr; last != nil && last.Timestamp > best.Timestamp {
			best, err = from(last.Timestamp)
		}
	}
	over := int64(maxTimestamp + 1) // no record has this time
	for step := int64(1); err == nil && best != nil && over-best.Timestamp > 1; {
		at := min(best.Timestamp+step, over-1)
		var found *protocol.Record
		switch found, err = from(at); {
		case err != nil:
		case found != nil:
			best = found
			step *= 2
		default:
			over = at
			step = max((over-best.Timestamp)/2, 1)
		}
	}
	switch {
	case err != nil:
		return -1, -1, topicError(err)
	case best == nil:
		return -1, -1, errNone
	}
	return int64(best.Offset), best.Timestamp, errNone
}

// readNow reads what is there, a record at most, without waiting for a leader. Its records are in
// memory only until it returns, as far as the budget goes.
func (h *recordHandlers) readNow(req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	s := h.newShare()
	defer s.Release()
	req.Room, req.Impatient = s, true
	reply, _, err := h.view(protocol.RightRead).StartFetch(req).Advance()
	return reply, err
}

// initProducerID gives an idempotent producer its number: a random one of 63 bits, so that no two
// are the same, whoever gives them, and nothing has to be kept. A producer that asks again gets
// a new one, and begins at sequence 0. With a transactional id the code is one after which
// clients do not try again: there are no transactions.
func (h *recordHandlers) initProducerID(req *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
	resp := answerTo[*kmsg.InitProducerIDResponse](req)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = errTransactionalIDNotFound
		return resp
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: no randomness: " + err.Error())
	}
	resp.ProducerID, resp.ProducerEpoch = int64(binary.BigEndian.Uint64(b[:])>>1), 0
	return resp
}
