package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Clients that ask for much and read nothing get what limits.response_bytes
// allows, all together, and take nothing from others.
func TestSlowReadersCostABoundedSum(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("no /proc")
	}
	const limit = 32 << 20
	s := start(t, fmt.Sprintf("OTTLA_LIMITS_RESPONSE_BYTES=%d", limit), "OTTLA_HTTP_STALL_TIMEOUT=1h")
	s.topic("much", 1)
	value := strings.Repeat("x", 10_000)
	for range 20 {
		var records []object
		for range 100 {
			records = append(records, object{"value": value})
		}
		s.post("/events", object{"topic": "much", "records": records}).want(http.StatusOK)
	}
	s.topic("quick", 1)
	const read = "/topic/much/partitions/0/records?offset=0&max_records=10000&max_bytes=16777216"
	before := s.rss()
	var slow []net.Conn
	for i := range 300 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
		target := read
		if i%3 == 1 {
			target = fmt.Sprintf("/events?topic=much&group=slow-%d&consumer_id=%d&max_records=10000&max_bytes=16777216", i, i+1)
		}
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target)
		require.NoError(t, err)
		line := make([]byte, len("HTTP/1.1 200"))
		_, err = io.ReadFull(conn, line)
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 200", string(line))
		slow = append(slow, conn)
		if i%30 == 0 {
			s.produce("quick", object{"value": i})
			began := time.Now()
			require.NotEmpty(t, s.poll("topic=quick", "group=quick", "consumer_id=9999").Records)
			require.Less(t, time.Since(began), 15*time.Second, "other clients are served")
		}
	}
	grown := s.rss() - before
	t.Logf("300 readers made the process grow by %d MiB; %d bytes are held", grown>>20, s.held())
	require.Less(t, grown, int64(6*limit), "they asked for 4 GiB")
	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	s.eventually(waitTimeout, "all room is given back", func() error {
		if n := s.held(); n != 0 {
			return fmt.Errorf("%d bytes are held", n)
		}
		return nil
	})
	require.Less(t, 1<<20, len(s.get(read).want(http.StatusOK).body), "and answers are large again")
}

// held is what answers hold of limits.response_bytes.
func (s *server) held() int64 {
	s.t.Helper()
	a, err := s.try(http.MethodGet, "/metrics", nil)
	require.NoError(s.t, err)
	m := regexp.MustCompile(`(?m)^ottla_http_response_bytes (\S+)$`).FindStringSubmatch(string(a.body))
	require.NotNil(s.t, m)
	n, err := strconv.ParseFloat(m[1], 64)
	require.NoError(s.t, err)
	return int64(n)
}

// Clients that read what they ask for get all of it, however many they are:
// here thirty times what limits.response_bytes has room for.
func TestOrdinaryReadersGetWholeAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, fmt.Sprintf("OTTLA_LIMITS_RESPONSE_BYTES=%d", 4<<20), "OTTLA_LIMITS_MAX_BYTES=4MiB")
	s.topic("much", 1)
	value := strings.Repeat("x", 200) // an answer waits two seconds for others: a slow machine sends them all in that time
	for range 4 {
		var records []object
		for range 500 {
			records = append(records, object{"value": value})
		}
		s.post("/events", object{"topic": "much", "records": records}).want(http.StatusOK)
	}
	const readers, each = 100, 9
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil { // little of an answer fits into the kernel
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: readers}, Timeout: waitTimeout}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			for n := range each {
				url := fmt.Sprintf("%s/topic/much/partitions/0/records?offset=%d", s.base, (i+n)%1500)
				resp, err := client.Get(url)
				if !assert.NoError(t, err) {
					return
				}
				body, err := io.ReadAll(resp.Body)
				assert.NoError(t, err)
				assert.NoError(t, resp.Body.Close())
				if !assert.Equal(t, http.StatusOK, resp.StatusCode) {
					return
				}
				assert.Equal(t, 500, strings.Count(string(body), `"offset":`), "of %s", url)
			}
		})
	}
	all.Wait()
}
