package catalog

import (
	"testing"

	"ottla/actors/metarecord"

	"github.com/stretchr/testify/assert"
)

// FuzzClusterApply feeds the state with arbitrary records: it may refuse them, but
// neither panic nor change when it does.
func FuzzClusterApply(f *testing.F) {
	f.Add("CREATE_TOPIC", `["topic","t"]`, `{"v":1,"topic":{"name":"a","partitions":1}}`)
	f.Add("PLACE_PARTITION", `["partition","t",0]`, `{"v":1,"replicas":[{"broker":1,"id":1}],"next_replica_id":2}`)
	f.Add("CONSUMER_IDS", `["consumer_ids"]`, `{"v":1,"next":5}`)
	f.Add("CREATE_TOKEN", `["token","a"]`, `{"v":1,"hash":"00","allow":[{"do":["read"]}],"created_at":5}`)
	f.Add("CREATE_SUBSCRIPTION", `["subscription","a"]`, `{"v":1,"cluster":"default","topics":["t"],"group":"g","url":"https://a.example","batch":1,"order":"key","secret":"s","headers":{"x":"y"},"consumer_id":7,"created_at":5}`)
	f.Add("CREATE_SOURCE", `["source","a"]`, `{"v":1,"topic":"t","keep":[],"verify":{"scheme":"github"},"secret":"s","created_at":5}`)
	f.Add("REGISTER_BROKER", `["broker",1]`, `{"v":1,"id":1}`)
	f.Fuzz(func(t *testing.T, action, key, value string) {
		rec := metarecord.Record{Action: action, Key: []byte(key), Value: []byte(value)}
		if value == "" {
			rec.Value = nil
		}
		s := New()
		before := s.Dump()
		if s.Apply(rec) != nil {
			assert.Equal(t, before, s.Dump())
		}
	})
}
