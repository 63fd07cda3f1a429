package kafka

import (
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// produceRequest is a request to write. It is read by hand: its lengths are believed
// only as far as there are bytes, and its batches stay where they are. So a produce takes its
// own size in memory, and not many times that, as requests do that are decoded by their schema
// (decodedFactor).
type produceRequest struct {
	transactional bool
	acks          int16
	timeout       time.Duration
	topics        []produceTopic
}

type produceTopic struct {
	name       string
	partitions []producePartition
}

type producePartition struct {
	index   int32
	records []byte
}

// bodyReader reads the primitive types of requests, in their flexible form (KIP-482) or not.
// Once something was wrong, all that follows is empty, so that only the end has to be checked.
type bodyReader struct {
	b        []byte
	flexible bool
	bad      bool
}

// take returns the next n bytes, which are those of the request and not a copy: they are valid
// until giveBack.
func (r *bodyReader) take(n int64) []byte {
	if r.bad || n < 0 || n > int64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *bodyReader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *bodyReader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *bodyReader) uvarint() int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<31 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

// length reads a length that may be -1: of a string if short, else of bytes or of an
// array. The flexible form is one more than the length, so that 0 says that there is nothing.
func (r *bodyReader) length(short bool) int64 {
	switch {
	case r.flexible:
		return r.uvarint() - 1
	case short:
		return int64(r.int16())
	}
	return int64(r.int32())
}

// nullable reads a string, if short, or bytes that may be null: a batch that is null is one that
// is not there, which readBatch refuses.
func (r *bodyReader) nullable(short bool) (b []byte, null bool) {
	n := r.length(short)
	if n == -1 {
		return nil, true
	}
	return r.take(n), false
}

// tags skips tagged fields, of which no version that is offered has any: a client may send some
// that it does not rely on.
func (r *bodyReader) tags() {
	if !r.flexible {
		return
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}

// readProduce reads a request of any version that is offered, also of those that are refused:
// the answer has to name their partitions. Partitions are appended one by one, as far as there
// are bytes of them; the number that stands before them is only claimed.
func readProduce(b []byte, version int16) (req produceRequest, ok bool) {
	r := &bodyReader{b: b, flexible: version >= 9}
	if version >= 3 {
		_, null := r.nullable(true)
		req.transactional = !null
	}
	req.acks = r.int16()
	req.timeout = time.Duration(r.int32()) * time.Millisecond
	for n := r.length(false); n > 0 && !r.bad; n-- {
		name, _ := r.nullable(true)
		t := produceTopic{name: string(name)}
		for n := r.length(false); n > 0 && !r.bad; n-- {
			p := producePartition{index: r.int32()}
			p.records, _ = r.nullable(false)
			r.tags()
			t.partitions = append(t.partitions, p)
		}
		r.tags()
		req.topics = append(req.topics, t)
	}
	r.tags()
	return req, !r.bad
}

// produce writes the batches of a request, each whole or not at all. With acks=0 there
// is no answer.
//
// The connection waits until all are committed, or have failed, before it reads on. An
// idempotent producer sends up to five requests without waiting (max.in.flight), and the
// sequences of a partition have to arrive in their order: that they do so is because nobody
// overtakes anybody here.
//
// The time counts from when the request was here, and ends with the client's own time-out: what
// is written later than that the client has given up, and sent again. A request that was held
// back beyond it is executed no more. Its code is REQUEST_TIMED_OUT, for which clients try
// again, with the same sequences if they have any.
//
// How large batches become is known only when they are decompressed, so those bytes are taken
// off the quota afterwards: they hold back the requests that follow.
func (h *recordHandlers) produce(b []byte, version int16) (kmsg.Response, bool) {
	req, ok := readProduce(b, version)
	if !ok {
		return nil, false
	}
	patience := h.srv.o.RequestTimeout
	if req.timeout > 0 {
		patience = min(patience, req.timeout)
	}
	due := h.arrived.Add(patience)
	h.unanswered = req.acks == 0
	late := !h.pace(due, (*protocol.Usage).Request) ||
		!h.pace(due, func(u *protocol.Usage, now time.Time) *protocol.Error { return u.Produce(len(b), now) }) ||
		!h.enter(due)
	resp := &kmsg.ProduceResponse{Version: version}
	resp.Default()
	w := produceWork{h: h, deadline: due, late: late, encoder: encoder{o: &h.srv.o, room: h.roomFor, limit: h.srv.o.MaxRequestBytes}}
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.topics))
	for i := range req.topics {
		t := &req.topics[i]
		out := &resp.Topics[i]
		out.Topic = t.name
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(t.partitions))
		for j := range t.partitions {
			p := &out.Partitions[j]
			p.Default()
			p.Partition, p.BaseOffset = t.partitions[j].index, -1
		}
		w.prepare(&req, t, out.Partitions, version)
	}
	if w.encoder.done(); w.encoder.inflated > len(b) {
		h.usage().Produced(w.encoder.inflated-len(b), time.Now())
	}
	w.send()
	if req.acks == 0 { // who hears of no error is disconnected, as by Kafka, and looks for the leader again
		return nil, !failedProduce(resp)
	}
	return resp, true
}

// failedProduce reports whether anything of a request was not written.
func failedProduce(resp *kmsg.ProduceResponse) bool {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if resp.Topics[i].Partitions[j].ErrorCode != errNone {
				return true
			}
		}
	}
	return false
}

// roomFor takes memory for what batches become. Who waits for it takes no part of the
// server: else those who hold the memory might wait at the gate for those who want it.
func (h *recordHandlers) roomFor(n int) bool {
	if h.memory.tryHold(int64(n)) {
		return true
	}
	h.leave()
	return h.memory.hold(int64(n), roomWait)
}

// produceWork is what a request asks the broker for, and where the answers go.
type produceWork struct {
	h        *recordHandlers
	deadline time.Time
	late     bool // its turn has not come by then, so nothing is written
	encoder  encoder
	reqs     []*protocol.ProduceRequest
	answers  []*kmsg.ProduceResponseTopicPartition
}

// prepare makes the broker's requests for the partitions of a topic. What is wrong with one
// partition does not keep the others from being written, as with Kafka: the answer has a code
// for each. The texts and the records that are wrong reach clients from version 8 on (KIP-467).
func (w *produceWork) prepare(req *produceRequest, t *produceTopic, out []kmsg.ProduceResponseTopicPartition, version int16) {
	refuse := func(code int16, why string) {
		for i := range out {
			out[i].ErrorCode, out[i].ErrorMessage = code, &why
		}
	}
	switch {
	case version < 3:
		refuse(errUnsupportedVersion, "produce requests below version 3 are not served")
		return
	case req.transactional:
		refuse(errTransactionalIDNotFound, "transactions are not served")
		return
	case req.acks < -1 || req.acks > 1:
		refuse(errInvalidRequiredAcks, "acks is -1, 0 or 1")
		return
	case w.late:
		refuse(errRequestTimedOut, "nothing was written: the token's quota, or others that want their share of the server, have held the request back")
		return
	}
	topic, err := w.h.writable(t.name, w.deadline)
	if err != nil {
		refuse(produceError(err), err.Message)
		return
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		if p.index < 0 || int(p.index) >= topic.Partitions {
			out[i].ErrorCode = errUnknownTopicOrPartition
			continue
		}
		r := &protocol.ProduceRequest{Topic: topic, Partition: int(p.index), NoAck: req.acks == 0, Waits: w.h.waits}
		code, why := w.encoder.encode(r, p.records)
		if code != errNone {
			out[i].ErrorCode = code
			if why != "" {
				out[i].ErrorMessage = &why
			}
			if code == errInvalidRecord { // which records are wrong: the client sends the others again, if it wants to
				for _, n := range w.encoder.keyless {
					wrong := kmsg.NewProduceResponseTopicPartitionErrorRecord()
					wrong.RelativeOffset, wrong.ErrorMessage = n, &why
					out[i].ErrorRecords = append(out[i].ErrorRecords, wrong)
				}
			}
			continue
		}
		w.reqs, w.answers = append(w.reqs, r), append(w.answers, &out[i])
	}
}

// send has all partitions written at the same time, and waits for the slowest.
func (w *produceWork) send() {
	if len(w.reqs) == 0 {
		return
	}
	w.h.view(protocol.RightWrite).Produce(w.reqs, w.deadline)
	for i, r := range w.reqs {
		a := w.answers[i]
		if err := r.Result.Err; err != nil {
			a.ErrorCode, a.ErrorMessage = produceError(err), &err.Message
			continue
		}
		a.BaseOffset = int64(r.Result.BaseOffset)
	}
}

// maxTimestamp is the last millisecond of the year 9999, since 1970: dates of the log's lines
// have four digits for the year.
const maxTimestamp = 253402300799999
