package group

import (
	"bytes"
	"slices"
	"strconv"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Commits are nearly all records of __consumer_offsets, and every replica reads
// each of them, and its group once more. Their keys and values are JSON like all
// others. This file writes and reads exactly the one form in which they are
// written here, called plain, and leaves every other form to encoding/json.
//
// protocol.JSONReader would do as well, but in as many lines (it knows no order of
// fields, so each has to be checked for) and in twice the time: 174 ns for a key
// and a value instead of 93 ns, while all of ParseRecord and Apply takes 320 ns,
// which a start pays for every commit in the log.

// ParseRecord turns the tokens of a line of __consumer_offsets back into a
// record. It does what metarecord.Parse does, with the same errors, but a plain
// commit is known to be valid JSON without another look. The record shares the
// tokens' memory.
func ParseRecord(key, value, action []byte) (metarecord.Record, error) {
	if string(action) == actionCommit {
		_, _, _, plainKey := plainOffsetKey(key)
		if _, plainValue := plainOffset(value); plainKey && plainValue {
			return metarecord.Record{Action: actionCommit, Key: key, Value: value}, nil
		}
	}
	return metarecord.Parse(key, value, action)
}

// offsetKeyOf is the key of a committed offset.
func offsetKeyOf(group string, key protocol.PartitionID) []byte {
	dst := make([]byte, 0, len(`["o","","",]`)+len(group)+len(key.TopicID)+10)
	dst = append(dst, `["`+keyOffset+`",`...)
	dst = protocol.AppendJSONString(dst, group)
	dst = append(dst, ',')
	dst = protocol.AppendJSONString(dst, key.TopicID)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(key.Partition), 10)
	return append(dst, ']')
}

// plainOffsetKey takes a plain key of a committed offset apart; ok is false when
// it is of another kind or not plain. The parts share its memory.
func plainOffsetKey(key []byte) (group, topicID, partition []byte, ok bool) {
	p := plainJSON{left: key, ok: true}
	p.skip(`["` + keyOffset + `","`)
	group = p.text()
	p.skip(`,"`)
	topicID = p.text()
	p.skip(`,`)
	partition = p.digits()
	p.skip(`]`)
	return group, topicID, partition, p.ended()
}

// appendOffsetValue appends v as metarecord.JSON writes it.
func appendOffsetValue(dst []byte, v *committedOffset) []byte {
	dst = slices.Grow(dst, len(`{"v":1,"offset":,"metadata":"","topic":"","at":,"poll":}`)+len(v.Metadata)+len(v.Topic)+3*20)
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, metarecord.Format, 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, int64(v.Offset), 10)
	if v.Metadata != "" {
		dst = append(dst, `,"metadata":`...)
		dst = appendStateString(dst, v.Metadata)
	}
	dst = append(dst, `,"topic":`...)
	dst = appendStateString(dst, v.Topic)
	dst = append(dst, `,"at":`...)
	dst = strconv.AppendInt(dst, v.At, 10)
	if v.Poll != 0 {
		dst = append(dst, `,"poll":`...)
		dst = strconv.AppendUint(dst, v.Poll, 10)
	}
	return append(dst, '}')
}

// appendStateString appends s as metarecord.JSON writes it.
func appendStateString(dst []byte, s string) []byte {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return append(dst, metarecord.JSON(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// plainOffset reads a plain value of a committed offset; ok is false when it is
// anything else. The texts share its memory.
func plainOffset(value []byte) (v plainCommit, ok bool) {
	p := plainJSON{left: value, ok: true}
	p.skip(`{"v":1,"offset":`)
	v.offset = p.number()
	if p.ok && bytes.HasPrefix(p.left, []byte(`,"metadata":"`)) {
		p.skip(`,"metadata":"`)
		v.metadata = p.text()
	}
	p.skip(`,"topic":"`)
	v.topic = p.text()
	p.skip(`,"at":`)
	v.at = p.number()
	if p.ok && bytes.HasPrefix(p.left, []byte(`,"poll":`)) {
		p.skip(`,"poll":`)
		v.poll = uint64(p.number())
	}
	p.skip(`}`)
	return v, p.ended()
}

// plainCommit is the value of a committed offset, in the memory of its record.
type plainCommit struct {
	offset, at      int64
	metadata, topic []byte
	poll            uint64
}

// committed is v in memory of its own. Texts that are in have already, as nearly
// always, are shared with it.
func (v *plainCommit) committed(have committedOffset) committedOffset {
	if have.Topic != string(v.topic) {
		have.Topic = string(v.topic)
	}
	if have.Metadata != string(v.metadata) {
		have.Metadata = string(v.metadata)
	}
	have.Offset, have.At, have.Poll = protocol.Offset(v.offset), v.at, v.poll
	return have
}

// plainJSON reads JSON of a known form, byte by byte. Ok is false from the first
// byte on that does not fit.
type plainJSON struct {
	left []byte
	ok   bool
}

func (p *plainJSON) ended() bool { return p.ok && len(p.left) == 0 }

func (p *plainJSON) skip(s string) {
	if p.ok = p.ok && len(p.left) >= len(s) && string(p.left[:len(s)]) == s; p.ok {
		p.left = p.left[len(s):]
	}
}

// text is the rest of a string without escapes, up to its closing quote.
func (p *plainJSON) text() []byte {
	n := 0
	for n < len(p.left) && plainByte(p.left[n]) {
		n++
	}
	text := p.left[:n]
	p.left = p.left[n:]
	p.skip(`"`)
	return text
}

// plainByte reports whether b stands for itself in a string.
func plainByte(b byte) bool { return b >= ' ' && b < 0x7f && b != '"' && b != '\\' }

// digits is a number without sign, fraction, exponent or leading zeros, small
// enough for an int64.
func (p *plainJSON) digits() []byte {
	n := 0
	for n < len(p.left) && p.left[n] >= '0' && p.left[n] <= '9' {
		n++
	}
	p.ok = p.ok && n > 0 && n <= maxPlainDigits && (n == 1 || p.left[0] != '0')
	digits := p.left[:n]
	p.left = p.left[n:]
	return digits
}

// maxPlainDigits is how many digits fit an int64 whatever they are.
const maxPlainDigits = 18

func (p *plainJSON) number() int64 {
	n := int64(0)
	for _, d := range p.digits() {
		n = 10*n + int64(d-'0')
	}
	return n
}
