package replica

import "ottla/protocol"

// A Kafka producer numbers its records, not its requests: the sequence of a batch is
// that of its first record, and each batch begins where the one before it has ended.
// It may have sent five batches before it hears of the first, so a retry may be of
// any of the last five.
const (
	maxEarlier     = 4       // known besides the last one
	kafkaSequences = 1 << 31 // a sequence begins again at 0 behind the last of them
)

// follow takes over what before, the producer's state until now, knows of earlier
// requests.
func (s *producerState) follow(before *producerState) {
	if !protocol.IsKafkaProducer(s.id) || s.epoch != before.epoch {
		return
	}
	s.earlier = append(append(make([]request, 0, maxEarlier+1), before.earlier...), before.request)
	if extra := len(s.earlier) - maxEarlier; extra > 0 {
		s.earlier = s.earlier[extra:]
	}
}

// next is the sequence that the producer's next batch has to have.
func (r *request) next() int64 { return (r.seq + int64(r.count)) % kafkaSequences }

// judgeKafka is judge by the rules of Kafka.
func (s *producerState) judgeKafka(req *protocol.ProduceRequest) (verdict, request, *protocol.Error) {
	expected := s.next()
	switch {
	case req.Epoch < s.epoch:
		return verdictRefused, request{}, s.staleEpoch(req)
	case req.Epoch > s.epoch:
		expected = 0
	case s.is(req):
		return verdictDuplicate, request{}, nil
	default:
		for i := range s.earlier {
			if s.earlier[i].is(req) {
				return verdictEarlier, s.earlier[i], nil
			}
		}
	}
	if req.Sequence != expected {
		return verdictRefused, request{}, protocol.Errorf(protocol.CodeStaleSequence,
			"the next record of producer %q has sequence %d, not %d", s.id, expected, req.Sequence).With("current_sequence", expected)
	}
	return verdictNew, request{}, nil
}

// is reports whether a request of the same epoch is this one.
func (r *request) is(req *protocol.ProduceRequest) bool {
	return req.Sequence == r.seq && req.Lines.Len() == r.count
}
