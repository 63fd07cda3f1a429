package protocol

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestListsOfHeadersAreExtended(t *testing.T) {
	more := [][2]string{{"x-why", "no \"way\""}, {"x-n", ""}}
	const end = `["x-why","no \"way\""],["x-n",""]]`
	for token, want := range map[string]string{
		`[]`:                                   `[` + end,
		`[["a","1"],["a",null]]`:               `[["a","1"],["a",null],` + end,
		`[["a",{"b64":"//8="}],["x-n","old"]]`: `[["a",{"b64":"//8="}],` + end,
		`[["x-","1"],["x","2"],["\u0078-y","3"],["ax-","4"]]`: `[["x","2"],["ax-","4"],` + end,
	} {
		before := string(append([]byte{}, token...))
		assert.Equal(t, want, string(ExtendHeaderList([]byte(token), "x-", more)), token)
		assert.Equal(t, before, token)
		assert.True(t, IsHeaderList([]byte(token)))
	}
	assert.Equal(t, `[["a","1"]]`, string(ExtendHeaderList([]byte(`[["a","1"]]`), "x-", nil)))
	for _, object := range []string{``, `-`, `{}`, `{"a":"[]"}`} {
		assert.False(t, IsHeaderList([]byte(object)))
	}
}
