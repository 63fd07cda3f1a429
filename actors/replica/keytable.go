package replica

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"time"

	"ottla/protocol"
)

// Bounds of a partition's table of Idempotency-Keys, which is apart from that of
// producers: a client that has a key for each request does not take the place of
// producers, nor they that of its keys.
const (
	keyRetention = 10 * time.Minute // a key is remembered at least this long
	maxKeys      = 630_000          // 1,050 a second; a key takes about 100 bytes of memory
	keyFloor     = 1000             // that a partition may have however many others have

	// What they take in a checkpoint. A snapshot has them, and the producers, in base64, and
	// is one message between nodes, of at most link.MaxBody. There is room for as many that
	// are under way when the table gets full as a server has connections.
	maxKeyBytes      = 18 << 20 // 630,000 keys at 30 bytes
	maxKeyTextBytes  = 14 << 20 // of keys that are written as text
	keyTextBytes     = 36       // about what such a key takes besides its text
	keyFixedBytes    = len(keyHash{}) + 8
	leastKeyBytes    = keyFixedBytes + 4
	keysOfOneSegment = 512
)

// keyPrefix begins the ids that are Idempotency-Keys; no Producer-Id begins so.
const keyPrefix = "key:"

func isKey(id string) bool { return strings.HasPrefix(id, keyPrefix) }

// keyHash stands for a key: the first half of the SHA-256 of its id. The second of two keys
// with the same one would be taken for the first again, and not be written. By chance that
// takes some 2^64 keys, and a partition has less than 2^20 at a time. Who tries for it on
// purpose needs as many attempts for two keys of its own, and 2^128 for one that another
// client will use.
type keyHash [sha256.Size / 2]byte

func hashKey(id string) keyHash {
	var buf [256]byte // on the stack: an id has at most 200 bytes, and a number of partitions
	sum := sha256.Sum256(append(buf[:0], id...))
	return keyHash(sum[:len(keyHash{})])
}

// knownKey is the request that came with a key, and where its records are.
type knownKey struct {
	hash      keyHash
	body      uint64 // hash of its body
	base      int64  // offset of the first record
	timestamp int64  // of the first record, in milliseconds since 1970
	at        int64  // append time of the entry, in milliseconds since 1970
	count     int32  // records
	bytes     uint16 // that it takes in a checkpoint, about; 0: the place is free again
}

func (k *knownKey) state(id string) *producerState {
	return &producerState{id: id, hash: k.body, at: k.at, request: request{base: k.base, count: int(k.count), timestamp: k.timestamp}}
}

// keySegment holds keys in the order in which they were heard of.
type keySegment struct {
	keys  [keysOfOneSegment]knownKey
	texts *[keysOfOneSegment]string // their ids, as far as they are kept; nil: none is
}

// keyTable remembers keys, oldest first. It is a queue with an index: 600,000 keys as
// structs with pointers to each other, as producers are, took twice the memory and more.
type keyTable struct {
	retention int64 // milliseconds
	most      int

	places   map[keyHash]uint32
	segments []*keySegment // oldest first
	first    uint32        // place of the first key of segments[0]; places go up, and over
	head     uint32        // place of the oldest key
	next     uint32        // place of the next key
	bytes    int           // of what they take in a checkpoint
	hashed   int           // keys whose id is not known any more
}

func newKeyTable() keyTable {
	return keyTable{retention: keyRetention.Milliseconds(), most: maxKeys, places: map[keyHash]uint32{}}
}

func (t *keyTable) len() int { return len(t.places) }

func (t *keyTable) at(place uint32) (*keySegment, int) {
	i := place - t.first
	return t.segments[i/keysOfOneSegment], int(i % keysOfOneSegment)
}

// get returns what is known of a key, nil if nothing is.
func (t *keyTable) get(h keyHash) *knownKey {
	place, known := t.places[h]
	if !known {
		return nil
	}
	s, i := t.at(place)
	return &s.keys[i]
}

// oldest is the key heard of first, nil if there is none.
func (t *keyTable) oldest() *knownKey {
	if t.len() == 0 {
		return nil
	}
	s, i := t.at(t.head)
	return &s.keys[i]
}

// push enters a key behind all others, in the place of what was known of it. An id that is
// not empty is kept.
func (t *keyTable) push(k knownKey, id string) {
	if place, known := t.places[k.hash]; known {
		t.remove(place)
	}
	if id != "" {
		k.bytes = uint16(len(id) + keyTextBytes)
	} else {
		var before knownKey
		if t.len() > 0 {
			s, i := t.at(t.next - 1) // if it is free by now the number is a little off
			before = s.keys[i]
		}
		k.bytes = uint16(k.size(&before))
		t.hashed++
	}
	if int(t.next-t.first) == len(t.segments)*keysOfOneSegment {
		t.segments = append(t.segments, &keySegment{})
	}
	s, i := t.at(t.next)
	s.keys[i] = k
	if id != "" {
		if s.texts == nil {
			s.texts = &[keysOfOneSegment]string{}
		}
		s.texts[i] = id
	}
	t.places[k.hash] = t.next
	t.bytes += int(k.bytes)
	t.next++
}

// remove forgets the key at a place.
func (t *keyTable) remove(place uint32) {
	s, i := t.at(place)
	k := &s.keys[i]
	delete(t.places, k.hash)
	t.bytes -= int(k.bytes)
	if s.texts == nil || s.texts[i] == "" {
		t.hashed--
	} else {
		s.texts[i] = ""
	}
	*k = knownKey{}
	if t.len() == 0 {
		*t = keyTable{retention: t.retention, most: t.most, places: map[keyHash]uint32{}} // a map never shrinks
		return
	}
	for {
		if s, i = t.at(t.head); s.keys[i].bytes > 0 {
			return
		}
		if t.head++; t.head-t.first == keysOfOneSegment {
			t.segments[0] = nil
			t.segments = t.segments[1:]
			t.first = t.head
		}
	}
}

// forgetBefore forgets the oldest keys as long as they were heard of before that time.
func (t *keyTable) forgetBefore(time int64) {
	for k := t.oldest(); k != nil && k.at < time; k = t.oldest() {
		t.remove(t.head)
	}
}

// each calls fn with all keys, oldest first, and with their ids as far as they are kept.
func (t *keyTable) each(fn func(k *knownKey, id string)) {
	for place := t.head; place != t.next; place++ {
		s, i := t.at(place)
		if s.keys[i].bytes == 0 {
			continue
		}
		id := ""
		if s.texts != nil {
			id = s.texts[i]
		}
		fn(&s.keys[i], id)
	}
}

// relative is what is written of a key beside its hashes: most of it differs little from
// the key before.
func (k *knownKey) relative(before *knownKey) [4]int64 {
	return [4]int64{int64(k.count), k.base - before.base, k.at - before.at, k.timestamp - k.at}
}

func (k *knownKey) size(before *knownKey) int {
	n := keyFixedBytes
	var buf [binary.MaxVarintLen64]byte
	for _, v := range k.relative(before) {
		n += binary.PutVarint(buf[:], v)
	}
	return n
}

// appendTo writes the number of keys and each of them: hash, body's hash, and the numbers
// of relative.
func (t *keyTable) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(t.len()))
	before := &knownKey{}
	t.each(func(k *knownKey, _ string) {
		b = append(b, k.hash[:]...)
		b = binary.LittleEndian.AppendUint64(b, k.body)
		for _, v := range k.relative(before) {
			b = binary.AppendVarint(b, v)
		}
		before = k
	})
	return b
}

// decode is the inverse of appendTo, and returns what follows.
func (t *keyTable) decode(b []byte) ([]byte, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used)/uint64(leastKeyBytes) {
		return nil, errTableCut
	}
	b = b[used:]
	var before knownKey
	for range n {
		if len(b) < keyFixedBytes {
			return nil, errTableCut
		}
		k := knownKey{hash: keyHash(b), body: binary.LittleEndian.Uint64(b[len(keyHash{}):])}
		var v [4]int64
		var err error
		if b, err = decodeVarints(b[keyFixedBytes:], v[:]); err != nil {
			return nil, err
		}
		if v[0] < 0 || v[0] > math.MaxInt32 {
			return nil, errors.New("a key in the producer table has an impossible number of records")
		}
		if t.get(k.hash) != nil {
			return nil, errors.New("the producer table has a key twice")
		}
		k.count, k.base, k.at = int32(v[0]), before.base+v[1], before.at+v[2]
		k.timestamp = k.at + v[3]
		t.push(k, "")
		before = k
	}
	return b, nil
}

// errFull refuses a key for which there is no room.
func (t *keyTable) errFull() *protocol.Error {
	return errFull(t.len(), "idempotency keys", "use a Producer-Id with a sequence where there are many requests", t.retention)
}
