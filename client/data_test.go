package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// answering is a client of a server that gives the same answer to every request and
// records the last one.
func answering(t *testing.T, status int, answer string) (c *client.Client, asked *string) {
	asked = new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = r.Method + " " + r.URL.RequestURI() + " " + string(body)
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	c, err := client.New(s.URL + "/")
	require.NoError(t, err)
	return c, asked
}

func TestRecordsAreWrittenInTheFormOfTheirData(t *testing.T) {
	c, asked := answering(t, 200, `{"topic":"t","partition":2,"offset":7,"committed":true,"duplicate":true}`)
	for _, tc := range []struct {
		record client.Record
		want   string
	}{
		{client.Record{}, `{"topic":"t"}`},
		{client.Record{Key: client.StringData("a\nb\""), Value: client.JSONData([]byte("{ \"x\" :\n 1.50 }"))}, `{"topic":"t","key":"a\nb\"","value":{"x":1.50}}`},
		{client.Record{Key: client.TextData("no json"), Value: client.BytesData([]byte{0, 255})}, `{"topic":"t","key_text":"no json","value_base64":"AP8="}`},
		{
			client.Record{Value: client.StringData(""), Partition: new(3), Timestamp: time.UnixMilli(1790000000123), Headers: map[string]string{"b": "2", "a": "1"}},
			`{"topic":"t","value":"","partition":3,"timestamp":1790000000123,"headers":{"a":"1","b":"2"}}`,
		},
	} {
		ack, err := c.Produce(t.Context(), "t", tc.record)
		require.NoError(t, err)
		assert.Equal(t, client.Ack{Partition: 2, Offset: 7, Duplicate: true}, ack)
		assert.Equal(t, "POST /events "+tc.want, *asked)
	}
	_, err := c.ProduceIn(t.Context(), "east", "t", client.Record{Value: client.StringData("v")})
	require.NoError(t, err)
	assert.Equal(t, `POST /events {"topic":"t","cluster":"east","value":"v"}`, *asked)
}

func TestMessagesComeBackInTheFormOfTheirData(t *testing.T) {
	c, asked := answering(t, 200, `{"records":[
		{"topic":"t","partition":1,"offset":5,"timestamp":1790000000123,"key":"a\nb","value":{"x":1.50},"headers":{"h":"v"}},
		{"topic":"t","partition":1,"offset":6,"timestamp":0,"key_text":"t\"x","value_base64":"AP8=","headers":{}},
		{"topic":"t","partition":1,"offset":7,"timestamp":0,"key":null,"value":null,"headers":{},"later":[1]}
	],"next_offset":8,"high_watermark":9,"earliest":2,"later":null}`)
	reply, err := c.Fetch(t.Context(), "t", 1, client.FetchOptions{Offset: 5, MaxRecords: 3, Wait: time.Second})
	require.NoError(t, err)
	assert.Equal(t, "GET /topic/t/partitions/1/records?max_records=3&offset=5&timeout_ms=1000 ", *asked)
	assert.Equal(t, []int64{8, 9, 2}, []int64{reply.NextOffset, reply.HighWatermark, reply.Earliest})
	require.Len(t, reply.Messages, 3)

	m := reply.Messages[0]
	assert.Equal(t, "t", m.Topic)
	assert.Equal(t, 1, m.Partition)
	assert.Equal(t, int64(5), m.Offset)
	assert.Equal(t, int64(1790000000123), m.Timestamp.UnixMilli())
	assert.Equal(t, client.JSON, m.Key.Kind())
	assert.Equal(t, "a\nb", m.Key.String())
	assert.Equal(t, `"a\nb"`, string(m.Key.Bytes()))
	assert.Equal(t, map[string]string{"h": "v"}, m.Headers)
	var v struct{ X float64 }
	require.NoError(t, m.Value.Unmarshal(&v))
	assert.InDelta(t, 1.5, v.X, 0)

	m = reply.Messages[1]
	assert.Equal(t, client.Text, m.Key.Kind())
	assert.Equal(t, `t"x`, m.Key.String())
	assert.Equal(t, []byte{0, 255}, m.Value.Bytes())
	assert.Error(t, m.Value.Unmarshal(&v))

	m = reply.Messages[2]
	assert.True(t, m.Key.IsNull())
	assert.Nil(t, m.Value.Bytes())
	assert.Nil(t, m.Headers)

	// Data that was read can be written again unchanged.
	c, asked = answering(t, 200, `{"partition":0,"offset":0}`)
	_, err = c.Produce(t.Context(), "t", client.Record{Key: reply.Messages[1].Key, Value: reply.Messages[1].Value})
	require.NoError(t, err)
	assert.Equal(t, `POST /events {"topic":"t","key_text":"t\"x","value_base64":"AP8="}`, *asked)
}

func TestDataThatWasMade(t *testing.T) {
	assert.Equal(t, `"a\"b"`, string(client.StringData(`a"b`).Bytes()))
	assert.Equal(t, `a"b`, client.StringData(`a"b`).String())
	assert.Equal(t, "x", string(client.TextData("x").Bytes()))
	d, err := client.Marshal(map[string]int{"a": 1})
	require.NoError(t, err)
	assert.Equal(t, `{"a":1}`, d.String())
	d, err = client.Marshal(nil)
	require.NoError(t, err)
	assert.True(t, d.IsNull())
	_, err = client.Marshal(func() {})
	assert.Error(t, err)
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, answer := range []string{
		``, `[`, `{"records":[{"offset":"x"}]}`, `{"records":[{"key_text":1}]}`, `{"records":[{"key_base64":"*"}]}`,
		`{"records":[{"headers":[1]}]}`, `{"next_offset":1e5}`, `{"next_offset":99999999999999999999}`,
	} {
		c, _ := answering(t, 200, answer)
		_, err := c.Fetch(t.Context(), "t", 0, client.FetchOptions{})
		assert.Error(t, err, answer)
	}
}

func TestErrorsOfTheServerAndOfWhatIsInBetween(t *testing.T) {
	c, _ := answering(t, 404, `{"error_code":40401,"code":"topic_not_found","message":"no such topic","retriable":false,"outcome":"none","request_id":"r1","details":{"a":1}}`)
	_, err := c.Produce(t.Context(), "t", client.Record{})
	var e *client.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "r1", e.RequestID)
	assert.Equal(t, 3*time.Second, e.RetryAfter)
	assert.False(t, e.Retriable)
	assert.ErrorContains(t, err, "404 topic_not_found: no such topic")

	c, _ = answering(t, 502, `<html>bad gateway</html>`)
	require.ErrorAs(t, c.Ready(t.Context()), &e)
	assert.True(t, e.Retriable)
	assert.Equal(t, "http_status", e.Code)

	for _, server := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://\x00"} {
		_, err := client.New(server)
		assert.Error(t, err, server)
	}
}
