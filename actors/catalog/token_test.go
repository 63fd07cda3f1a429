package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

func TestATokenIsRotated(t *testing.T) {
	s := New()
	do := func(info *protocol.TokenInfo, recs []metarecord.Record, err *protocol.Error) *protocol.TokenInfo {
		t.Helper()
		require.Nil(t, err)
		for _, rec := range recs {
			require.NoError(t, s.Apply(rec))
		}
		return info
	}
	do(s.DecideCreateToken(&protocol.TokenSpec{Name: "a", Allow: []protocol.Grant{{Do: []string{"read"}}}}, protocol.TokenSecret{Hash: protocol.TokenHash{1}}, 1000, 9))
	until := time.UnixMilli(7000).UTC()
	info := do(s.DecideRotateToken("a", protocol.TokenSecret{Hash: protocol.TokenHash{2}}, 2000, 5000))
	require.Equal(t, &until, info.PreviousUntil)
	is := func(hash, previous byte, until *time.Time) {
		t.Helper()
		e := s.Tokens()[0]
		require.Equal(t, protocol.TokenHash{hash}, e.Hash)
		require.Equal(t, protocol.TokenHash{previous}, e.Previous)
		require.Equal(t, until, e.PreviousUntil)
		require.Len(t, e.Allow, 1)
	}
	is(2, 1, &until)
	do(s.DecideAlterToken(&protocol.TokenSpec{Name: "a", Allow: []protocol.Grant{{Do: []string{"write"}}}}))
	is(2, 1, &until)
	do(s.DecideRotateToken("a", protocol.TokenSecret{Hash: protocol.TokenHash{3}}, 3000, 4000))
	is(3, 2, &until)
	do(s.DecideRotateToken("a", protocol.TokenSecret{Hash: protocol.TokenHash{4}}, 3000, 0))
	is(4, 0, nil)
	_, _, err := s.DecideRotateToken("b", protocol.TokenSecret{Hash: protocol.TokenHash{4}}, 3000, 0)
	require.Equal(t, protocol.CodeTokenNotFound, err.Code)
	for _, bad := range []string{`{"v":1,"hash":"","allow":[],"created_at":1,"previous":"00","previous_until":5}`} {
		require.Error(t, s.Apply(metarecord.Record{Action: actionAlterToken, Key: metarecord.Key(keyToken, "a"), Value: []byte(bad)}))
	}
}

func TestTokens(t *testing.T) {
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
	create := func(name string, hash byte, limit int) ([]metarecord.Record, *protocol.Error) {
		spec := &protocol.TokenSpec{Name: name, Allow: []protocol.Grant{{Do: []string{"read"}, Topics: "a*"}}}
		_, recs, err := s.DecideCreateToken(spec, protocol.TokenSecret{Hash: protocol.TokenHash{hash}}, 1795367763123, limit)
		return recs, err
	}
	commit(create("b", 1, 2))
	commit(create("a", 2, 2))
	_, err := create("b", 3, 9)
	assert.Equal(t, protocol.CodeTokenExists, err.Code)
	_, err = create("c", 3, 2)
	assert.Equal(t, protocol.CodeTooManyTokens, err.Code)
	before := s.Tokens()
	require.Len(t, before, 2)
	assert.Equal(t, "a", before[0].Name)
	assert.Equal(t, protocol.TokenHash{2}, before[0].Hash)

	at := time.UnixMilli(1895367763123).UTC()
	alter := func(spec *protocol.TokenSpec) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideAlterToken(spec)
		return recs, err
	}
	commit(alter(&protocol.TokenSpec{Name: "a", ExpiresAt: &at}))
	assert.Nil(t, before[0].ExpiresAt, "the list of before is as it was")
	assert.Equal(t, &at, s.Tokens()[0].ExpiresAt)
	assert.Equal(t, before[0].Allow, s.Tokens()[0].Allow)
	assert.Same(t, before[1], s.Tokens()[1])
	recs, err := alter(&protocol.TokenSpec{Name: "a", ExpiresAt: &at})
	assert.Nil(t, err)
	assert.Empty(t, recs, "nothing changes")
	_, err = alter(&protocol.TokenSpec{Name: "nobody"})
	assert.Equal(t, protocol.CodeTokenNotFound, err.Code)
	commit(alter(&protocol.TokenSpec{Name: "b", Allow: []protocol.Grant{{Do: []string{"admin"}}}}))
	commit(s.DecideDeleteToken("a"))
	_, err = s.DecideDeleteToken("a")
	assert.Equal(t, protocol.CodeTokenNotFound, err.Code)
	commit(create("a", 7, 2))
	commit(alter(&protocol.TokenSpec{Name: "a", ExpiresAt: &at}))
	commit(alter(&protocol.TokenSpec{Name: "a", ExpiresAt: &time.Time{}}))
	assert.Nil(t, s.Tokens()[0].ExpiresAt)

	// All of the log and the newest record of each key alone mean the same.
	compacted, again := New(), New()
	for i, rec := range log {
		require.NoError(t, again.Apply(rec))
		newest := true
		for _, later := range log[i+1:] {
			newest = newest && string(later.Key) != string(rec.Key)
		}
		if newest {
			require.NoError(t, compacted.Apply(rec))
		}
	}
	assert.Equal(t, s.Dump(), again.Dump())
	assert.Equal(t, s.Dump(), compacted.Dump())
	assert.Contains(t, s.Dump(), `token a {"v":1,"hash":"0700`)

	for _, value := range []string{`{"v":1,"hash":"zz"}`, `{"v":1,"hash":""}`, `{"v":1,"hash":"00","more":1}`, `{"v":2}`} {
		assert.Error(t, s.Apply(metarecord.Record{Action: "CREATE_TOKEN", Key: metarecord.Key("token", "x"), Value: []byte(value)}))
	}
	assert.Len(t, s.Tokens(), 2)
}
