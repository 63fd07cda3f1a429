package catalog

import (
	"cmp"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Tokens are all tokens by name. Neither the list nor its entries are ever
// changed: what is different after a record is another list, and a token that was
// changed another entry.
func (s *registryState) Tokens() []*protocol.TokenEntry { return s.tokens }

// findToken is where a token is, or would be, in the list.
func (s *registryState) findToken(name string) (at int, found bool) {
	return slices.BinarySearchFunc(s.tokens, name, func(t *protocol.TokenEntry, name string) int { return cmp.Compare(t.Name, name) })
}

// DecideCreateToken creates a token. One that exists is an error, also with the same rights,
// unlike with topics: the secret is a new one with each request, and of the one that is
// kept there are only hashes. Now is in milliseconds since 1970. Errors: token_exists,
// too_many_tokens (there are limit already).
func (s *registryState) DecideCreateToken(spec *protocol.TokenSpec, secret protocol.TokenSecret, now int64, limit int) (*protocol.TokenInfo, []metarecord.Record, *protocol.Error) {
	if _, found := s.findToken(spec.Name); found {
		return nil, nil, protocol.Errorf(protocol.CodeTokenExists, "token %q already exists", spec.Name)
	}
	// Every node has all of them in memory.
	if len(s.tokens) >= limit {
		return nil, nil, protocol.Errorf(protocol.CodeTooManyTokens, "there are %d tokens, as many as limits.tokens allows", len(s.tokens)).
			With("limit", limit)
	}
	t := &protocol.TokenEntry{TokenSecret: secret, TokenInfo: protocol.TokenInfo{Name: spec.Name, CreatedAt: time.UnixMilli(now).UTC()}}
	set(t, spec)
	return &t.TokenInfo, []metarecord.Record{tokenRecord(actionCreateToken, t)}, nil
}

// DecideAlterToken changes what spec sends. No records are returned when nothing
// changes. Error: token_not_found.
func (s *registryState) DecideAlterToken(spec *protocol.TokenSpec) (*protocol.TokenInfo, []metarecord.Record, *protocol.Error) {
	at, found := s.findToken(spec.Name)
	if !found {
		return nil, nil, tokenNotFound(spec.Name)
	}
	t := *s.tokens[at]
	set(&t, spec)
	rec := tokenRecord(actionAlterToken, &t)
	// Compared as they are written, so that no field can be forgotten here.
	if string(rec.Value) == string(tokenRecord(actionAlterToken, s.tokens[at]).Value) {
		return &t.TokenInfo, nil, nil
	}
	return &t.TokenInfo, []metarecord.Record{rec}, nil
}

// DecideRotateToken gives a token another secret. The one that it has is valid for
// overlapMs longer, the one before that not any more. It can be shown by SCRAM as long as
// its salt is that of the new one: a client is told one salt before it has shown which
// secret it has. Now is in milliseconds since 1970. Error: token_not_found.
func (s *registryState) DecideRotateToken(name string, secret protocol.TokenSecret, now, overlapMs int64) (*protocol.TokenInfo, []metarecord.Record, *protocol.Error) {
	at, found := s.findToken(name)
	if !found {
		return nil, nil, tokenNotFound(name)
	}
	t := *s.tokens[at]
	t.Previous, t.PreviousUntil, t.PreviousScram = protocol.TokenHash{}, nil, nil
	// 0 is for a secret that has become known: the old one ends at once.
	if overlapMs > 0 {
		until := time.UnixMilli(now + overlapMs).UTC()
		t.Previous, t.PreviousUntil = t.Hash, &until
		if t.Scram.SameSalt(secret.Scram) {
			t.PreviousScram = t.Scram
		}
	}
	t.TokenSecret = secret
	return &t.TokenInfo, []metarecord.Record{tokenRecord(actionAlterToken, &t)}, nil
}

// DecideDeleteToken deletes a token. Error: token_not_found.
func (s *registryState) DecideDeleteToken(name string) ([]metarecord.Record, *protocol.Error) {
	if _, found := s.findToken(name); !found {
		return nil, tokenNotFound(name)
	}
	return []metarecord.Record{{Action: actionDeleteToken, Key: metarecord.Key(keyToken, name)}}, nil
}

// set sets what spec sends.
func set(t *protocol.TokenEntry, spec *protocol.TokenSpec) {
	if spec.Allow != nil {
		t.Allow = spec.Allow
	}
	if spec.Quota != nil {
		t.Quota = spec.Quota
		// An empty one takes the quota away, as a time of zero below takes the end away.
		if *spec.Quota == (protocol.TokenQuota{}) {
			t.Quota = nil
		}
	}
	if spec.ExpiresAt != nil {
		t.ExpiresAt = nil
		if !spec.ExpiresAt.IsZero() {
			// As a record has it, so that it is the same before and after a restart.
			at := spec.ExpiresAt.UTC().Truncate(time.Millisecond)
			t.ExpiresAt = &at
		}
	}
}

func tokenNotFound(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeTokenNotFound, "token %q does not exist", name)
}

func tokenRecord(action string, t *protocol.TokenEntry) metarecord.Record {
	return metarecord.Record{Action: action, Key: metarecord.Key(keyToken, t.Name), Value: metarecord.JSON(tokenValueOf(t))}
}

func tokenValueOf(t *protocol.TokenEntry) tokenValue {
	v := tokenValue{V: metarecord.Format, Hash: hex.EncodeToString(t.Hash[:]), Allow: t.Allow, CreatedAt: t.CreatedAt.UnixMilli(), Quota: t.Quota, Scram: scramValueOf(t.Scram)}
	if t.ExpiresAt != nil {
		v.ExpiresAt = t.ExpiresAt.UnixMilli()
	}
	if t.PreviousUntil != nil {
		v.Previous, v.PreviousUntil = hex.EncodeToString(t.Previous[:]), t.PreviousUntil.UnixMilli()
		v.PreviousScram = scramValueOf(t.PreviousScram)
	}
	return v
}

func parseTokenHash(text string) (hash protocol.TokenHash, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(hash) {
		return hash, errors.New("the hash of the token is no SHA-256")
	}
	return protocol.TokenHash(b), nil
}

func (s *registryState) applyToken(name string, value []byte) error {
	at, found := s.findToken(name)
	if value == nil {
		if found {
			s.tokens = slices.Delete(slices.Clone(s.tokens), at, at+1)
		}
		return nil
	}
	var v tokenValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	t := &protocol.TokenEntry{TokenInfo: protocol.TokenInfo{Name: name, Allow: v.Allow, Quota: v.Quota, CreatedAt: time.UnixMilli(v.CreatedAt).UTC()}}
	var err error
	if t.Hash, err = parseTokenHash(v.Hash); err != nil {
		return err
	}
	if t.Scram, err = v.Scram.keys(); err != nil {
		return err
	}
	if v.PreviousUntil != 0 {
		if t.Previous, err = parseTokenHash(v.Previous); err != nil {
			return err
		}
		if t.PreviousScram, err = v.PreviousScram.keys(); err != nil {
			return err
		}
		until := time.UnixMilli(v.PreviousUntil).UTC()
		t.PreviousUntil = &until
	}
	if v.ExpiresAt != 0 {
		at := time.UnixMilli(v.ExpiresAt).UTC()
		t.ExpiresAt = &at
	}
	// Requests look at the old list meanwhile, without a lock.
	s.tokens = slices.Clone(s.tokens)
	if found {
		s.tokens[at] = t
	} else {
		s.tokens = slices.Insert(s.tokens, at, t)
	}
	return nil
}
