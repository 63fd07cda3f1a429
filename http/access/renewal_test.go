package access

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A token that another node has just made is valid here, too: before one is called unknown,
// the fleet is asked.
func TestTokensOfOtherNodesAreKnown(t *testing.T) {
	token, hash := newToken()
	s := &source{}
	s.renew = func() *protocol.Error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = []*protocol.TokenEntry{entry("team", hash, nil)}
		return nil
	}
	r, err := New(s, Options{})
	require.NoError(t, err)
	who, perr := r.Token([]byte(token))
	require.Nil(t, perr)
	assert.Equal(t, "team", who.Name())

	other, _ := newToken()
	_, perr = r.Token([]byte(other))
	assert.Equal(t, "unauthorized", code(perr))
	s.mu.Lock()
	s.renew = func() *protocol.Error { return protocol.Errorf(protocol.CodeNotEnoughReplicas, "nobody to ask") }
	s.mu.Unlock()
	_, perr = r.Token([]byte(other))
	assert.Equal(t, "not_enough_replicas", code(perr), "nobody knows whether it is valid")
	_, perr = r.Token([]byte(token))
	assert.Nil(t, perr, "what is known needs nobody")
}

// However many tokens are tried at the same time, the fleet is asked by one at a time, and
// on behalf of each after it has come.
func TestRenewalsAreShared(t *testing.T) {
	const tries = 500
	var asked, under, begun atomic.Int64
	first := make(chan struct{})
	renew := func() *protocol.Error {
		assert.EqualValues(t, 1, under.Add(1))
		defer under.Add(-1)
		begun.Add(1)
		if asked.Add(1) == 1 {
			<-first
		}
		return nil
	}
	var rs renewals
	var all sync.WaitGroup
	all.Go(func() { assert.Nil(t, rs.await(renew)) })
	require.Eventually(t, func() bool { return asked.Load() == 1 }, 30*time.Second, time.Millisecond)
	var come atomic.Int64
	for range tries {
		all.Go(func() {
			before := begun.Load()
			come.Add(1)
			assert.Nil(t, rs.await(renew))
			assert.Greater(t, begun.Load(), before, "one that began before it came says nothing to it")
		})
	}
	require.Eventually(t, func() bool { return come.Load() == tries }, 30*time.Second, time.Millisecond)
	close(first)
	all.Wait()
	assert.LessOrEqual(t, asked.Load(), int64(tries/10), "they share")
	began := time.Now()
	assert.Nil(t, rs.await(renew))
	assert.Nil(t, rs.await(renew))
	assert.GreaterOrEqual(t, time.Since(began), renewalPause, "there is a pause between two")
}
