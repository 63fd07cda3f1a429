package catalog

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// keysOf are keys that differ by n.
func keysOf(salt string, n byte) *protocol.ScramKeys {
	of := func(size int) protocol.ScramPair {
		return protocol.ScramPair{Stored: bytes.Repeat([]byte{n}, size), Server: bytes.Repeat([]byte{n + 1}, size)}
	}
	return &protocol.ScramKeys{Salt: []byte(salt), Iterations: 4096, SHA256: of(32), SHA512: of(64)}
}

// Keys for SCRAM are kept with their secret: they come back from the log, stay where a
// token is altered, and go with a rotation to the secret before, if that can be shown.
func TestKeysOfScramAreKept(t *testing.T) {
	s, again := New(), New()
	do := func(_ *protocol.TokenInfo, recs []metarecord.Record, err *protocol.Error) *protocol.TokenEntry {
		t.Helper()
		require.Nil(t, err)
		require.Len(t, recs, 1)
		require.NoError(t, s.Apply(recs[0]))
		require.NoError(t, again.Apply(recs[0]))
		require.Equal(t, s.Dump(), again.Dump())
		return s.Tokens()[0]
	}
	allow := []protocol.Grant{{Do: []string{"read"}}}
	e := do(s.DecideCreateToken(&protocol.TokenSpec{Name: "a", Allow: allow}, protocol.TokenSecret{Hash: protocol.TokenHash{1}}, 1000, 9))
	assert.Nil(t, e.Scram, "below the level there are none")
	rotate := func(n byte, salt string, overlapMs int64) *protocol.TokenEntry {
		t.Helper()
		return do(s.DecideRotateToken("a", protocol.TokenSecret{Hash: protocol.TokenHash{n}, Scram: keysOf(salt, n)}, 1000, overlapMs))
	}
	e = rotate(2, "salt", 5000)
	assert.Equal(t, keysOf("salt", 2), e.Scram)
	assert.Nil(t, e.PreviousScram)
	e = rotate(3, "salt", 5000)
	assert.Equal(t, keysOf("salt", 3), e.Scram)
	assert.Equal(t, keysOf("salt", 2), e.PreviousScram)
	e = do(s.DecideAlterToken(&protocol.TokenSpec{Name: "a", Allow: []protocol.Grant{{Do: []string{"write"}}}}))
	assert.Equal(t, keysOf("salt", 3), e.Scram)
	assert.Equal(t, keysOf("salt", 2), e.PreviousScram)
	e = rotate(4, "other salt", 5000)
	assert.Nil(t, e.PreviousScram, "nobody is told two salts")
	assert.Equal(t, protocol.TokenHash{3}, e.Previous)
	e = rotate(5, "other salt", 0)
	assert.Nil(t, e.PreviousScram, "that secret is not valid")

	for what, edit := range map[string]func(*scramValue){
		"no salt":         func(v *scramValue) { v.Salt = nil },
		"a long salt":     func(v *scramValue) { v.Salt = make([]byte, 65) },
		"few iterations":  func(v *scramValue) { v.Iterations = 4095 },
		"many iterations": func(v *scramValue) { v.Iterations = 1<<20 + 1 },
		"a short SHA-256": func(v *scramValue) { v.SHA256 = v.SHA256[1:] },
		"a long SHA-512":  func(v *scramValue) { v.SHA512 = append(v.SHA512, 0) },
	} {
		bad := scramValueOf(keysOf("salt", 1))
		edit(bad)
		for _, previous := range []bool{false, true} {
			v := tokenValueOf(e)
			if v.Scram = bad; previous {
				v.Scram, v.PreviousScram, v.Previous, v.PreviousUntil = nil, bad, v.Hash, 1
			}
			before := s.Dump()
			assert.Error(t, s.Apply(metarecord.Record{Action: actionAlterToken, Key: metarecord.Key(keyToken, "a"), Value: metarecord.JSON(v)}), what)
			assert.Equal(t, before, s.Dump())
		}
	}
}

// Who reads __cluster_metadata as a client sees tokens without their keys for SCRAM.
func TestKeysOfScramAreNotRead(t *testing.T) {
	until := int64(5)
	v := tokenValue{V: 1, Hash: strings.Repeat("ab", 32), Previous: strings.Repeat("cd", 32), PreviousUntil: until, Scram: scramValueOf(keysOf("salt", 1)), PreviousScram: scramValueOf(keysOf("salt", 7))}
	raw := metarecord.JSON(v)
	shown := string(WithoutSecrets(metarecord.Key(keyToken, "a"), raw))
	assert.NotContains(t, shown, "scram")
	for _, key := range [][]byte{v.Scram.SHA256, v.PreviousScram.SHA512, v.Scram.Salt} {
		assert.Contains(t, string(raw), base64.StdEncoding.EncodeToString(key))
		assert.NotContains(t, shown, base64.StdEncoding.EncodeToString(key)[:6])
	}
	assert.Contains(t, shown, `"hash":"abab`)
	assert.Equal(t, protocol.NullToken, string(WithoutSecrets(metarecord.Key(keyToken, "a"), []byte(protocol.NullToken))))
	assert.Equal(t, protocol.NullToken, string(WithoutSecrets(metarecord.Key(keyToken, "a"), []byte(`{"v":1,"unknown":"secret"}`))))
}

// All nodes make the same salt of a name, and no salt tells anything of the key that seals.
func TestSalts(t *testing.T) {
	s := New()
	assert.Nil(t, s.SaltKey())
	key := bytes.Repeat([]byte{7}, SealKeyBytes)
	seal := metarecord.Record{Action: actionSealCursors, Key: metarecord.Key(keySeal), Value: metarecord.JSON(sealValue{metarecord.Format, key})}
	require.NoError(t, s.Apply(seal))
	again := New()
	require.NoError(t, again.Apply(seal))
	assert.Equal(t, Salt(s.SaltKey(), "a"), Salt(again.SaltKey(), "a"))
	assert.Len(t, Salt(s.SaltKey(), "a"), 16)
	assert.NotEqual(t, Salt(s.SaltKey(), "a"), Salt(s.SaltKey(), "b"))
	assert.NotEqual(t, Salt(s.SaltKey(), "a"), Salt(key, "a"))
}
