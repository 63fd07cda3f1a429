package client

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Headers that a map cannot say come and go as a list, in their order, byte for byte.
func TestHeadersAsAList(t *testing.T) {
	for text, want := range map[string][]Header{
		`{}`:                               nil,
		`null`:                             nil,
		`[]`:                               {},
		`{"b":"2","a":"1"}`:                {{"a", []byte("1")}, {"b", []byte("2")}},
		`[["a","x"],["a",null],["a","y"]]`: {{"a", []byte("x")}, {"a", nil}, {"a", []byte("y")}},
		`[["b",{"b64":"//8="}],["",""]]`:   {{"b", []byte{0xff, 0xff}}, {"", []byte{}}},
		`[["ü\n",{"b64":""}]]`:             {{"ü\n", []byte{}}},
		`{"b64":"//8="}`:                   {{"b64", []byte("//8=")}},
	} {
		list, err := ParseHeaders([]byte(text))
		require.NoError(t, err, text)
		assert.Equal(t, want, list, text)
		sent, err := appendHeaderList(nil, list)
		require.NoError(t, err)
		again, err := ParseHeaders(sent)
		require.NoError(t, err)
		assert.Len(t, again, len(list))
		for i := range list {
			assert.Equal(t, list[i], again[i])
		}
	}
	for _, wrong := range []string{``, `7`, `"a"`, `{"a":1}`, `{"a":null,"b":7}`, `[1]`, `["a","b"]`, `[["a"]]`, `[["a","b","c"]]`, `[[1,"a"]]`, `[[null,"a"]]`, `[["a",7]]`, `[["a",{}]]`, `[["a",{"b64":"!"}]]`, `[["a",{"b64":null}]]`} {
		_, err := ParseHeaders([]byte(wrong))
		assert.Error(t, err, wrong)
	}
	_, err := appendHeaderList(nil, []Header{{Name: "\xff"}})
	assert.ErrorIs(t, err, errHeaderNotUTF8)

	r := Record{Value: TextData("v"), Headers: map[string]string{"not": "sent"}, HeaderList: []Header{{"a", []byte("x")}, {"a", []byte{0xff}}, {"n", nil}}}
	line, _, err := r.appendLine(nil)
	require.NoError(t, err)
	assert.Contains(t, string(line), `"headers":[["a","x"],["a",{"b64":"/w=="}],["n",null]]`)
	assert.NotContains(t, string(line), "sent")
	m := Message{raw: []byte(`{"topic":"t","headers":[["a","x"],["a",{"b64":"/w=="}],["n",null]],"value":1}`)}
	list, err := m.HeaderList()
	require.NoError(t, err)
	assert.Equal(t, r.HeaderList, list)
	for _, none := range []string{`{"value":{"headers":{"a":"b"}}}`, `{}`, ``} {
		list, err := (&Message{raw: []byte(none)}).HeaderList()
		assert.NoError(t, err)
		assert.Empty(t, list, none)
	}
	_, err = (&Message{raw: []byte(`{"headers":7}`)}).HeaderList()
	assert.ErrorContains(t, err, "7")
}
