package catalog

import (
	"fmt"

	"ottla/actors/metarecord"
)

// SealKeyBytes is the length of the key that seals cursors.
const SealKeyBytes = 32

const keySeal = "seal" // ["seal"]

// sealValue is the key with which a cluster seals what it gives to clients and takes back.
type sealValue struct {
	V   int    `json:"v"`
	Key []byte `json:"key"`
}

// SealKey is the key with which the cluster seals cursors; nil: it has none yet. It is
// never changed.
func (s *State) SealKey() []byte { return s.sealKey }

// DecideSealKey gives the cluster a key, if it has none.
func (s *State) DecideSealKey(key []byte) []metarecord.Record {
	if s.settings == nil || s.sealKey != nil {
		return nil
	}
	return []metarecord.Record{{Action: actionSealCursors, Key: metarecord.Key(keySeal), Value: metarecord.JSON(sealValue{metarecord.Format, key})}}
}

func (s *State) applySeal(value []byte) error {
	var v sealValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	if len(v.Key) != SealKeyBytes {
		return fmt.Errorf("the key that seals cursors has %d bytes", len(v.Key))
	}
	s.sealKey = v.Key
	return nil
}
