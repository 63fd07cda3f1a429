package front

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/actors/queue"
)

// A dead letter keeps the headers of its record, in the form that they have.
func TestHeadersOfDeadRecords(t *testing.T) {
	d := &queue.Dying{Topic: "t", Offset: 7, Count: 2}
	d.ID.Partition = 3
	const object = `"ottla-dead-deliveries":"2","ottla-dead-group":"q","ottla-dead-offset":"7","ottla-dead-partition":"3","ottla-dead-reason":"it was given back too often","ottla-dead-topic":"t"`
	const list = `["ottla-dead-group","q"],["ottla-dead-topic","t"],["ottla-dead-partition","3"],["ottla-dead-offset","7"],["ottla-dead-deliveries","2"],["ottla-dead-reason","it was given back too often"]]`
	for own, want := range map[string]string{
		"":                                      `{` + object + `}`,
		`{"z":"1","a":"2"}`:                     `{"a":"2",` + object + `,"z":"1"}`,
		`{"ottla-dead-offset":"1"}`:             `{` + object + `}`,
		`[["a","1"],["a",{"b64":"//8="}]]`:      `[["a","1"],["a",{"b64":"//8="}],` + list,
		`[["ottla-dead-group","p"],["n",null]]`: `[["n",null],` + list,
	} {
		assert.Equal(t, want, string(deadHeaders([]byte(own), "q", d)), own)
	}
	d.Reason = "no"
	assert.Contains(t, string(deadHeaders(nil, "q", d)), `"ottla-dead-reason":"no"`)
}
