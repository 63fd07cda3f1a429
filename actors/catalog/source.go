package catalog

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// sourceValue is the value of a source.
type sourceValue struct {
	V int `json:"v"`
	protocol.SourceSpec
	Secret    string `json:"secret"`     // as it was sent: a signature is made of the secret itself, not of a hash
	CreatedAt int64  `json:"created_at"` // milliseconds since 1970
}

// Sources are all sources of webhooks by name. As with Tokens, neither the list nor
// its entries are ever changed.
func (s *registryState) Sources() []*protocol.Source { return s.sources }

// FindSource finds a source in a list of them by name, and where it is, or would be.
func FindSource(list []*protocol.Source, name string) (at int, found bool) {
	return slices.BinarySearchFunc(list, name, func(t *protocol.Source, name string) int { return cmp.Compare(t.Name, name) })
}

// DecidePutSource creates a source, or gives it other settings. No records are
// returned when nothing changes. Now is in milliseconds since 1970. Error:
// too_many_sources (there are limit already).
func (s *registryState) DecidePutSource(spec *protocol.SourceSpec, now int64, limit int) (src *protocol.Source, created bool, recs []metarecord.Record, err *protocol.Error) {
	src = &protocol.Source{SourceSpec: *spec, CreatedAt: time.UnixMilli(now).UTC()}
	action := actionCreateSource
	at, found := FindSource(s.sources, spec.Name)
	switch {
	case found:
		action, src.CreatedAt = actionAlterSource, s.sources[at].CreatedAt
	case len(s.sources) >= limit:
		return nil, false, nil, protocol.Errorf(protocol.CodeTooManySources, "there are %d sources, as many as limits.sources allows", len(s.sources)).
			With("limit", limit)
	}
	rec := sourceRecord(action, src)
	// As written, so that no field can be forgotten here, nor the secret.
	if found && bytes.Equal(rec.Value, sourceRecord(action, s.sources[at]).Value) {
		return src, false, nil, nil
	}
	return src, !found, []metarecord.Record{rec}, nil
}

// DecideDeleteSource deletes a source. Error: source_not_found.
func (s *registryState) DecideDeleteSource(name string) ([]metarecord.Record, *protocol.Error) {
	if _, found := FindSource(s.sources, name); !found {
		return nil, SourceNotFound(name)
	}
	return []metarecord.Record{{Action: actionDeleteSource, Key: metarecord.Key(keySource, name)}}, nil
}

// SourceNotFound is the error for a source that does not exist.
func SourceNotFound(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeSourceNotFound, "source %q does not exist", name)
}

func sourceRecord(action string, src *protocol.Source) metarecord.Record {
	return metarecord.Record{Action: action, Key: metarecord.Key(keySource, src.Name), Value: metarecord.JSON(sourceValue{
		V: metarecord.Format, SourceSpec: src.SourceSpec, Secret: string(src.Secret), CreatedAt: src.CreatedAt.UnixMilli(),
	})}
}

func (s *registryState) applySource(name string, value []byte) error {
	at, found := FindSource(s.sources, name)
	if value == nil {
		if found {
			s.sources = slices.Delete(slices.Clone(s.sources), at, at+1)
		}
		return nil
	}
	var v sourceValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	src := &protocol.Source{SourceSpec: v.SourceSpec, CreatedAt: time.UnixMilli(v.CreatedAt).UTC()}
	src.Name, src.Secret = name, protocol.Secret(v.Secret)
	// Readers have the old list.
	s.sources = slices.Clone(s.sources)
	if found {
		s.sources[at] = src
	} else {
		s.sources = slices.Insert(s.sources, at, src)
	}
	return nil
}

// sourceKeys begins the keys of sources.
var sourceKeys = []byte(`["` + keySource + `",`)

// WithoutSecrets is the value of a record of __cluster_metadata as clients may read
// it: everything but the secrets of sources and subscriptions, and tokens' keys for SCRAM.
// It does not change value.
func WithoutSecrets(key, value []byte) []byte {
	switch {
	case bytes.HasPrefix(key, tokenKeys):
		return tokenWithoutSecrets(value)
	case bytes.HasPrefix(key, subscriptionKeys):
		return subscriptionWithoutSecrets(value)
	case !bytes.HasPrefix(key, sourceKeys):
		return value
	}
	var v sourceValue
	if string(value) == protocol.NullToken || metarecord.Decode(value, &v) != nil {
		return []byte(protocol.NullToken)
	}
	v.Secret = "left out"
	return metarecord.JSON(v)
}
