package protocol

import (
	"bytes"
	"encoding/base64"
)

// PartitionForKey returns the partition, of n, for the token of a key. It is the
// one that Kafka's Java client chooses for the same bytes:
// toPositive(murmur2(key)) % n. The bytes are the content of a JSON string, the
// compact text of other JSON, or the text or bytes themselves. The token must be
// well-formed and not null, and n positive.
func PartitionForKey(token []byte, n int) int {
	if n == 1 {
		return 0
	}
	var buf [256]byte
	return PartitionForContent(keyBytes(buf[:0], token), n)
}

// KeyContent returns the bytes of a key by which it is placed and by which keys are
// compared: the content of a JSON string, the compact text of other JSON, or the text
// or bytes themselves. The token must not be null. The result aliases the token, or
// buf if it has to be decoded.
func KeyContent(buf, token []byte) []byte { return keyBytes(buf, token) }

// PartitionForContent is PartitionForKey of a key with that content.
func PartitionForContent(content []byte, n int) int {
	return int(uint32(Murmur2(content))&0x7fffffff) % n
}

// keyBytes returns the bytes of a key that are hashed, in buf if they have to be
// decoded.
func keyBytes(buf, token []byte) []byte {
	inner := token
	switch {
	case KindOfToken(token) == TokenBytes:
		// A malformed token is placed by what could be decoded.
		buf, _ = base64.StdEncoding.AppendDecode(buf, token[2:len(token)-1])
		return buf
	case KindOfToken(token) == TokenText:
		inner = token[2 : len(token)-1]
	case len(token) > 1 && token[0] == '"':
		inner = token[1 : len(token)-1]
	default:
		return token
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	buf, _ = AppendUnescaped(buf, inner)
	return buf
}

// Murmur2 is the 32-bit hash of Kafka's Java client
// (org.apache.kafka.common.utils.Utils.murmur2), seed included.
func Murmur2(data []byte) int32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(data))
	for len(data) >= 4 {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
		data = data[4:]
	}
	for i := len(data) - 1; i >= 0; i-- {
		h ^= uint32(data[i]) << (8 * i)
	}
	if len(data) > 0 {
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return int32(h)
}
