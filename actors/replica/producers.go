package replica

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// Bounds of a partition's producer table.
const (
	producerRetention = 15 * time.Minute // an id is remembered at least this long after its last record
	maxProducers      = 50_000
)

// producerState is the last request of a producer on one partition, and where
// its records are. An Idempotency-Key is a producer with a single request. Times
// are in milliseconds since 1970.
type producerState struct {
	id         string
	epoch, seq int64
	hash       uint64 // of the body, with an Idempotency-Key
	base       int64  // offset of the first record
	count      int    // records
	timestamp  int64  // of the first record
	at         int64  // append time of the entry
}

// producerTable remembers the producers of a partition. It is a function of
// the log alone: entries change it in their order, and time is the append time
// of entries, so that every replica and every replay comes to the same table.
type producerTable struct {
	byID  map[string]*list.Element // of *producerState
	order *list.List               // least recently heard of first
}

func newProducerTable() *producerTable {
	return &producerTable{byID: map[string]*list.Element{}, order: list.New()}
}

// get returns what is known of a producer, nil if nothing is.
func (t *producerTable) get(id string) *producerState {
	if e := t.byID[id]; e != nil {
		return e.Value.(*producerState)
	}
	return nil
}

// ids lists the producers, least recently heard of first.
func (t *producerTable) ids() []string {
	ids := make([]string, 0, len(t.byID))
	for e := t.order.Front(); e != nil; e = e.Next() {
		ids = append(ids, e.Value.(*producerState).id)
	}
	return ids
}

// put enters a producer's newest request, and forgets the producers that were
// last heard of more than producerRetention before it.
func (t *producerTable) put(s *producerState) {
	t.expire(s.at)
	if e := t.byID[s.id]; e != nil {
		e.Value = s
		t.order.MoveToBack(e)
		return
	}
	t.byID[s.id] = t.order.PushBack(s)
}

func (t *producerTable) expire(now int64) {
	horizon := now - producerRetention.Milliseconds()
	for e := t.order.Front(); e != nil && e.Value.(*producerState).at < horizon; e = t.order.Front() {
		delete(t.byID, e.Value.(*producerState).id)
		t.order.Remove(e)
	}
}

// full reports whether no further producer can be entered at that time.
func (t *producerTable) full(now int64) bool {
	if len(t.byID) < maxProducers {
		return false
	}
	oldest := t.order.Front().Value.(*producerState)
	return oldest.at >= now-producerRetention.Milliseconds()
}

// applyEntry enters the producers that an entry's "#p" lines name.
func (t *producerTable) applyEntry(body []byte, appendTime int64) error {
	if len(body) == 0 || body[0] != '#' {
		return nil
	}
	for _, line := range logfile.ProducerLines(logfile.Frame{Body: body}) {
		s, err := parseProducerLine(line)
		if err != nil {
			return err
		}
		s.at = appendTime
		t.put(s)
	}
	return nil
}

// appendLine writes "#p <epoch> <sequence> <body hash> <base offset> <count>
// <timestamp> <id>"; an id has no white space.
func (s *producerState) appendLine(dst []byte) []byte {
	dst = append(dst, "#p "...)
	dst = strconv.AppendInt(dst, s.epoch, 10)
	dst = strconv.AppendInt(append(dst, ' '), s.seq, 10)
	dst = strconv.AppendUint(append(dst, ' '), s.hash, 16)
	dst = strconv.AppendInt(append(dst, ' '), s.base, 10)
	dst = strconv.AppendInt(append(dst, ' '), int64(s.count), 10)
	dst = strconv.AppendInt(append(dst, ' '), s.timestamp, 10)
	dst = append(append(dst, ' '), s.id...)
	return append(dst, '\n')
}

func parseProducerLine(line []byte) (*producerState, error) {
	f := bytes.Fields(line)
	if len(f) != 7 {
		return nil, fmt.Errorf("producer line %q has %d fields, not 7", line, len(f))
	}
	s := &producerState{id: string(f[6])}
	var count int64
	var errs [6]error
	s.epoch, errs[0] = strconv.ParseInt(string(f[0]), 10, 64)
	s.seq, errs[1] = strconv.ParseInt(string(f[1]), 10, 64)
	s.hash, errs[2] = strconv.ParseUint(string(f[2]), 16, 64)
	s.base, errs[3] = strconv.ParseInt(string(f[3]), 10, 64)
	count, errs[4] = strconv.ParseInt(string(f[4]), 10, 32)
	s.timestamp, errs[5] = strconv.ParseInt(string(f[5]), 10, 64)
	s.count = int(count)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("producer line %q: %w", line, err)
	}
	return s, nil
}

// encode writes the table for a checkpoint or a snapshot, oldest first; nil
// when it is empty.
func (t *producerTable) encode() []byte {
	if t.order.Len() == 0 {
		return nil
	}
	b := []byte{producerTableFormat}
	for e := t.order.Front(); e != nil; e = e.Next() {
		s := e.Value.(*producerState)
		b = binary.AppendUvarint(b, uint64(len(s.id)))
		b = append(b, s.id...)
		for _, v := range [...]int64{s.epoch, s.seq, s.base, int64(s.count), s.timestamp, s.at} {
			b = binary.AppendVarint(b, v)
		}
		b = binary.LittleEndian.AppendUint64(b, s.hash)
	}
	return b
}

const producerTableFormat = 1

// decodeProducerTable is the inverse of encode.
func decodeProducerTable(b []byte) (*producerTable, error) {
	t := newProducerTable()
	if len(b) == 0 {
		return t, nil
	}
	if b[0] != producerTableFormat {
		return nil, fmt.Errorf("producer table has format %d, this program reads %d: use the program that wrote it", b[0], producerTableFormat)
	}
	b = b[1:]
	for len(b) > 0 {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, errors.New("producer table is cut short")
		}
		s := &producerState{id: string(b[used : used+int(n)])}
		b = b[used+int(n):]
		var v [6]int64
		for i := range v {
			x, used := binary.Varint(b)
			if used <= 0 {
				return nil, errors.New("producer table is cut short")
			}
			v[i], b = x, b[used:]
		}
		if len(b) < 8 {
			return nil, errors.New("producer table is cut short")
		}
		s.epoch, s.seq, s.base, s.count, s.timestamp, s.at = v[0], v[1], v[2], int(v[3]), v[4], v[5]
		s.hash = binary.LittleEndian.Uint64(b)
		b = b[8:]
		if t.byID[s.id] != nil {
			return nil, fmt.Errorf("producer table has %q twice", s.id)
		}
		t.byID[s.id] = t.order.PushBack(s)
	}
	return t, nil
}

// verdict says what a request of a known producer is beside its last one.
type verdict int

const (
	verdictNew       verdict = iota
	verdictDuplicate         // the very request that is known
	verdictRefused
)

// judge compares a request with the producer's last one.
func (s *producerState) judge(req *protocol.ProduceRequest) (verdict, *protocol.Error) {
	switch {
	case req.Epoch < s.epoch:
		return verdictRefused, protocol.Errorf(protocol.CodeStaleEpoch,
			"producer %q has epoch %d, %d is older", s.id, s.epoch, req.Epoch).With("current_epoch", s.epoch)
	case req.Epoch > s.epoch:
		return verdictNew, nil
	case req.Sequence < s.seq:
		return verdictRefused, protocol.Errorf(protocol.CodeStaleSequence,
			"producer %q is at sequence %d, %d is lower", s.id, s.seq, req.Sequence).With("current_sequence", s.seq)
	case req.Sequence > s.seq:
		return verdictNew, nil
	case req.BodyHash != s.hash:
		return verdictRefused, protocol.Errorf(protocol.CodeIdempotencyMismatch,
			"this Idempotency-Key was used with another body")
	}
	return verdictDuplicate, nil
}
