package http

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHeadersThatAreNone(t *testing.T) {
	h := start(t, Options{MaxRecordHeaders: 3, MaxHeaderName: 5})
	for headers, want := range map[string]int{
		`7`:                           400,
		`["a","b"]`:                   400,
		`[["a"]]`:                     400,
		`[["a","b","c"]]`:             400,
		`[[1,"b"]]`:                   400,
		`[["a",1]]`:                   400,
		`[["a",["b"]]]`:               400,
		`[["a",{}]]`:                  400,
		`[["a",{"b64":"?"}]]`:         400,
		`[["a",{"b64":1}]]`:           400,
		`[["a",{"b64":"","x":1}]]`:    400,
		`[["a",{"b64":"","b64":""}]]`: 400,
		`[["\ud800","b"]]`:            400,
		`[["abcdef","b"]]`:            422,
		`[["a","1"],["a","2"],["a","3"],["a","4"]]`: 422,
		`{"a":"1","b":"2","c":"3","d":"4"}`:         422,
		`[["a","1"],["a","2"],["a",null]]`:          200,
	} {
		a := h.do("POST", "/events", `{"topic":"t","headers":`+headers+`}`)
		assert.Equal(t, want, a.status, "%s: %s", headers, a.body)
		assert.False(t, want != 200 && !strings.Contains(a.body, "header"), "%s: %s", headers, a.body)
	}
}
