package e2e

import (
	"encoding/base64"
	varint "encoding/binary"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forged is a cursor with another last position, as somebody who does not know the
// cluster's key would make it: with the checksum that cursors had before they were sealed.
func forged(t *testing.T, cursor string, offset uint64) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	require.NoError(t, err)
	b = b[:len(b)-17] // the seal, and the offset, which is less than 128
	b[0] = 1
	b = varint.AppendUvarint(b, offset)
	b = varint.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Nobody but the cluster makes cursors: one that is forged commits nothing and reads
// nothing. The cluster's own go on over a restart.
func TestCursorsAreSealed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("sealed", 1)
	for i := range 3 {
		s.produce("sealed", object{"value": i})
	}
	const poll = "/events?topic=sealed&group=g&consumer_id=1&auto_commit=false&max_records=1&timeout_ms=0"
	first := s.get(poll).want(http.StatusOK).object()["cursor"].(string)
	bad := forged(t, first, 1<<62-1)
	s.get(poll+"&ack="+bad).wantError(http.StatusConflict, "stale_generation")
	s.get(poll+"&after="+bad).wantError(http.StatusConflict, "stale_generation")
	changed := []byte(first)
	changed[len(changed)-2] ^= 1
	s.get(poll+"&ack="+string(changed)).wantError(http.StatusBadRequest, "invalid_cursor")
	assert.Zero(t, s.committed("g", "sealed", 0), "where the group has begun")
	second := s.get(poll + "&ack=" + first).want(http.StatusOK).object()
	assert.EqualValues(t, "1", second["records"].([]any)[0].(map[string]any)["value"].(interface{ String() string }).String())
	s.stop()
	s.again()
	third := s.get(poll + "&ack=" + second["cursor"].(string)).want(http.StatusOK).object()
	assert.EqualValues(t, "2", third["records"].([]any)[0].(map[string]any)["value"].(interface{ String() string }).String())
	assert.EqualValues(t, 2, s.committed("g", "sealed", 0))
}

// A browser that comes back with a cursor of before is given the stream from what is
// committed, not an error, after which it would never come again.
func TestAStreamGoesOnWithoutASealedCursor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("stream", 1)
	s.produce("stream", object{"value": 1})
	first := s.get("/events?topic=stream&group=g&consumer_id=1&auto_commit=false&timeout_ms=0").want(http.StatusOK).object()["cursor"].(string)
	req, err := http.NewRequest(http.MethodGet, s.base+"/events?topic=stream&group=g&auto_commit=false", nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", forged(t, first, 100))
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var got []byte
	buf := make([]byte, 4096)
	for !containsData(got) {
		n, err := resp.Body.Read(buf)
		got = append(got, buf[:n]...)
		require.NoError(t, err, "%s", got)
	}
	assert.Contains(t, string(got), `"offset":0`)
}

// containsData reports whether a stream has had a record.
func containsData(stream []byte) bool { return strings.Contains(string(stream), `"value":1`) }
