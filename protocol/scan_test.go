package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func nested(open, closing string, depth int) string {
	return strings.Repeat(open, depth) + strings.Repeat(closing, depth)
}

// Looking at eight bytes at a time finds what looking at each does, whatever stands where
// in a word and behind it.
func TestSkipPlainFindsWhatEachByteSays(t *testing.T) {
	s := make([]byte, 9)
	for at := range 8 {
		for c := range 256 {
			for d := range 256 {
				for i := range s {
					s[i] = ' '
				}
				s[at], s[at+1] = byte(c), byte(d)
				want := 0
				for want < len(s) && plain[s[want]] {
					want++
				}
				if got := skipPlain(s, 0); got != want {
					t.Fatalf("%d instead of %d for %q", got, want, s)
				}
			}
		}
	}
}

func TestAppendCompactJSONAccepts(t *testing.T) {
	digits := strings.Repeat("9", 400)
	for name, c := range map[string]struct{ in, want string }{
		"object":            {` { "a" : [ 1 , 2 ] , "b" : { } } `, `{"a":[1,2],"b":{}}`},
		"space in a string": {`{"a b": "c  d"}`, `{"a b":"c  d"}`},
		"quote in a string": {`[ "\" : \\" , 1 ]`, `["\" : \\",1]`},
		"400 digits":        {digits, digits},
		"digit for digit":   {"1.50e+007", "1.50e+007"},
		"minus zero":        {"-0.0", "-0.0"},
		"escaped surrogate": {`"\ud83d\ude00"`, `"\ud83d\ude00"`},
		"half a surrogate":  {`"\ud83d"`, `"\ud83d"`},
		"four-byte rune":    {`"😀"`, `"😀"`},
		"duplicate fields":  {`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		"words":             {"[true,\tfalse,\r\nnull]", "[true,false,null]"},
		"deepest":           {nested("[", "]", MaxJSONDepth), nested("[", "]", MaxJSONDepth)},
		"deepest objects": {
			strings.Repeat(`{"a": `, MaxJSONDepth) + "1" + strings.Repeat("}", MaxJSONDepth),
			strings.Repeat(`{"a":`, MaxJSONDepth) + "1" + strings.Repeat("}", MaxJSONDepth),
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := AppendCompactJSON(nil, []byte(c.in))
			require.NoError(t, err)
			assert.Equal(t, c.want, string(out))
		})
	}
}

func TestAppendCompactJSONRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing": "", "space only": "  ", "two values": "1 2", "NUL after it": "1\x00",
		"leading zero": "01", "plus": "+1", "bare point": "1.", "no integer part": ".5", "bare exponent": "1e",
		"bare minus": "-", "trailing comma": "[1,]", "leading comma": "[,1]", "object comma": `{"a":1,}`,
		"missing colon": `{"a" 1}`, "bare key": `{a:1}`, "mismatched": `[1}`, "unclosed": `{"a":[1`,
		"newline in a string": "\"a\nb\"", "NUL in a string": "\"a\x00b\"", "bad escape": `"\x41"`,
		"short unicode escape": `"\u12"`, "invalid UTF-8": "\"\xff\"", "overlong": "\"\xc0\xaf\"",
		"encoded surrogate": "\"\xed\xa0\x80\"", "byte order mark": "\ufeff1", "single quotes": "'a'",
		"NaN": "NaN", "capitals": "True", "cut word": "nul", "comment": "1//x",
		"one too deep":   nested("[", "]", MaxJSONDepth+1),
		"far too deep":   strings.Repeat("[", 1<<20),
		"mixed too deep": strings.Repeat(`{"a":[`, MaxJSONDepth),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := AppendCompactJSON(nil, []byte(in))
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
			assert.LessOrEqual(t, syntax.Offset, len(in))
			assert.NotEmpty(t, syntax.Reason)
		})
	}
}

func TestReaderEntersContainersInOnePass(t *testing.T) {
	r := NewJSONReader([]byte(` {"a": [ {"x":1}, {} ,3 ] ,"\u0062" :{"k": [1, 2]}, "c":[]} `))
	var got []string
	for r.Object(); r.Field(); {
		key := string(r.Key)
		if r.Kind() != '[' {
			v, ok := r.Value()
			require.True(t, ok)
			var scratch []byte
			got = append(got, key+"="+string(v.Compact(&scratch)))
			continue
		}
		for r.Array(); r.Element(); {
			v, ok := r.Value()
			require.True(t, ok)
			got = append(got, key+"+"+string(v.Raw))
		}
	}
	require.NoError(t, r.End())
	assert.Equal(t, []string{`a+{"x":1}`, "a+{}", "a+3", `b={"k":[1,2]}`}, got)
}

func TestReaderErrorSticks(t *testing.T) {
	for name, in := range map[string]string{
		"not an object": `[1]`, "no comma": `{"a":1 "b":2}`, "bad key": `{1:2}`, "cut": `{"a":1`, "after it": `{} {}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := NewJSONReader([]byte(in))
			for r.Object(); r.Field(); {
				r.Value()
			}
			require.Error(t, r.End())
			assert.False(t, r.Object() || r.Field() || r.Array() || r.Element() || r.End() == nil)
		})
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	text := []byte(`{"topic":"liked","key":"user-42","value":{"post":7,"tags":["a","b"]}}`)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		r := NewJSONReader(text)
		for r.Object(); r.Field(); {
			r.Value()
		}
		if r.End() != nil {
			t.Fail()
		}
	}))
}

// depthOf is the depth of valid JSON, counted in a simple way.
func depthOf(b []byte) (deepest int) {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '[' || c == '{'):
			depth++
			deepest = max(deepest, depth)
		case !inString && (c == ']' || c == '}'):
			depth--
		}
	}
	return deepest
}

// mostDigits is how many digits the number of valid JSON has that has the most.
func mostDigits(t *testing.T, b []byte) (most int) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err == io.EOF {
			return most
		}
		require.NoError(t, err)
		if n, ok := token.(json.Number); ok {
			most = max(most, len(strings.Trim(string(n), "-"))-strings.Count(string(n)[1:], "-")-strings.Count(string(n), "+")-
				strings.Count(string(n), ".")-strings.Count(strings.ToLower(string(n)), "e"))
		}
	}
}

func FuzzCompactAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.5e-3, "x\n"]}`, "[]", "\"\\ud800\"", "-0", "[[", "{\"a\":1,}", "\"\xff\"", " null "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := AppendCompactJSON(nil, in)
		want := json.Valid(in) && utf8.Valid(in) && depthOf(in) <= MaxJSONDepth
		if want != (err == nil) {
			t.Fatalf("%q: want valid=%v, got %v", in, want, err)
		}
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, in); err != nil || !bytes.Equal(compact.Bytes(), out) {
			t.Fatalf("%q: got %q, want %q (%v)", in, out, compact.Bytes(), err)
		}
		r := NewJSONReader(in)
		if v, _ := r.Value(); int(v.Depth) != depthOf(in) || int(v.Digits) != mostDigits(t, in) {
			t.Fatalf("%q: depth %d, digits %d; want %d, %d", in, v.Depth, v.Digits, depthOf(in), mostDigits(t, in))
		}
		again, err := AppendCompactJSON(nil, out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("compacting is not idempotent: %q, %q (%v)", out, again, err)
		}
	})
}

// walk enters every container of the next value, as callers of JSONReader do, and
// builds the value.
func walk(r *JSONReader, depth int) any {
	if depth > 100 {
		r.Value()
		return nil
	}
	switch r.Kind() {
	case '{':
		fields := map[string]any{}
		for r.Object(); r.Field(); {
			key := string(r.Key)
			fields[key] = walk(r, depth+1)
		}
		return fields
	case '[':
		list := []any{}
		for r.Array(); r.Element(); {
			list = append(list, walk(r, depth+1))
		}
		return list
	}
	v, ok := r.Value()
	switch {
	case !ok || v.Raw[0] == 'n':
		return nil
	case v.Raw[0] == '"':
		s, _ := AppendUnescaped(nil, v.Raw[1:len(v.Raw)-1])
		return string(s)
	case v.Raw[0] == 't' || v.Raw[0] == 'f':
		return v.Raw[0] == 't'
	}
	return json.Number(v.Raw)
}

// FuzzReaderAgreesWithEncodingJSON: entering containers accepts the same texts as
// taking them whole, and gives the values that the standard library decodes.
func FuzzReaderAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, 2.5e-3, "x\n"], "\u0062":{}}`, "[]", "[,1]", "[1,]", `{"a":1,}`, `{,}`, "[[],[1 2]]", `{"a":"\ud800","a":null}`, "[}", "{]",
		`{"a":1 "b":2}`, "[true,false,-0]", "[\"\xff\"]", ` [ ] x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewJSONReader(in)
		got := walk(&r, 0)
		err := r.End()
		if depthOf(in) > 100 {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(in))
		dec.UseNumber()
		var want any
		if valid := json.Valid(in) && utf8.Valid(in); valid != (err == nil) {
			t.Fatalf("%q: want valid=%v, got %v", in, valid, err)
		}
		if err == nil {
			require.NoError(t, dec.Decode(&want))
			require.Equal(t, want, got)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, n := range []int{60, 1000} {
		b.Run(fmt.Sprint("text=", n), func(b *testing.B) {
			text := []byte(`{"topic":"liked","key":"user-42","value":{"post":7,"text":"` + strings.Repeat("x", n) + `"}}`)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r := NewJSONReader(text)
				for r.Object(); r.Field(); {
					r.Value()
				}
			}
		})
	}
}

func BenchmarkPartitionForKey(b *testing.B) {
	for _, n := range []int{10, 100} {
		b.Run(fmt.Sprint("key=", n), func(b *testing.B) {
			token := []byte(`"` + strings.Repeat("k", n) + `"`)
			for b.Loop() {
				PartitionForKey(token, 16)
			}
		})
	}
}
