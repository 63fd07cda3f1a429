package http

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every route has a command that calls it.
func TestDocsShowACommandForEveryRoute(t *testing.T) {
	doc, err := readContract(contractFor(Options{}.withDefaults()))
	require.NoError(t, err)
	commands := map[string]string{}
	for _, g := range doc.Groups {
		for _, op := range g.Operations {
			commands[op.Method+" "+op.Path] = op.Curl
			assert.True(t, strings.HasPrefix(op.Curl, "curl "), op.Curl)
			assert.NotContains(t, op.Curl, "{"+"topic"+"}", op.Curl)
			assert.NotContains(t, op.Curl, "\n", op.Curl)
		}
	}
	assert.Equal(t, "curl localhost:8080/topic/TOPIC", commands["GET /topic/{topic}"])
	assert.Equal(t, "curl -X DELETE localhost:8080/groups/GROUP/members/CONSUMER_ID", commands["DELETE /groups/{group}/members/{consumer_id}"])
	assert.Equal(t, "curl 'localhost:8080/offset?group=GROUP'", commands["GET /offset"])
	assert.Regexp(t, `^curl localhost:8080/events -d '\{.*"topic":.*\}'$`, commands["POST /events"])
	assert.Regexp(t, `^curl -X PATCH localhost:8080/topic/TOPIC`, commands["PATCH /topic/{topic}"])
	h := start(t, Options{})
	assert.Contains(t, h.do("GET", "/docs", "").body, "<pre>curl localhost:8080/topic/TOPIC</pre>")
}
