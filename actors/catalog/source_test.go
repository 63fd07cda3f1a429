package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

func TestSources(t *testing.T) {
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
	put := func(name, secret string, now int64, limit int) (created bool, recs []metarecord.Record, err *protocol.Error) {
		_, created, recs, err = s.DecidePutSource(&protocol.SourceSpec{
			Name: name, Topic: "t", Cluster: "default", Keep: []string{"a"}, KeyJSON: "/a", IDHeader: "x",
			Verify: protocol.SourceVerify{Scheme: protocol.SchemeGitHub}, Secret: protocol.Secret(secret),
		}, now, limit)
		return created, recs, err
	}
	must := func(name, secret string, now int64) (created bool, changed int) {
		t.Helper()
		created, recs, err := put(name, secret, now, 2)
		commit(recs, err)
		return created, len(recs)
	}
	for _, name := range []string{"b", "a"} {
		created, changed := must(name, "one", 5)
		assert.True(t, created)
		assert.Equal(t, 1, changed)
	}
	_, _, err := put("c", "one", 5, 2)
	assert.Equal(t, protocol.CodeTooManySources, err.Code)
	before := s.Sources()
	require.Len(t, before, 2)
	assert.Equal(t, "a", before[0].Name)
	created, changed := must("a", "one", 9)
	assert.False(t, created)
	assert.Zero(t, changed, "nothing changes")
	created, changed = must("a", "two", 9)
	assert.False(t, created)
	assert.Equal(t, 1, changed, "another secret is a change")
	assert.Equal(t, protocol.Secret("two"), s.Sources()[0].Secret)
	assert.Equal(t, protocol.Secret("one"), before[0].Secret, "the list of before is as it was")
	assert.Equal(t, before[0].CreatedAt, s.Sources()[0].CreatedAt)
	assert.Same(t, before[1], s.Sources()[1])
	commit(s.DecideDeleteSource("b"))
	_, err = s.DecideDeleteSource("b")
	assert.Equal(t, protocol.CodeSourceNotFound, err.Code)

	again := New()
	for _, rec := range log {
		require.NoError(t, again.Apply(rec))
	}
	assert.Equal(t, s.Dump(), again.Dump())
	assert.Contains(t, s.Dump(), `source {"v":1,"name":"a","topic":"t"`)
	newest := New()
	require.NoError(t, newest.Apply(log[len(log)-1]))
	require.NoError(t, newest.Apply(log[len(log)-2]))
	assert.Equal(t, s.Dump(), newest.Dump(), "the newest record of each key is enough")
}

// What clients read of a source has everything but the secret.
func TestRecordsWithoutSecrets(t *testing.T) {
	rec := sourceRecord(actionCreateSource, &protocol.Source{SourceSpec: protocol.SourceSpec{
		Name: "a", Topic: "t", Verify: protocol.SourceVerify{Scheme: protocol.SchemeGitHub}, Secret: "hidden",
	}})
	require.Contains(t, string(rec.Value), "hidden")
	shown := string(WithoutSecrets(rec.Key, rec.Value))
	assert.NotContains(t, shown, "hidden")
	assert.Equal(t, strings.Replace(string(rec.Value), "hidden", "left out", 1), shown)
	assert.Contains(t, string(rec.Value), "hidden", "the record is as it was")
	assert.Equal(t, protocol.NullToken, string(WithoutSecrets(rec.Key, []byte(protocol.NullToken))))
	assert.Equal(t, protocol.NullToken, string(WithoutSecrets(rec.Key, []byte(`{"secret":"hidden","v":"hidden"}`))), "what cannot be read is not shown")
	other := []byte(`{"secret":"x"}`)
	assert.Equal(t, other, WithoutSecrets([]byte(`["topic","source"]`), other))
}
