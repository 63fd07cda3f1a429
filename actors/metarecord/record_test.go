package metarecord

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/protocol"
)

func TestStateRecordsAsLines(t *testing.T) {
	recs := []Record{
		{"COMMIT", Key("o", "g", "t1", 3), []byte(`{"v":1,"metadata":"a <b>"}`)},
		{Action: "DROP_OFFSET", Key: Key("o", "g", "t1", 3)},
	}
	var l protocol.Lines
	AppendLines(&l, protocol.OffsetsTopic, 7, 1795367763123, recs)
	require.Equal(t, 2, l.Len())
	assert.Equal(t, ""+
		`2026-11-22 17:16:03.123 __consumer_offsets 7 41 ["o","g","t1",3] {"v":1,"metadata":"a <b>"} COMMIT`+"\n"+
		`2026-11-22 17:16:03.123 __consumer_offsets 7 42 ["o","g","t1",3] - DROP_OFFSET`+"\n",
		string(l.AppendNumbered(nil, 41)))
}

func TestStateRecordOfTokens(t *testing.T) {
	tests := []struct {
		name               string
		key, value, action string
		want               Record
		err                string
	}{
		{"value", `["g","x"]`, `{"v":1}`, "JOIN", Record{"JOIN", []byte(`["g","x"]`), []byte(`{"v":1}`)}, ""},
		{"tombstone", `["g","x"]`, `-`, "DELETE_GROUP", Record{"DELETE_GROUP", []byte(`["g","x"]`), nil}, ""},
		{"no key", `-`, `{"v":1}`, "JOIN", Record{}, "not JSON"},
		{"text value", `["g","x"]`, `t"a"`, "JOIN", Record{}, "not JSON"},
		{"no action", `["g","x"]`, `{}`, "", Record{}, "no action"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := Parse([]byte(tt.key), []byte(tt.value), []byte(tt.action))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, rec)
		})
	}
}

func TestStateKeysSplit(t *testing.T) {
	kind, args, err := SplitKey(Key("o", "group.1", "id", 12))
	require.NoError(t, err)
	assert.Equal(t, "o", kind)
	assert.Equal(t, []string{"group.1", "id", "12"}, args)
	for _, bad := range []string{``, `[]`, `{}`, `"g"`, `["g"`, `null`} {
		_, _, err := SplitKey([]byte(bad))
		assert.Error(t, err, bad)
	}
}

// FuzzStateRecord: a record of an internal topic goes through a line of the
// log unchanged.
func FuzzStateRecord(f *testing.F) {
	f.Add("COMMIT", "group.1", "topic\"", 3, []byte(`{"v":1,"offset":4,"topic":"t","at":5}`))
	f.Add("DELETE_TOPIC", "", "\x00\u2028", -1, []byte(nil))
	f.Add("JOIN", "a", "b", 0, []byte(`"null"`))
	f.Fuzz(func(t *testing.T, action, first, second string, number int, v []byte) {
		var value []byte
		if v != nil {
			var compact bytes.Buffer
			if json.Compact(&compact, v) != nil || compact.String() == "null" {
				return // metarecord.JSON writes no such value
			}
			value = compact.Bytes()
		}
		rec := Record{Action: "COMMIT", Key: Key(first, second, number), Value: value}
		var lines protocol.Lines
		AppendLines(&lines, protocol.OffsetsTopic, 1, 1790000000123, []Record{rec})
		text := lines.AppendNumbered(nil, 7)
		require.Equal(t, 1, bytes.Count(text, []byte("\n")))
		l, err := logfile.ParseLine(text[:len(text)-1])
		if !json.Valid(rec.Key) || err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		back, err := Parse(l.Key, l.Value, l.Action)
		require.NoError(t, err)
		require.Equal(t, rec, back)
		kind, args, err := SplitKey(back.Key)
		require.NoError(t, err)
		require.Equal(t, Key(first, second, number), Key(kind, args[0], json.Number(args[1])))
		_, _ = Parse([]byte(first), v, []byte(action))
		_, _, _ = SplitKey(v)
	})
}
