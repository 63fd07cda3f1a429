package protocol

import (
	"encoding/json"
	"slices"
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

// Escaping the ends of lines keeps the value, and what stands before.
func FuzzEscapeLineEnds(f *testing.F) {
	for _, s := range []string{"", "a", "\u2028", "\u0085\u2029x\u2028", "\u2030\u2027", "\xe2\x80", "\xc2", "é\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := AppendJSONString([]byte("\u2028"), text)
		out := EscapeLineEnds(slices.Clone(in), len("\u2028"))
		require.True(t, strings.HasPrefix(string(out), "\u2028\""))
		out = out[len("\u2028"):]
		require.False(t, strings.ContainsAny(string(out), "\u0085\u2028\u2029"))
		var got, want string
		require.NoError(t, json.Unmarshal(out, &got))
		require.NoError(t, json.Unmarshal(in[len("\u2028"):], &want))
		require.Equal(t, want, got)
	})
}

// Half a surrogate pair is found exactly where decoding finds it.
func FuzzHalfSurrogates(f *testing.F) {
	for _, s := range []string{`"\ud800"`, `"\ud83d\ude00"`, `"\\ud800"`, `"\n\udc00x"`, `["\ud800",{"\udfff":1}]`, `{"\ud83d":1}`, `1`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewJSONReader(in)
		v, ok := r.Value()
		if !ok {
			return
		}
		require.Equal(t, HasHalfSurrogate(v.Raw), v.HalfSurrogate(), "%q", in)
		if v.Raw[0] != '"' {
			return
		}
		_, whole := AppendUnescaped(nil, v.Raw[1:len(v.Raw)-1])
		require.Equal(t, !whole, HasHalfSurrogate(v.Raw), "%q", in)
	})
}
