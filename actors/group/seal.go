package group

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// sealBytes of the HMAC-SHA256 of a cursor are its seal.
const sealBytes = 16

// Seal makes and checks the seals of a cluster's cursors, so that nobody else can make
// one. It is safe for concurrent use.
type Seal struct {
	macs    sync.Pool
	cluster string
}

// NewSeal returns the seal of a cluster, by its id, and its key.
func NewSeal(cluster string, key []byte) *Seal {
	s := &Seal{cluster: cluster}
	s.macs.New = func() any { return hmac.New(sha256.New, key) }
	return s
}

// appendTo appends the seal of body to it.
func (s *Seal) appendTo(body []byte) []byte {
	mac := s.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(body)
	var sum [sha256.Size]byte
	seal := mac.Sum(sum[:0])[:sealBytes]
	s.macs.Put(mac)
	return append(body, seal...)
}

func (s *Seal) isOf(seal, body []byte) bool {
	want := s.appendTo(body[:len(body):len(body)])
	return hmac.Equal(want[len(body):], seal)
}
