package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneLeaderATerm(t *testing.T) {
	l := leaders{}
	none, err := l.take(strings.NewReader(`{"msg":"leads","cluster":"c","topic_id":"a","partition":0,"replica":1,"term":4}
chaos: not JSON, and ends in "msg":"leads"
{"msg":"leads","cluster":"d","topic_id":"a","partition":0,"replica":2,"term":4}
{"msg":"leads","cluster":"c","topic_id":"b","partition":0,"replica":2,"term":4}
{"msg":"leads","cluster":"c","topic_id":"a","partition":1,"replica":2,"term":4}
{"msg":"leads","cluster":"c","topic_id":"a","partition":0,"replica":1,"term":4}
{"msg":"leads","cluster":"c","topic_id":"a","partition":0,"repl`))
	require.NoError(t, err)
	assert.Empty(t, none, "another cluster, topic or partition, the same again, and one that is cut off")
	found, err := l.take(strings.NewReader(`{"msg":"leads","cluster":"c","topic_id":"a","partition":0,"replica":3,"term":5}
{"msg":"leads","cluster":"c","topic_id":"a","partition":0,"replica":2,"term":4}
`))
	require.NoError(t, err)
	assert.Equal(t, []violation{{"leaders", "cluster c, topic a, partition 0, term 4: replicas 1 and 2 led"}}, found)
	assert.Len(t, l, 5)
}
