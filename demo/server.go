package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"time"
)

// server is a running ottla process.
type server struct {
	base string // http://host:port
	cmd  *exec.Cmd
}

// batch is the part of an answer to GET /events that the demo uses.
type batch struct {
	Records []struct {
		Partition int
		Offset    int64
		Key       string
		Value     json.RawMessage
		Headers   map[string]string
	}
	Cursor string
}

// logLevel is that of the servers: of several, each says that others are not there yet.
var logLevel = "warn"

var listening = regexp.MustCompile(`listening on (http://\S+),`)

// startServer starts the binary on a data directory and waits until it is ready.
func startServer(binary, dir string) (*server, error) {
	s, err := beginServer(binary, "127.0.0.1:0", dir)
	if err != nil {
		return nil, err
	}
	if err := s.waitReady(); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// beginServer starts the binary and returns once it listens.
func beginServer(binary, listen, dir string, flags ...string) (*server, error) {
	cmd := exec.Command(binary, append([]string{"serve", "--listen", listen, "--data-dir", dir}, flags...)...)
	cmd.Env = append(os.Environ(), "OTTLA_LOG_LEVEL="+logLevel)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s := &server{cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("server ended before it listened: %w", err)
	}
	m := listening.FindStringSubmatch(line)
	if m == nil {
		s.kill()
		return nil, fmt.Errorf("unexpected first line of output %q", line)
	}
	s.base = m[1]
	return s, nil
}

// patience is how long the demo waits for what takes a moment, on a busy machine too.
const patience = 2 * time.Minute

// waitReady polls /readyz until every partition has a leader.
func (s *server) waitReady() error {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.try("GET", "/readyz", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("not ready after %s: %w", patience, err)
		}
	}
}

// kill ends the process without a chance to shut down.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// poll reads as consumer 1 of a group; ack is the cursor of the previous batch,
// which it acknowledges, or empty.
func (s *server) poll(group, ack string) (*batch, error) {
	q := url.Values{
		"topic": {topic}, "group": {group}, "consumer_id": {"1"},
		"auto_commit": {"false"}, "max_records": {"100"}, "timeout_ms": {"1000"},
	}
	if ack != "" {
		q.Set("ack", ack)
	}
	var b batch
	if err := s.call("GET", "/events?"+q.Encode(), nil, &b); err != nil {
		return nil, err
	}
	return &b, nil
}

// refusal is an answer with a status of 400 or more.
type refusal struct {
	text      string
	Retriable bool
	Outcome   string
}

func (r *refusal) Error() string { return r.text }

// call is try, again and again for as long as the server says that nothing was done and
// that it may be tried again: a leader may be elected at the moment.
func (s *server) call(method, path string, body, reply any) error {
	for began := time.Now(); ; {
		err := s.try(method, path, body, reply)
		var refused *refusal
		if !errors.As(err, &refused) || !refused.Retriable || refused.Outcome != "none" || time.Since(began) > patience {
			return err
		}
		<-time.After(100 * time.Millisecond) // as a client does that tries again
	}
}

// try sends a request with a JSON body, unless body is nil, and decodes the
// answer into reply, unless that is nil. A status of 400 or more is an error.
func (s *server) try(method, path string, body, reply any) error {
	var reader io.Reader
	if body != nil {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false) // or the payload's bytes would change
		if err := enc.Encode(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		reader = &buf
	}
	req, err := http.NewRequest(method, s.base+path, reader)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	data, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		r := &refusal{text: fmt.Sprintf("%s %s: %s: %s", method, path, resp.Status, data)}
		_ = json.Unmarshal(data, r) // one that is not of ours is final
		return r
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(data, reply); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
