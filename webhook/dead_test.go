package webhook

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

// Dead letters have their own headers in the form in which they came, and those that say
// why, once, however often the record has died.
func TestHeadersOfDeadLetters(t *testing.T) {
	l := &lane{topic: "t", partition: 3}
	const object = `"ottla-dead-topic":"t","ottla-dead-partition":"3","ottla-dead-offset":"7","ottla-dead-deliveries":"2","ottla-dead-reason":"it \"fails\""}`
	const list = `["ottla-dead-topic","t"],["ottla-dead-partition","3"],["ottla-dead-offset","7"],["ottla-dead-deliveries","2"],["ottla-dead-reason","it \"fails\""]]`
	for own, want := range map[string]string{
		"":                                 `{` + object,
		"-":                                `{` + object,
		"{}":                               `{` + object,
		`{"a":"b"}`:                        `{"a":"b",` + object,
		`{"ottla-dead-topic":"u","a":"b"}`: `{"a":"b",` + object,
		`[["a","1"],["a",null]]`:           `[["a","1"],["a",null],` + list,
		`[["b",{"b64":"//8="}],["ottla-dead-offset","1"]]`: `[["b",{"b64":"//8="}],` + list,
	} {
		got := deadHeaders(l, &protocol.Record{Headers: []byte(own), Offset: 7}, 2, `it "fails"`)
		assert.Equal(t, want, string(got), own)
		assert.True(t, json.Valid(got), own)
	}
}
