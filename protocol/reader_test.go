package protocol

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The error for a text that is not JSON says what is wrong and where.
func TestSyntaxErrorsSayWhatAndWhere(t *testing.T) {
	for in, want := range map[string]string{
		``:                     "unexpected end at byte 0",
		`[1]`:                  "expected an object at byte 0",
		`{"a":1`:               "unexpected end at byte 6",
		`{"a" 1}`:              "expected ':' at byte 5",
		`{a:1}`:                "expected a field name at byte 1",
		`{"a":}`:               "expected a value at byte 5",
		`{"a":1,}`:             "expected a field name at byte 7",
		`{"a":1 "b":2}`:        "expected ',' or '}' at byte 7",
		`{"a":[1 2]}`:          "expected ',' or ']' at byte 8",
		`{"a":[1}`:             "expected ',' or ']' at byte 7",
		`{"a":{"b" 1}}`:        "expected ':' at byte 10",
		`{"a":{1:1}}`:          "expected a field name at byte 6",
		`{"a":"x`:              "unexpected end at byte 7",
		`{"a":"\q"}`:           "invalid escape at byte 6",
		"{\"a\":\"\x01\"}":     "control character in a string at byte 6",
		"{\"a\":\"\xff\"}":     "invalid UTF-8 at byte 6",
		"{\"\xff\":1}":         "invalid UTF-8 at byte 2",
		`{"a":-}`:              "expected a digit at byte 6",
		`{"a":1.}`:             "expected a digit at byte 7",
		`{"a":1e+}`:            "expected a digit at byte 8",
		`{"a":tru}`:            "expected a value at byte 5",
		`{"a":1} x`:            "unexpected text after the value at byte 8",
		`{"a":1}{"a":2}`:       "unexpected text after the value at byte 7",
		"\ufeff{}":             "expected an object at byte 0",
		`{"a":'x'}`:            "expected a value at byte 5",
		`{"a":{"b":1 "c":2}}`:  "expected ',' or '}' at byte 12",
		`{"a":{"b":1,"c":2,}}`: "expected a field name at byte 18",
	} {
		r := NewJSONReader([]byte(in))
		for r.Object(); r.Field(); {
			r.Value()
		}
		err := r.End()
		var syntax *SyntaxError
		require.ErrorAs(t, err, &syntax, in)
		assert.EqualError(t, err, want, in)
		assert.Equal(t, err, r.Err(), "it sticks")
	}
}

// A value that was read field by field is available as source text.
func TestSinceIsWhatWasRead(t *testing.T) {
	r := NewJSONReader([]byte(` [ {"a":1, "b" : [2]} ,{} , 3 , "x"] `))
	var got []string
	for r.Array(); r.Element(); {
		mark := r.Mark()
		if r.Kind() == '{' {
			for r.Object(); r.Field(); {
				r.Value()
			}
		} else {
			r.Value()
		}
		raw := r.Since(mark)
		got = append(got, string(raw))
		assert.Equal(t, len(raw), cap(raw), "an append to it does not write into the text")
	}
	require.NoError(t, r.End())
	assert.Equal(t, []string{`{"a":1, "b" : [2]}`, `{}`, `3`, `"x"`}, got)
}

func TestKindLooksAhead(t *testing.T) {
	r := NewJSONReader([]byte(` [ {} , [] , "s" , -1 , 2 , true , false , null ]`))
	var kinds []byte
	for r.Array(); r.Element(); {
		kinds = append(kinds, r.Kind())
		_, ok := r.Value()
		require.True(t, ok)
	}
	require.NoError(t, r.End())
	assert.Equal(t, `{["-2tfn`, string(kinds))
	assert.Zero(t, r.Kind(), "at the end")
}

// Values of a request share a scratch buffer. An earlier value must not change when
// the buffer grows, and a value without white space must not be copied.
func TestCompactSharesItsScratch(t *testing.T) {
	text := []byte(`[ {"a" : 1} , [1,2] , [ 3 , "x y" ] ]`)
	scratch := make([]byte, 0, 4)
	var got [][]byte
	r := NewJSONReader(text)
	for r.Array(); r.Element(); {
		v, ok := r.Value()
		require.True(t, ok)
		got = append(got, v.Compact(&scratch))
	}
	require.NoError(t, r.End())
	assert.Equal(t, `{"a":1}`, string(got[0]))
	assert.Equal(t, `[1,2]`, string(got[1]))
	assert.Equal(t, `[3,"x y"]`, string(got[2]))
	text[bytes.IndexByte(text, '2')] = '9' // the second value had no space, so it is the text itself
	assert.Equal(t, `[1,9]`, string(got[1]))
	assert.Equal(t, `{"a":1}[3,"x y"]`, string(scratch))
}

func TestFieldNamesAreDecoded(t *testing.T) {
	r := NewJSONReader([]byte(`{"\u0061\n":1,"":2,"é":3}`))
	var keys []string
	for r.Object(); r.Field(); {
		keys = append(keys, string(r.Key))
		r.Value()
	}
	require.NoError(t, r.End())
	assert.Equal(t, []string{"a\n", "", "é"}, keys)
}

func TestNaturalNumbers(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "10": 10, "999999999999999999": 999999999999999999} {
		for _, end := range []string{",1]", "]"} {
			r := NewJSONReader([]byte("[" + text + end))
			require.True(t, r.Array() && r.Element())
			n, ok := r.Natural()
			assert.True(t, ok, text)
			assert.Equal(t, want, n)
			for r.Element() {
				r.Value()
			}
			assert.NoError(t, r.End())
		}
	}
	for _, text := range []string{"01", "00", "-1", "1.5", "1e3", "1000000000000000000", `"1"`, "x", "1 "} {
		r := NewJSONReader([]byte("[" + text + "]"))
		require.True(t, r.Array())
		r.Element()
		_, ok := r.Natural()
		assert.False(t, ok, text)
		assert.Equal(t, 1, r.Mark(), "nothing was taken of %q", text)
	}
	r := NewJSONReader([]byte("1"))
	_, ok := r.Natural()
	assert.False(t, ok, "its end may be yet to come")
}

func TestSkipTextThatIsKnown(t *testing.T) {
	text := []byte(`{"a":1,"b":[2],"c":3}`)
	r := NewJSONReader(text)
	assert.False(t, r.Skip([]byte(`{"b"`)))
	assert.False(t, r.Skip(append(text, 'x')))
	require.True(t, r.Skip([]byte(`{"a":`)))
	v, ok := r.Value()
	require.True(t, ok)
	assert.Equal(t, "1", string(v.Raw))
	require.True(t, r.Field())
	assert.Equal(t, "b", string(r.Key))
	require.True(t, r.Skip([]byte(`[2],"c":`)))
	n, ok := r.Natural()
	assert.True(t, ok)
	assert.EqualValues(t, 3, n)
	assert.False(t, r.Field())
	assert.NoError(t, r.End())
	r = NewJSONReader([]byte("x"))
	assert.False(t, r.Object())
	assert.False(t, r.Skip([]byte("x")), "after an error")
}
