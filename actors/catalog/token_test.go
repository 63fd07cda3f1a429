package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

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
		_, recs, err := s.DecideCreateToken(spec, protocol.TokenHash{hash}, 1795367763123, limit)
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
