package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/chaos/intercept"
)

// flood is many clients of a server whose disk hangs.
type flood struct {
	s       *server
	stop    chan struct{}
	clients sync.WaitGroup
	next    atomic.Int64

	mu      sync.Mutex
	acked   map[int64]string // by offset
	refused map[string]bool  // values that are in no log
	unknown map[string]bool  // values of which nobody knows
	answers map[string]int   // by what was asked, and the code
	wrong   []string         // answers that should not be
	client  *http.Client
}

// While the disk hangs, every client is answered in time and in the one error
// shape, reads and administration go on, memory stays within the limits; and
// when it moves again so does everything, with what was acknowledged and
// without what was refused.
func TestHeldDiskUnderManyClients(t *testing.T) {
	if err := intercept.Available(); err != nil {
		t.Skip("holding syncs needs seccomp:", err)
	}
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("no /proc")
	}
	const inflight = 16 << 20
	var hook intercept.Interceptor
	s := prepare(t, "OTTLA_REQUEST_TIMEOUT=2s", fmt.Sprintf("OTTLA_LIMITS_INFLIGHT_BYTES=%d", inflight), "OTTLA_LIMITS_BODY_BYTES=2MiB")
	s.intercept = &hook
	s.again()
	s.topic("held", 1)
	f := &flood{
		s: s, stop: make(chan struct{}), acked: map[int64]string{}, refused: map[string]bool{}, unknown: map[string]bool{},
		answers: map[string]int{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 400}, Timeout: waitTimeout},
	}
	defer f.client.CloseIdleConnections()
	for range 20 {
		f.single()
	}
	require.Len(t, f.acked, 20)
	before := s.rss()

	release := hook.Hold()
	defer release()
	for i := range 200 {
		f.clients.Go(func() { f.run(i) })
	}
	s.eventually(waitTimeout, "somebody's time is up", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.answers["single outcome_unknown"] == 0 {
			return fmt.Errorf("answers so far: %v", f.answers)
		}
		return nil
	})
	// The disk is held meanwhile: who waited for it would not be answered so.
	a := f.ask("read", http.MethodGet, "/topic/held/partitions/0/records?offset=0&max_records=20", nil)
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var read struct{ Records []json.RawMessage }
	require.NoError(t, json.Unmarshal(a.body, &read))
	require.Len(t, read.Records, 20, "what was committed can be read, and only that")
	for _, path := range []string{"/topic", "/topic/held", "/cluster", "/healthz", "/metrics"} {
		require.Equal(t, http.StatusOK, f.ask("view", http.MethodGet, path, nil).status, path)
	}
	// Long enough for each to be refused or to be told that nobody knows, and
	// for far more to be offered than there is room for.
	s.eventually(waitTimeout, "clients are refused for all reasons", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.answers["single outcome_unknown"] < 100 || f.answers["batch outcome_unknown"] < 20 || f.answers["batch overloaded"]+f.answers["batch too_many_requests"] < 20 {
			return fmt.Errorf("answers so far: %v", f.answers)
		}
		return nil
	})
	grown := s.rss() - before
	// What is in flight, what may wait at the one leader, and garbage of as much.
	assert.Less(t, grown, int64(2*(inflight+64<<20)+64<<20), "memory under a hung disk")

	f.mu.Lock()
	t.Logf("the process grew by %d MiB; answers: %v", grown>>20, f.answers)
	clear(f.answers)
	f.mu.Unlock()
	release()
	s.eventually(waitTimeout, "somebody is acknowledged, while all others go on", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.answers["single ok"]+f.answers["batch ok"] == 0 {
			return fmt.Errorf("answers since: %v", f.answers)
		}
		return nil
	})
	close(f.stop)
	f.clients.Wait()
	s.eventually(waitTimeout, "the load is gone and writing is as before", func() error {
		if f.single() {
			return nil
		}
		return fmt.Errorf("not acknowledged")
	})
	t.Logf("afterwards: %v", f.answers)
	require.Empty(t, f.wrong)
	f.check()
}

// run is one client: most produce, some consume in a group, some administer.
func (f *flood) run(i int) {
	for {
		select {
		case <-f.stop:
			return
		default:
		}
		switch {
		case i%10 == 0:
			f.ask("poll", http.MethodGet, fmt.Sprintf("/events?topic=held&group=g%d&timeout_ms=200", i%3), nil)
		case i == 1:
			f.ask("create", http.MethodPost, "/topic", []byte(fmt.Sprintf(`{"name":"t-%d"}`, f.next.Add(1))))
		case i%3 == 0:
			f.batch()
		default:
			f.single()
		}
	}
}

// single produces one event, and reports whether it was acknowledged.
func (f *flood) single() bool {
	value := fmt.Sprintf("v%d", f.next.Add(1))
	a := f.ask("single", http.MethodPost, "/events", []byte(fmt.Sprintf(`{"topic":"held","value":%q}`, value)))
	return f.note(a, []string{value})
}

// batch produces a mebibyte in records of 64 KiB.
func (f *flood) batch() {
	var body bytes.Buffer
	var values []string
	pad := strings.Repeat("x", 64<<10)
	for range 16 {
		values = append(values, fmt.Sprintf("v%d%s", f.next.Add(1), pad))
		fmt.Fprintf(&body, "{\"value\":%q}\n", values[len(values)-1])
	}
	for i := range values {
		values[i], _, _ = strings.Cut(values[i], "x")
	}
	f.note(f.ask("batch", http.MethodPost, "/events?topic=held", body.Bytes(), "Content-Type", "application/x-ndjson"), values)
}

// ask sends a request and looks at how it is answered.
func (f *flood) ask(what, method, path string, body []byte, headers ...string) *answer {
	req, err := http.NewRequest(method, f.s.base+path, bytes.NewReader(body))
	if err == nil {
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		var resp *http.Response
		if resp, err = f.client.Do(req); err == nil {
			defer resp.Body.Close()
			a := &answer{f.s.t, what, resp.StatusCode, resp.Header, nil}
			if a.body, err = io.ReadAll(resp.Body); err == nil {
				f.judge(a)
				return a
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = append(f.wrong, fmt.Sprintf("%s: %v", what, err))
	return &answer{t: f.s.t, what: what}
}

// judge holds an answer against what may be said while the disk hangs.
func (f *flood) judge(a *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.status < 300 {
		f.answers[a.what+" ok"]++
		return
	}
	var e struct {
		Code, Outcome, Message string
		Retriable              bool
		ErrorCode              int    `json:"error_code"`
		RequestID              string `json:"request_id"`
	}
	err := json.Unmarshal(a.body, &e)
	f.answers[a.what+" "+e.Code]++
	if a.what == "poll" && e.Code == "stale_generation" {
		return // others joined and left while it waited for the disk
	}
	after, aerr := strconv.Atoi(a.header.Get("Retry-After"))
	if a.what == "create" && a.status == http.StatusServiceUnavailable && e.Outcome == "applied" {
		e.Outcome = "none" // or the topic is there, and its leaders wait for the disk
	}
	fits := map[int]string{http.StatusTooManyRequests: "none", http.StatusServiceUnavailable: "none", http.StatusGatewayTimeout: "unknown"}
	if err != nil || fits[a.status] == "" || e.Outcome != fits[a.status] || !e.Retriable || aerr != nil || after < 1 ||
		e.ErrorCode/100 != a.status || e.RequestID == "" || e.Message == "" {
		f.wrong = append(f.wrong, fmt.Sprintf("%s: %d, Retry-After %q: %s", a.what, a.status, a.header.Get("Retry-After"), a.body))
	}
}

// note keeps what a produce came to.
func (f *flood) note(a *answer, values []string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch a.status {
	case http.StatusOK:
		var ok struct {
			Offset     *int64
			Partitions []struct {
				BaseOffset int64 `json:"base_offset"`
				Count      int64
			}
		}
		if json.Unmarshal(a.body, &ok) != nil {
			f.wrong = append(f.wrong, string(a.body))
			return false
		}
		var at []int64
		if ok.Offset != nil {
			at = append(at, *ok.Offset)
		}
		for _, p := range ok.Partitions {
			for i := range p.Count {
				at = append(at, p.BaseOffset+i)
			}
		}
		if len(at) != len(values) {
			f.wrong = append(f.wrong, fmt.Sprintf("%d offsets for %d records: %.300s", len(at), len(values), a.body))
			return false
		}
		for i, off := range at {
			f.acked[off] = values[i]
		}
		return true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		for _, v := range values {
			f.refused[v] = true
		}
	default:
		for _, v := range values {
			f.unknown[v] = true
		}
	}
	return false
}

// check reads the whole log.
func (f *flood) check() {
	seen := map[string]bool{}
	for at, end := int64(0), false; !end; {
		a := f.s.get(fmt.Sprintf("/topic/held/partitions/0/records?offset=%d&max_records=1000", at)).want(http.StatusOK)
		var page struct {
			Records []struct {
				Offset int64
				Value  string
			}
			NextOffset int64 `json:"next_offset"`
		}
		require.NoError(f.s.t, json.Unmarshal(a.body, &page))
		for _, r := range page.Records {
			v, _, _ := strings.Cut(r.Value, "x")
			require.False(f.s.t, seen[v], "%s is there twice", v)
			seen[v] = true
			require.False(f.s.t, f.refused[v], "%s was refused", v)
			if want, ok := f.acked[r.Offset]; ok {
				require.Equal(f.s.t, want, v, "offset %d", r.Offset)
			} else {
				require.True(f.s.t, f.unknown[v], "%s at %d was never sent", v, r.Offset)
			}
		}
		end, at = len(page.Records) == 0, page.NextOffset
	}
	for off, v := range f.acked {
		require.True(f.s.t, seen[v], "%s was acknowledged at %d", v, off)
	}
}
