package http

import (
	"bytes"
	"hash/fnv"
	"math"

	"ottla/protocol"
)

// keyPrefix begins the ids that are made of an Idempotency-Key, so that none is
// a Producer-Id.
const keyPrefix = "key:"

// maxIDLength is the longest Producer-Id or Idempotency-Key, in bytes.
const maxIDLength = 200

// idempotence identifies a request, so that a retry has no second effect.
type idempotence struct {
	id              string // empty: none
	epoch, sequence int64
	bodyHash        uint64 // of an Idempotency-Key's request
	seed            uint32 // decides where records without key and partition go
	again           bool   // partitions know the request, as it was placed by fewer than there are now
}

// apply copies d into a request to the backend.
func (d *idempotence) apply(req *protocol.ProduceRequest) {
	req.ProducerID, req.Epoch, req.Sequence, req.BodyHash, req.Again = d.id, d.epoch, d.sequence, d.bodyHash, d.again
}

// placed returns the number of partitions by which the request is placed: its retry has
// to go where it went, whatever the topic has got since.
func (d *idempotence) placed(p *produce, topic *protocol.Topic) (int, *protocol.Error) {
	by := topic.Placement()
	if topic.MayBeRetry(p.now) {
		var err *protocol.Error
		by, d.again, err = p.b.Placed(topic, &protocol.PlaceQuestion{
			ID: d.id, Epoch: d.epoch, Sequence: d.sequence, BodyHash: d.bodyHash,
			Partitions: func(of int) []int { return p.partitionsOf(of) },
		}, p.deadline)
		if err != nil {
			return 0, err
		}
	}
	d.id = by.ID(d.id)
	return by.Partitions, nil
}

// partitionsOf lists the partitions that have records of the request, if there are so
// many; none if it names one that there is not.
func (p *produce) partitionsOf(of int) (list []int) {
	used := make([]bool, of)
	for i := range p.records {
		partition := p.records[i].partitionOf(&p.idempotence, i, of)
		if partition >= of {
			return nil
		}
		if !used[partition] {
			used[partition] = true
			list = append(list, partition)
		}
	}
	return list
}

// partitionOf is where record i of a request with an id goes, if there are so many.
func (r *record) partitionOf(d *idempotence, i, of int) int {
	switch {
	case r.partition >= 0:
		return r.partition
	case string(r.key) != protocol.NullToken:
		return protocol.PartitionForKey(r.key, of)
	}
	return d.place(i, of)
}

// place returns the partition of the record with that index. It depends on the
// index and the id alone, so that a retry goes where the first try went.
func (d *idempotence) place(index, partitions int) int {
	return int((uint64(d.seed) + uint64(index)) % uint64(partitions))
}

// decodeIdempotence reads Producer-Id, Producer-Epoch and Producer-Seq (all or
// none), or Idempotency-Key.
func (p *produce) decodeIdempotence() *protocol.Error {
	h := &p.ctx.Request.Header
	id, epoch, seq := h.PeekCanonical(producerIDKey), h.PeekCanonical(producerEpochKey), h.PeekCanonical(producerSeqKey)
	key := h.PeekCanonical(idempotencyKeyKey)
	given := 0
	for _, v := range [...][]byte{id, epoch, seq} {
		if v != nil {
			given++
		}
	}
	switch {
	case given == 0 && key == nil:
		return nil
	case given != 0 && key != nil:
		return invalid("Idempotency-Key", "excludes Producer-Id")
	case key != nil:
		return p.idempotence.fromKey(p, "Idempotency-Key", key)
	case given != 3:
		return invalid("Producer-Id", "is given together with Producer-Epoch and Producer-Seq, or not at all")
	}
	if err := checkID("Producer-Id", id); err != nil {
		return err
	}
	for _, reserved := range [...]string{keyPrefix, protocol.KafkaProducerPrefix} {
		if bytes.HasPrefix(id, []byte(reserved)) {
			return invalid("Producer-Id", "must not begin with %q", reserved)
		}
	}
	d := &p.idempotence
	if err := setInteger(&d.epoch, 0, math.MaxInt64, atLeast)("Producer-Epoch", value{text: epoch, isQ: true}); err != nil {
		return err
	}
	if err := setInteger(&d.sequence, 0, math.MaxInt64, atLeast)("Producer-Seq", value{text: seq, isQ: true}); err != nil {
		return err
	}
	d.id = string(id)
	// The sequence does not count: a partition knows only the sequences that it has
	// seen, so a record of an old instance would be taken by another partition.
	d.seed = uint32(protocol.Murmur2(id))
	return nil
}

// fromKey makes the id of an Idempotency-Key, which that header has, and the hash by
// which a key that comes with another request is noticed.
func (d *idempotence) fromKey(p *produce, header string, key []byte) *protocol.Error {
	if err := checkID(header, key); err != nil {
		return err
	}
	d.id = keyPrefix + string(key)
	d.seed = uint32(protocol.Murmur2(key))
	// The request is its body and what the query adds to it.
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.cluster + "\x00" + p.topic + "\x00"))
	if p.media() == mediaRaw || p.route == webhookPath || p.source != nil {
		_, _ = h.Write(p.records[0].key)
	}
	_, _ = h.Write(p.body)
	d.bodyHash = h.Sum64()
	return nil
}

func checkID(header string, id []byte) *protocol.Error {
	if len(id) == 0 || len(id) > maxIDLength {
		return invalid(header, "must have 1 to %d bytes", maxIDLength)
	}
	for _, b := range id {
		if b <= ' ' || b >= 0x7f {
			return invalid(header, "must be printable ASCII without spaces")
		}
	}
	return nil
}
