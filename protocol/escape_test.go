package protocol

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAppendJSONStringEscapesWhatItMust(t *testing.T) {
	for in, want := range map[string]string{
		"":                     `""`,
		"plain é 😀":            `"plain é 😀"`,
		`a"b\c`:                `"a\"b\\c"`,
		"\n\r\t":               `"\n\r\t"`,
		"\x00\x1f\x08":         `"\u0000\u001f\u0008"`,
		"\x7f":                 "\"\x7f\"", // DEL needs no escape in JSON
		"</script>&":           `"</script>&"`,
		"\u2028":               "\"\u2028\"",
		"a\xffb":               "\"a\ufffdb\"",
		"\xe2\x82":             "\"\ufffd\ufffd\"", // a rune that is cut off
		"\xed\xa0\x80":         "\"\ufffd\ufffd\ufffd\"",
		"\ufffd":               "\"\ufffd\"", // the real one stays
		"\xff" + "end":         "\"\ufffdend\"",
		strings.Repeat("x", 9): `"xxxxxxxxx"`,
	} {
		assert.Equal(t, want, string(AppendJSONString(nil, in)), "%q", in)
		assert.Equal(t, "k:"+want, string(AppendJSONString([]byte("k:"), []byte(in))), "%q", in)
	}
}

// A JSON string decodes to the same text as one that the standard library encodes,
// with both decoders, and nothing in it can end a line of the log.
func FuzzJSONStrings(f *testing.F) {
	for _, s := range naughty {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		text := AppendJSONString(nil, in)
		theirs, err := json.Marshal(string(in))
		require.NoError(t, err)
		var got, want string
		require.NoError(t, json.Unmarshal(text, &got))
		require.NoError(t, json.Unmarshal(theirs, &want))
		require.Equal(t, want, got)
		require.True(t, utf8.Valid(text))
		for _, c := range text {
			require.GreaterOrEqual(t, c, byte(0x20))
		}
		r := NewJSONReader(text)
		v, ok := r.Value()
		require.True(t, ok)
		require.NoError(t, r.End())
		inner, whole := AppendUnescaped(nil, v.Raw[1:len(v.Raw)-1])
		require.True(t, whole)
		require.Equal(t, got, string(inner))
	})
}
