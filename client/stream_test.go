package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/protocol"
)

// streaming is a server that answers every request with that text, and the targets
// that it was asked for.
func streaming(t *testing.T, text string) (*client.Client, *[]string) {
	var targets []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		targets = append(targets, r.URL.RequestURI())
		assert.Equal(t, "text/event-stream", r.Header.Get("Accept"))
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL)
	require.NoError(t, err)
	return c, &targets
}

func streamed(offset int) string {
	return fmt.Sprintf(`{"topic":"t","partition":1,"offset":%d,"timestamp":5,"key":"k","value":1.50,"headers":{}}`, offset)
}

func TestStreamReadsOn(t *testing.T) {
	c, targets := streaming(t, ": stream\nid: c0\n\n"+
		"event: gap\ndata: {\"topic\":\"t\",\"partition\":1,\"asked\":2,\"earliest\":7,\"latest\":9}\n\n"+
		"data: "+streamed(7)+"\nid: c8\n\n: alive\n\ndata: "+streamed(8)+"\nid: c9\n\n"+
		"event: problem\ndata: {\"error_code\":40401,\"code\":\"topic_not_found\",\"message\":\"gone\",\"retriable\":false,\"outcome\":\"none\",\"request_id\":\"r\"}\n\n")
	var gaps []protocol.Gap
	s, err := c.OpenStream(t.Context(), "a b", client.StreamOptions{
		Cluster: "x", From: "latest", Partition: new(1), Key: new(""), After: "c", OutOfRange: func(g protocol.Gap) { gaps = append(gaps, g) },
	})
	require.NoError(t, err)
	defer s.Close()
	var got []client.Message
	for err == nil {
		var batch []client.Message
		batch, err = s.Next()
		got = append(got, batch...)
	}
	require.Len(t, got, 2)
	assert.Equal(t, streamed(8), string(got[1].Raw()), "byte for byte")
	assert.EqualValues(t, 8, got[1].Offset)
	assert.Equal(t, 1, got[1].Partition)
	assert.Equal(t, "c9", s.Cursor())
	assert.Equal(t, []protocol.Gap{{Topic: "t", Partition: 1, Asked: 2, Earliest: 7, Latest: 9}}, gaps)
	assert.True(t, client.HasCode(err, protocol.CodeTopicNotFound), "%v", err)
	assert.Equal(t, []string{"/topic/a%20b/stream?after=c&cluster=x&from=latest&key=&partition=1"}, *targets)
	_, again := s.Next()
	require.Error(t, again)
}

// Who breaks off before the first record knows where to go on.
func TestStreamKnowsItsPositionBeforeTheFirstRecord(t *testing.T) {
	c, _ := streaming(t, ": stream\nid: c0\n\n")
	s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Next()
	var broken *client.TransportError
	require.ErrorAs(t, err, &broken)
	assert.Equal(t, "c0", s.Cursor())
}

// An event that did not arrive whole counts as not arrived, and so does its id.
func TestStreamThatBreaksOffInAnEvent(t *testing.T) {
	c, _ := streaming(t, "data: "+streamed(1)+"\nid: c1\n\ndata: "+streamed(2)+"\nid: c2\n")
	s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{})
	require.NoError(t, err)
	defer s.Close()
	batch, err := s.Next()
	require.NoError(t, err)
	require.Len(t, batch, 1)
	_, err = s.Next()
	require.Error(t, err)
	assert.Equal(t, "c1", s.Cursor())
}

// manyEvents are events with records of very different sizes, and their values.
func manyEvents() (text string, values []string) {
	var b strings.Builder
	for i := range 5000 {
		value := fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", i%300))
		if i%1000 == 7 {
			value = `"` + strings.Repeat("long", 20_000+i) + `"`
		}
		values = append(values, value)
		fmt.Fprintf(&b, ": a comment\r\nid: c%d\r\ndata: {\"topic\":\"t\",\"partition\":0,\"offset\":%d,\"timestamp\":1,\"key\":null,\"value\":%s,\"headers\":{}}\r\n\r\n", i, i, value)
	}
	return b.String(), values
}

// What Next has returned stays as it is, however much comes after it, and whatever its size.
func TestRecordsOfAStreamStay(t *testing.T) {
	text, want := manyEvents()
	c, _ := streaming(t, text)
	s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{})
	require.NoError(t, err)
	var got []client.Message
	for len(got) < len(want) {
		batch, err := s.Next()
		require.NoError(t, err)
		got = append(got, batch...)
		require.Equal(t, fmt.Sprintf("c%d", len(got)-1), s.Cursor())
	}
	for i := range got {
		require.Equal(t, want[i], string(got[i].Value.Bytes()), "record %d", i)
		require.EqualValues(t, i, got[i].Offset)
		require.Equal(t, "t", got[i].Topic)
	}
	require.NoError(t, s.Close())
}

// A batch after a large one takes the memory that its records need.
func TestASmallBatchAfterALargeOne(t *testing.T) {
	more := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			for range []int{500, 1, 1}[i] {
				_, _ = fmt.Fprintf(w, "data: %s\n\n", streamed(i))
			}
			w.(http.Flusher).Flush()
			<-more
		}
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL)
	require.NoError(t, err)
	s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{})
	require.NoError(t, err)
	defer s.Close()
	var batch []client.Message
	for i := range 3 {
		for wait := []int{500, 1, 1}[i]; wait > 0; wait -= len(batch) {
			batch, err = s.Next()
			require.NoError(t, err)
		}
		more <- struct{}{}
	}
	assert.Less(t, cap(batch), 20)
}

// With Reuse a batch is what it should be until the next one.
func TestAStreamThatUsesItsMemoryAgain(t *testing.T) {
	text, want := manyEvents()
	c, _ := streaming(t, text)
	s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{Reuse: true})
	require.NoError(t, err)
	defer s.Close()
	var first *client.Message
	again := false
	for at := 0; at < len(want); {
		batch, err := s.Next()
		require.NoError(t, err)
		for i := range batch {
			require.Equal(t, want[at], string(batch[i].Value.Bytes()), "record %d", at)
			require.EqualValues(t, at, batch[i].Offset)
			require.Equal(t, client.Null, batch[i].Key.Kind())
			at++
		}
		require.Equal(t, fmt.Sprintf("c%d", at-1), s.Cursor())
		again = again || first == &batch[0]
		first = &batch[0]
	}
	assert.True(t, again, "the slice is used again")
}

func TestStreamOfNoServerOfOurs(t *testing.T) {
	for _, text := range []string{"data: {\n\n", "data: [1]\n\n", "event: gap\ndata: x\n\n", "event: problem\ndata: x\n\n"} {
		c, _ := streaming(t, text)
		s, err := c.OpenStream(t.Context(), "t", client.StreamOptions{})
		require.NoError(t, err)
		_, err = s.Next()
		assert.ErrorIs(t, err, client.ErrGarbled, text)
		require.NoError(t, s.Close())
	}
	f, c := newFake(t)
	_, err := c.OpenStream(t.Context(), "t", client.StreamOptions{})
	var said *client.Error
	require.ErrorAs(t, err, &said)
	assert.Equal(t, 404, said.Status)
	f.CloseClientConnections()
	f.Close()
	_, err = c.OpenStream(t.Context(), "t", client.StreamOptions{})
	assert.False(t, errors.As(err, &said), "%v", err)
}
