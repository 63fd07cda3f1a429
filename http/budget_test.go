package http

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a client only announces takes nothing from the budget: neither the lengths
// of bodies that do not come, nor large bodies that come slowly, keep small bodies
// out.
func TestAnnouncedBodiesHoldNothing(t *testing.T) {
	const limit = 8 << 20
	h := startTCP(t, Options{MaxInflightBytes: limit, MaxBodyBytes: limit})
	dial := func(text string) {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = conn.Write([]byte(text))
		require.NoError(t, err)
	}
	await := func(n int64) {
		require.Eventually(t, func() bool { return h.s.intake.bytes.Used() >= n }, patience, time.Millisecond)
	}
	for i := range 20 {
		dial(postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n{", limit))
		await(int64(i+1) * firstBytes)
	}
	assert.EqualValues(t, 20*firstBytes, h.s.intake.bytes.Used())
	large := `{"topic":"t","value":"` + strings.Repeat("x", limit/10) + `"}`
	wantOK(t, h.do("POST", "/events", large), 200)

	for range 7 { // a megabyte each
		dial(postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n{", limit) + strings.Repeat(" ", 1<<20))
	}
	await(limit / 2)
	for h.s.intake.bytes.Take(smallBytes) { // small bodies may take everything but the reserve, too
		if h.s.intake.bytes.Used() > h.s.intake.bytes.Open() {
			h.s.intake.bytes.Give(smallBytes)
			break
		}
		defer h.s.intake.bytes.Give(smallBytes)
	}
	wantError(t, h.do("POST", "/events", large), 429, "too_many_requests")
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":"`+strings.Repeat("x", smallBytes/2)+`"}`), 200)
}

// The largest body fits when it is alone, with a length and chunked.
func TestTheLargestBodyFitsAlone(t *testing.T) {
	const limit = 1 << 20
	h := start(t, Options{MaxInflightBytes: limit, MaxBodyBytes: limit})
	body := `{"topic":"t"}` + strings.Repeat(" ", limit-len(postBody))
	for range 2 {
		wantOK(t, h.raw(postHead+fmt.Sprintf("Content-Length: %d\r\n\r\n", limit)+body), 200)
		wantOK(t, h.raw(chunks(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", limit, body))), 200)
		wantError(t, h.raw(chunks(fmt.Sprintf("%x\r\n%s\r\n1\r\n \r\n0\r\n\r\n", limit, body))), 413, "body_too_large")
	}
}

// A window is memory, however small the frame that asks for it.
func TestZstdWindowsArePaidFor(t *testing.T) {
	h := start(t, Options{MaxInflightBytes: 4 << 20})
	frame := func(exponent byte) string {
		b := binary.LittleEndian.AppendUint32(nil, 0xfd2fb528)
		b = append(b, 0, exponent<<3)     // no content size; a window of 2^(10+exponent) bytes
		return string(append(b, 1, 0, 0)) // a last, empty block
	}
	wantError(t, h.do("POST", "/events", frame(10), "Content-Encoding", "zstd"), 400, "malformed") // empty, but read
	wantError(t, h.do("POST", "/events", frame(13), "Content-Encoding", "zstd"), 429, "too_many_requests")
	wantError(t, h.do("POST", "/events", frame(14), "Content-Encoding", "zstd"), 400, "malformed")
	wantError(t, h.do("POST", "/events", frame(10)+frame(13), "Content-Encoding", "zstd"), 400, "malformed")
}
