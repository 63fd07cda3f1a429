package group

import (
	"testing"

	"ottla/actors/metarecord"

	"github.com/stretchr/testify/assert"
)

// FuzzGroupApply feeds the state with arbitrary records: it may refuse them, but
// neither panic nor change when it does.
func FuzzGroupApply(f *testing.F) {
	f.Add("JOIN", `["g","x"]`, `{"v":1,"generation":1,"members":[{"id":1,"topics":["t"],"session_ms":1}],"topics":[{"id":"t","name":"t","owners":[1]}],"created_at":1,"at":1}`)
	f.Add("COMMIT", `["o","x","t",0]`, `{"v":1,"offset":1,"topic":"t","at":1}`)
	f.Fuzz(func(t *testing.T, action, key, value string) {
		rec := metarecord.Record{Action: action, Key: []byte(key), Value: []byte(value)}
		if value == "" {
			rec.Value = nil
		}
		s := New("x")
		before := s.Dump()
		if s.Apply(rec) != nil {
			assert.Equal(t, before, s.Dump())
		}
	})
}
