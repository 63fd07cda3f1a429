package protocol

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// A text with half a surrogate pair is JSON, but no reader can say which text it
// is: encoding/json puts U+FFFD in its place.
func TestHasHalfSurrogate(t *testing.T) {
	for text, want := range map[string]bool{
		`""`:                     false,
		`"plain"`:                false,
		`"\u0041"`:               false,
		`"\ud83d\ude00"`:         false, // a pair
		`"\uD83D\uDE00"`:         false,
		`"\ud83d"`:               true,
		`"\ude00"`:               true,
		`"\ude00\ud83d"`:         true, // the wrong way round
		`"\ud83d\ud83d\ude00"`:   true,
		`"\ud83d\ude00\ude00"`:   true,
		`"\ud83d\u0041"`:         true,
		`"\ud83dx"`:              true,
		`"\\ud83d"`:              false, // a backslash, and letters
		`"\\\ud83d"`:             true,
		`{"a":["\ud83d"]}`:       true,
		`{"\ude00":1}`:           true,
		`{"a":{"\ude00":1}}`:     true,
		`{"a":["\ud83d\ude00"]}`: false,
		`[1,true,null]`:          false,
	} {
		assert.Equal(t, want, HasHalfSurrogate([]byte(text)), text)
		r := NewJSONReader([]byte(text))
		value, ok := r.Value()
		assert.True(t, ok, text)
		assert.Equal(t, want, value.HalfSurrogate(), text)
		var v any
		assert.NoError(t, json.Unmarshal([]byte(text), &v), text)
		if s, ok := v.(string); ok && !want {
			assert.NotContains(t, s, string(utf8.RuneError), text)
		}
	}
}
