package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// JSON is what encoding/json takes it for, and nothing of it changes but the space.
func TestJSONIsTakenAsByTheLibrary(t *testing.T) {
	r := rand.New(rand.NewSource(1)) // the same cases each time
	seeds := []string{
		`{"a":[1,-2.5e3,true,null,"x\u00e9\n"],"b":{"c":{}}}`, ` [ 1 , { "k" : "v" } , [ ] ] `, `"\ud83d\ude00"`, `-0`, `1e5`, `{"":""}`, `[[[[[]]]]]`, `"\\\"\/\b\f\n\r\t"`,
	}
	const alphabet = "{}[]:,\"\\ue0123456789.-+ \t\ntrufalsn/é\x00\x7f\xff"
	for range 20_000 {
		text := []byte(seeds[r.Intn(len(seeds))])
		for range r.Intn(3) {
			i := r.Intn(len(text) + 1)
			switch c := alphabet[r.Intn(len(alphabet))]; {
			case i < len(text) && r.Intn(2) == 0:
				text[i] = c
			case i < len(text) && r.Intn(2) == 0:
				text = slices.Delete(text, i, i+1)
			default:
				text = slices.Insert(text, i, c)
			}
		}
		got, err := AppendCompactJSON([]byte("x"), text)
		valid := json.Valid(text) && utf8.Valid(text)
		if !assert.Equal(t, valid, err == nil, "%q: %v", text, err) {
			return
		}
		if !valid {
			continue
		}
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, text))
		require.Equal(t, "x"+want.String(), string(got))
		whole := !HasHalfSurrogate(text) // half of one is JSON, but no text
		reader := NewJSONReader(text)
		v, ok := reader.Value()
		require.True(t, ok, "%s", text)
		require.Equal(t, !whole, v.HalfSurrogate(), "%s", text)
		require.Equal(t, whole, IsCompactJSON(want.Bytes(), 100, 1000), "%s", &want)
		require.Equal(t, whole && bytes.Equal(want.Bytes(), text), IsCompactJSON(text, 100, 1000), "%s", text)
	}
}

// randomJSON is a value in JSON, with space in it.
func randomJSON(r *rand.Rand, depth int) string {
	space := []string{"", "", " ", "\n\t"}[r.Intn(4)]
	switch n := r.Intn(7); {
	case n == 0 && depth > 0:
		var b strings.Builder
		b.WriteString("{" + space)
		for i := range r.Intn(4) {
			if i > 0 {
				b.WriteString(space + ",")
			}
			fmt.Fprintf(&b, `"k\u00%02x"%s:%s`, 0x61+r.Intn(4), space, randomJSON(r, depth-1))
		}
		return b.String() + space + "}" + space
	case n <= 2 && depth > 0:
		var parts []string
		for range r.Intn(4) {
			parts = append(parts, randomJSON(r, depth-1))
		}
		return "[" + space + strings.Join(parts, ",") + "]"
	case n == 3:
		return `"` + []string{"", "a", `\n`, `\"`, "é", `\\`, "}", "]", ","}[r.Intn(9)] + `"` + space
	case n == 4:
		return []string{"null", "true", "false"}[r.Intn(3)]
	}
	return strconv.Itoa(r.Intn(2000)-1000) + []string{"", ".5", "e3", "E-2"}[r.Intn(4)] + space
}

// read is a value as the reader has it, container by container.
func read(r *JSONReader) any {
	switch r.Kind() {
	case '{':
		all := map[string]any{}
		for r.Object(); r.Field(); {
			name := string(r.Key)
			all[name] = read(r)
		}
		return all
	case '[':
		all := []any{}
		for r.Array(); r.Element(); {
			all = append(all, read(r))
		}
		return all
	}
	v, ok := r.Value()
	if !ok {
		return nil
	}
	var plain any
	if json.Unmarshal(v.Raw, &plain) != nil {
		return nil
	}
	return plain
}

// Whoever enters each container sees what the library sees, and so does who takes a value
// whole; text that is cut off anywhere is an error, once and for all.
func TestValuesAreReadAsByTheLibrary(t *testing.T) {
	r := rand.New(rand.NewSource(3)) // the same cases each time
	for range 5000 {
		text := []byte(randomJSON(r, 4))
		var want any
		require.NoError(t, json.Unmarshal(text, &want), "%s", text)
		entered := NewJSONReader(text)
		require.Equal(t, want, read(&entered), "%s", text)
		require.NoError(t, entered.End(), "%s", text)
		whole := NewJSONReader(text)
		_, ok := whole.Value()
		require.True(t, ok)
		require.NoError(t, whole.End())

		cut := text[:r.Intn(len(text))]
		if json.Valid(cut) {
			continue // a number is one without its end
		}
		half := NewJSONReader(cut)
		_ = read(&half)
		require.Error(t, half.End(), "%s", cut)
		_, again := half.Value()
		require.False(t, again, "%s", cut)
		require.False(t, half.Object() || half.Array() || half.Field() || half.Element(), "%s", cut)
	}
}
