package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"ottla/actors/level"
	"ottla/logfile"
	"ottla/protocol"
)

// producerState is the last request of a producer on one partition, and where
// its records are. An Idempotency-Key is a producer with a single request. Times
// are in milliseconds since 1970.
type producerState struct {
	id    string
	epoch int64
	hash  uint64 // of the body, with an Idempotency-Key
	at    int64  // append time of the entry
	request
	earlier      []request      // before it, in the same epoch, oldest first; of Kafka producers only
	older, newer *producerState // in its list
}

// request is what is known of one request of a producer.
type request struct {
	seq       int64
	base      int64 // offset of the first record
	count     int   // records
	timestamp int64 // of the first record
}

// producerTable remembers the producers of a partition. It is a function of
// the log alone: entries change it in their order, and time is the append time
// of entries, so that every replica and every replay comes to the same table.
type producerTable struct {
	byID   map[string]*producerState // of others
	others producerList
	keys   keyTable
	count  *keyCount  // of keys
	level  func() int // of the fleet; nil: level.Newest

	asOf   uint64 // entries up to this index have been applied to it already, though the replica has not applied them all: it came with a snapshot
	placed int    // see placed.go; 0: it is not known
	latest int64  // none was heard of later, see appendtime.go
}

func newProducerTable() *producerTable {
	return &producerTable{
		byID: map[string]*producerState{}, count: &keyCount{}, keys: newKeyTable(),
		others: producerList{retention: producerRetention.Milliseconds(), most: maxProducers, mostBytes: maxProducerBytes},
	}
}

// keepsIDs reports whether the ids of keys are kept beside their hashes, for programs that
// do not read tables with hashes.
func (t *producerTable) keepsIDs() bool { return t.level != nil && t.level() < level.HashedKeys.Level }

// get returns what is known of a producer, nil if nothing is.
func (t *producerTable) get(id string) *producerState {
	if !isKey(id) {
		return t.byID[id]
	}
	if k := t.keys.get(hashKey(id)); k != nil {
		return k.state(id)
	}
	return nil
}

// ids lists the producers, without keys, least recently heard of first.
func (t *producerTable) ids() []string {
	ids := make([]string, 0, len(t.byID))
	for s := t.others.front; s != nil; s = s.newer {
		if s.id != placedID {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// put enters a producer's newest request, and forgets those that were last heard of
// longer before it than they are remembered.
func (t *producerTable) put(s *producerState) {
	t.expire(s.at)
	if isKey(s.id) {
		t.enterKey(s, t.keepsIDs())
		return
	}
	if before := t.byID[s.id]; before != nil {
		s.follow(before)
		t.forget(before)
	}
	t.enter(s)
}

// expire forgets those that at that time were last heard of longer ago than they are remembered.
func (t *producerTable) expire(at int64) {
	for l := &t.others; l.front != nil && l.front.at < at-l.retention; {
		t.forget(l.front)
	}
	before := t.keys.len()
	t.keys.forgetBefore(at - t.keys.retention)
	t.count.add(int64(t.keys.len() - before))
}

func (t *producerTable) enter(s *producerState) {
	t.byID[s.id] = s
	t.latest = max(t.latest, s.at)
	t.others.push(s)
}

func (t *producerTable) enterKey(s *producerState, keepID bool) {
	before := t.keys.len()
	id := ""
	if keepID {
		id = s.id
	}
	t.keys.push(knownKey{hash: hashKey(s.id), body: s.hash, base: s.base, timestamp: s.timestamp, at: s.at, count: int32(s.count)}, id)
	t.latest = max(t.latest, s.at)
	t.count.add(int64(t.keys.len() - before))
}

func (t *producerTable) forget(s *producerState) {
	if s.id == placedID {
		t.placed = 0
	}
	delete(t.byID, s.id)
	t.others.remove(s)
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
	if s.count < 0 {
		return nil, fmt.Errorf("producer line %q has less than no records", line)
	}
	return s, nil
}

// encode writes the table, oldest first of keys and of the others, for programs of a level; nil when it is empty.
// A format is used only where there is what the ones before it have not, so that a program
// that does not know it can read all other tables. Keys whose ids are not known any more are
// written as hashes at any level: the fleet had the level for it when they were forgotten.
func (t *producerTable) encode(at int) []byte {
	if len(t.byID) == 0 && t.keys.len() == 0 {
		return nil
	}
	return t.encodeAs(at, 0)
}

// asOfID is that of what says, in place of a producer, of which entry on the table lacks
// something: no client can be it. It is older than any, so that programs that do not know it
// forget it with the next request of a producer.
const asOfID = "·as-of"

// encodeAs is encode for a table that entries up to asOf have been applied to, which whoever
// reads it may be about to apply again; 0: they are not.
func (t *producerTable) encodeAs(at int, asOf uint64) []byte {
	format := byte(producerTableFormat)
	for s := t.others.front; s != nil && at >= level.KafkaRequests.Level; s = s.newer {
		if len(s.earlier) > 0 {
			format = producerTableWithEarlier
			break
		}
	}
	if t.keys.len() > 0 && (at >= level.HashedKeys.Level || t.keys.hashed > 0) {
		format = producerTableWithHashes
	}
	b := []byte{format}
	if format == producerTableWithHashes {
		b = t.keys.appendTo(b)
	} else {
		t.keys.each(func(k *knownKey, id string) { b = k.state(id).appendTo(b, format) })
	}
	if asOf > 0 {
		b = (&producerState{id: asOfID, request: request{seq: int64(asOf)}}).appendTo(b, format)
	}
	for s := t.others.front; s != nil; s = s.newer {
		b = s.appendTo(b, format)
	}
	return b
}

// appendTo writes a producer as a table has it.
func (s *producerState) appendTo(b []byte, format byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.id)))
	b = append(b, s.id...)
	for _, v := range [...]int64{s.epoch, s.seq, s.base, int64(s.count), s.timestamp, s.at} {
		b = binary.AppendVarint(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, s.hash)
	if format == producerTableFormat {
		return b
	}
	b = append(b, byte(len(s.earlier)))
	for _, r := range s.earlier {
		for _, v := range [...]int64{r.seq, r.base, int64(r.count), r.timestamp} {
			b = binary.AppendVarint(b, v)
		}
	}
	return b
}

const (
	producerTableFormat      = 1
	producerTableWithEarlier = 2
	producerTableWithHashes  = 3 // of keys, before the producers, which are as in 2
)

var errTableCut = errors.New("producer table is cut short")

// decodeProducerTable is the inverse of encode.
func decodeProducerTable(b []byte) (*producerTable, error) {
	t := newProducerTable()
	if len(b) == 0 {
		return t, nil
	}
	format := b[0]
	if format < producerTableFormat || format > producerTableWithHashes {
		return nil, fmt.Errorf("producer table has format %d, this program reads up to %d: use the program that wrote it", format, producerTableWithHashes)
	}
	b = b[1:]
	var err error
	if format == producerTableWithHashes {
		if b, err = t.keys.decode(b); err != nil {
			return nil, err
		}
		t.keys.each(func(k *knownKey, _ string) { t.latest = max(t.latest, k.at) })
	}
	for len(b) > 0 {
		var s *producerState
		if s, b, err = decodeProducer(b, format); err != nil {
			return nil, err
		}
		if t.get(s.id) != nil {
			return nil, fmt.Errorf("producer table has %q twice", s.id)
		}
		if s.id == asOfID {
			if s.seq <= 0 {
				return nil, fmt.Errorf("producer table is said to be as of entry %d", s.seq)
			}
			t.asOf = uint64(s.seq)
			continue
		}
		if isKey(s.id) {
			t.enterKey(s, true)
			continue
		}
		t.enter(s)
		if s.id == placedID {
			t.placed = int(s.seq)
		}
	}
	return t, nil
}

func decodeProducer(b []byte, format byte) (s *producerState, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errTableCut
	}
	s = &producerState{id: string(b[used : used+int(n)])}
	b = b[used+int(n):]
	var v [6]int64
	if b, err = decodeVarints(b, v[:]); err != nil {
		return nil, nil, err
	}
	if len(b) < 8 {
		return nil, nil, errTableCut
	}
	s.epoch, s.seq, s.base, s.count, s.timestamp, s.at = v[0], v[1], v[2], int(v[3]), v[4], v[5]
	s.hash = binary.LittleEndian.Uint64(b)
	b = b[8:]
	if format == producerTableFormat {
		return s, b, nil
	}
	if len(b) == 0 || b[0] > maxEarlier {
		return nil, nil, errTableCut
	}
	earlier := int(b[0])
	b = b[1:]
	for range earlier {
		if b, err = decodeVarints(b, v[:4]); err != nil {
			return nil, nil, err
		}
		s.earlier = append(s.earlier, request{seq: v[0], base: v[1], count: int(v[2]), timestamp: v[3]})
	}
	return s, b, nil
}

func decodeVarints(b []byte, into []int64) ([]byte, error) {
	for i := range into {
		v, used := binary.Varint(b)
		if used <= 0 {
			return nil, errTableCut
		}
		into[i], b = v, b[used:]
	}
	return b, nil
}

// verdict says what a request of a known producer is beside those that are known.
type verdict int

const (
	verdictNew       verdict = iota
	verdictDuplicate         // the newest request that is known
	verdictEarlier           // one before it
	verdictRefused
)

// judge compares a request with the producer's last one. With verdictEarlier it
// returns which one it is.
func (s *producerState) judge(req *protocol.ProduceRequest) (verdict, request, *protocol.Error) {
	if protocol.IsKafkaProducer(s.id) {
		return s.judgeKafka(req)
	}
	v, err := s.judgeOttla(req)
	return v, request{}, err
}

func (s *producerState) judgeOttla(req *protocol.ProduceRequest) (verdict, *protocol.Error) {
	switch {
	case req.Epoch < s.epoch:
		return verdictRefused, s.staleEpoch(req)
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

func (s *producerState) staleEpoch(req *protocol.ProduceRequest) *protocol.Error {
	return protocol.Errorf(protocol.CodeStaleEpoch,
		"producer %q has epoch %d, %d is older", s.id, s.epoch, req.Epoch).With("current_epoch", s.epoch)
}
