package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slowReader has asked, and takes little of the answer until it reads.
type slowReader struct {
	name string
	conn *net.TCPConn
	in   *bufio.Reader
}

func (s *server) slowly(name, path, accept string) *slowReader {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	r := &slowReader{name, conn.(*net.TCPConn), bufio.NewReader(conn)}
	require.NoError(s.t, r.conn.SetReadBuffer(256<<10))
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(2*waitTimeout)))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n\r\n", path, accept)
	require.NoError(s.t, err)
	status, err := r.in.ReadString('\n')
	require.NoError(s.t, err)
	require.Contains(s.t, status, " 200 ", name)
	return r
}

// Retention removes what readers are in the middle of. Each gets its records in order and
// whole, and is told of exactly those that it does not get.
func TestRetentionUnderSlowReaders(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=100ms")
	s.post("/topic", object{"name": "t", "partitions": 1, "segment_bytes": 1 << 20, "retention_ms": -1}).want(http.StatusCreated)
	const batches, each = 120, 100
	pad := strings.Repeat("x", 1200)
	value := func(offset int64) string { return fmt.Sprintf("%d-%s", offset, pad) }
	for b := range batches {
		var records []object
		for i := range each {
			records = append(records, object{"value": value(int64(b*each + i))})
		}
		s.post("/events", object{"topic": "t", "records": records}).want(http.StatusOK)
	}
	var streams []*slowReader
	for form, accept := range map[string]string{"events": "text/event-stream", "lines": "application/x-ndjson"} {
		for name, path := range map[string]string{
			"topic": "/topic/t/stream?from=earliest", "group": "/events?topic=t&auto_commit=false&group=kept-" + form, "committing group": "/events?topic=t&group=committed-" + form,
		} {
			streams = append(streams, s.slowly(name+", "+form, path, accept))
		}
	}
	page := s.slowly("page", "/topic/t/partitions/0/records?offset=0&max_records=10000&max_bytes=8388608", "application/json")
	s.call("PATCH", "/topic/t", object{"retention_bytes": 1 << 20}).want(http.StatusOK)
	var ends struct{ Earliest, Latest int64 }
	s.eventually(waitTimeout, "retention has removed most", func() error {
		if s.get("/topic/t/partitions/0/offsets").want(http.StatusOK).as(&ends); ends.Earliest < batches*each*3/4 {
			return fmt.Errorf("%+v", ends)
		}
		return nil
	})

	together(len(streams)+1, func(i int) {
		if i == len(streams) {
			assert.NoError(t, page.page(value), page.name)
			return
		}
		gaps, err := streams[i].follow(ends.Latest, value)
		assert.NoError(t, err, streams[i].name)
		assert.Equal(t, 1, gaps, "%s: gaps that it was told of", streams[i].name)
	})
}

// follow reads a stream up to an offset, and checks each record and gap.
func (r *slowReader) follow(end int64, value func(int64) string) (gaps int, err error) {
	for next := int64(0); next < end; {
		said, err := r.next()
		switch {
		case err != nil:
			return gaps, err
		case said.Gap == nil && (said.Offset != next || string(said.Value) != `"`+value(next)+`"`):
			return gaps, fmt.Errorf("record %d comes where %d is next, or is another one: %.20s", said.Offset, next, said.Value)
		case said.Gap == nil:
			next++
		case said.Gap.Asked != next || said.Gap.Earliest <= next:
			return gaps, fmt.Errorf("gap %+v at %d", *said.Gap, next)
		default:
			gaps++
			next = said.Gap.Earliest
		}
	}
	return gaps, nil
}

// streamed is what a stream says: a record, or that some are left out.
type streamed struct {
	record
	Gap *struct{ Asked, Earliest int64 }
}

// next reads the next record or gap of a stream of either form.
func (r *slowReader) next() (said streamed, err error) {
	for kind := ""; ; {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return said, err
		}
		line = strings.TrimSpace(line)
		if event, ok := strings.CutPrefix(line, "event: "); ok {
			kind = event
		}
		data, isEvent := strings.CutPrefix(line, "data: ")
		switch {
		case !isEvent && !strings.HasPrefix(line, "{"): // headers, sizes of chunks, ids, comments
		case kind == "gap":
			return said, json.Unmarshal([]byte(data), &said.Gap)
		case kind != "":
			return said, fmt.Errorf("%s: %s", kind, data)
		default:
			return said, json.Unmarshal([]byte(data), &said)
		}
	}
}

// page reads an answer, and checks that it has the first records.
func (r *slowReader) page(value func(int64) string) error {
	length := 0
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		if name, n, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.EqualFold(name, "Content-Length") {
			_, _ = fmt.Sscan(n, &length)
		}
	}
	var read struct{ Records []record }
	if err := json.NewDecoder(io.LimitReader(r.in, int64(length))).Decode(&read); err != nil {
		return err
	}
	if len(read.Records) == 0 {
		return fmt.Errorf("no records in %d bytes", length)
	}
	for i := range read.Records {
		if at := int64(i); read.Records[i].Offset != at || string(read.Records[i].Value) != `"`+value(at)+`"` {
			return fmt.Errorf("record %d comes where %d is next, or is another one", read.Records[i].Offset, at)
		}
	}
	return nil
}
