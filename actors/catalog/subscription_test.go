package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

func TestSubscriptions(t *testing.T) {
	s := New()
	var log []metarecord.Record
	commit := func(recs []metarecord.Record, err *protocol.Error) {
		t.Helper()
		require.Nil(t, err)
		for _, rec := range recs {
			require.NoError(t, s.Apply(rec))
		}
		log = append(log, recs...)
	}
	spec := func(name, secret string) *protocol.SubscriptionSpec {
		return &protocol.SubscriptionSpec{
			Name: name, Cluster: "default", Topics: []string{"t"}, Group: "g", URL: "https://a.example", Batch: 1, Order: protocol.OrderKey,
			Secret: protocol.Secret(secret), Headers: map[string]protocol.Secret{"x": protocol.Secret(secret)},
		}
	}
	put := func(name, secret string, fresh protocol.ConsumerID, now int64) (sub *protocol.Subscription, created bool, changed int) {
		t.Helper()
		sub, created, recs, err := s.DecidePutSubscription(spec(name, secret), fresh, now, 2)
		commit(recs, err)
		return sub, created, len(recs)
	}
	for i, name := range []string{"b", "a"} {
		_, created, changed := put(name, "one", protocol.ConsumerID(7+i), 5)
		assert.True(t, created)
		assert.Equal(t, 1, changed)
	}
	_, _, _, err := s.DecidePutSubscription(spec("c", "one"), 9, 5, 2)
	assert.Equal(t, protocol.CodeTooManySubscriptions, err.Code)
	before := s.Subscriptions()
	require.Len(t, before, 2)
	same, created, changed := put("a", "one", 10, 9)
	assert.False(t, created)
	assert.Zero(t, changed, "nothing changes")
	assert.Same(t, before[0], same, "whoever delivers it sees that it is the same")
	_, created, changed = put("a", "two", 10, 9)
	assert.False(t, created)
	assert.Equal(t, 1, changed, "another secret is a change")
	now := s.Subscriptions()[0]
	assert.Equal(t, protocol.Secret("two"), now.Secret)
	assert.Equal(t, protocol.Secret("two"), now.Headers["x"])
	assert.EqualValues(t, 8, now.ConsumerID, "it stays the same member")
	assert.Equal(t, before[0].CreatedAt, now.CreatedAt)
	assert.Equal(t, protocol.Secret("one"), before[0].Secret, "the list of before is as it was")
	commit(s.DecideDeleteSubscription("b"))
	_, err = s.DecideDeleteSubscription("b")
	assert.Equal(t, protocol.CodeSubscriptionNotFound, err.Code)

	again := New()
	for _, rec := range log {
		require.NoError(t, again.Apply(rec))
	}
	assert.Equal(t, s.Dump(), again.Dump())
	assert.Contains(t, s.Dump(), `subscription {"v":1,"name":"a"`)
	for _, rec := range log {
		if rec.Value == nil {
			continue
		}
		shown := string(WithoutSecrets(rec.Key, rec.Value))
		assert.NotContains(t, shown, "one")
		assert.NotContains(t, shown, "two")
		assert.Contains(t, shown, "https://a.example")
	}
	assert.Equal(t, protocol.NullToken, string(WithoutSecrets(log[0].Key, []byte(`{"secret":"one","v":"x"}`))))
}
