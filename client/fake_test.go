package client_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// fault is what happens to one request.
type fault func(w http.ResponseWriter, apply func()) (handled bool)

// refuse answers with an error and writes nothing.
func refuse(status int, code, more string) fault {
	return func(w http.ResponseWriter, _ func()) bool {
		writeError(w, status, code, more)
		return true
	}
}

func writeError(w http.ResponseWriter, status int, code, more string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error_code":%d01,"code":%q,"message":"as told","retriable":%t,"outcome":"none","request_id":"r"%s}`,
		status, code, status == 429 || status >= 503, more)
}

// lose executes the request and loses the answer.
func lose(w http.ResponseWriter, apply func()) bool {
	apply()
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
	return true
}

// fakeServer is a broker with one topic of two partitions in memory.
type fakeServer struct {
	*httptest.Server
	mu       sync.Mutex
	log      [2][]map[string]json.RawMessage
	answered map[string]string // "id epoch seq" -> answer
	last     map[string]int    // "id epoch" -> sequence
	requests int
	active   map[string]int // requests under way by producer id
	faults   []fault        // one for each coming request; nil: none
	block    chan struct{}  // requests wait for it, unless nil
	problems []string
}

func newFake(t testing.TB, faults ...fault) (*fakeServer, *client.Client) {
	f := &fakeServer{faults: faults, answered: map[string]string{}, last: map[string]int{}, active: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", f.postEvents)
	f.Server = httptest.NewServer(mux)
	c, err := client.New(f.URL)
	require.NoError(t, err)
	t.Cleanup(func() {
		c.CloseIdleConnections()
		f.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		require.Empty(t, f.problems)
	})
	return f, c
}

func (f *fakeServer) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

func (f *fakeServer) postEvents(w http.ResponseWriter, r *http.Request) {
	body := readBody(r)
	id := r.Header.Get("Producer-Id")
	f.mu.Lock()
	f.requests++
	if f.active[id]++; f.active[id] > 1 && id != "" {
		f.problem("two requests of producer %q at once", id)
	}
	var fail fault
	if len(f.faults) > 0 {
		fail, f.faults = f.faults[0], f.faults[1:]
	}
	block := f.block
	f.mu.Unlock()
	leave := sync.OnceFunc(func() {
		f.mu.Lock()
		f.active[id]--
		f.mu.Unlock()
	})
	defer leave()
	if block != nil {
		select {
		case <-block:
		case <-r.Context().Done():
			return
		}
	}
	apply := func() string { return f.apply(r, body) }
	if fail != nil && fail(w, func() {
		leave() // the next try may come before this one is through
		apply()
	}) {
		return
	}
	_, _ = io.WriteString(w, apply())
}

func readBody(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil
		}
		body, _ = io.ReadAll(z)
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil
		}
		defer z.Close()
		body, _ = io.ReadAll(z)
	}
	return body
}

// apply writes the records, once.
func (f *fakeServer) apply(r *http.Request, body []byte) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("Content-Type") == "application/json" {
		return f.applyOne(body)
	}
	id := r.Header.Get("Producer-Id")
	name := fmt.Sprint(id, r.Header.Get("Producer-Epoch"), " ", r.Header.Get("Producer-Seq"))
	if answer, again := f.answered[name]; again {
		return strings.Replace(answer, "{", `{"duplicate":true,`, 1)
	}
	seq, err := strconv.Atoi(r.Header.Get("Producer-Seq"))
	life := id + " " + r.Header.Get("Producer-Epoch")
	if err != nil || seq <= f.last[life] {
		f.problem("sequence %q after %d", r.Header.Get("Producer-Seq"), f.last[life])
	}
	f.last[life] = seq
	var places []string
	for line := range strings.Lines(string(body)) {
		var rec map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			f.problem("line %q: %v", line, err)
			continue
		}
		p := partitionOf(rec["key"])
		places = append(places, fmt.Sprintf(`{"partition":%d,"offset":%d}`, p, len(f.log[p])))
		f.log[p] = append(f.log[p], rec)
	}
	answer := fmt.Sprintf(`{"topic":"liked","committed":true,"count":%d,"partitions":[]`, len(places))
	if r.URL.Query().Get("offsets") == "true" {
		answer += `,"offsets":[` + strings.Join(places, ",") + `]`
	}
	answer += "}"
	f.answered[name] = answer
	return answer
}

func (f *fakeServer) applyOne(body []byte) string {
	var rec map[string]json.RawMessage
	if err := json.Unmarshal(body, &rec); err != nil {
		f.problem("body %q: %v", body, err)
	}
	p := partitionOf(rec["key"])
	f.log[p] = append(f.log[p], rec)
	return fmt.Sprintf(`{"topic":"liked","partition":%d,"offset":%d,"timestamp":1,"committed":true}`, p, len(f.log[p])-1)
}

func partitionOf(key []byte) int {
	h := fnv.New32a()
	_, _ = h.Write(key)
	return int(h.Sum32() % 2)
}

// values are the values in the log, partition by partition.
func (f *fakeServer) values() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, p := range f.log {
		for _, rec := range p {
			all = append(all, string(rec["value"]))
		}
	}
	return all
}

func (f *fakeServer) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}
