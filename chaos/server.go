package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// server is the broker under test.
type server struct {
	binary, dir, addr string
	log               *os.File
	cmd               *exec.Cmd
	boots             int // simulated ones, 0: none
}

func newServer(binary, dir string) (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return nil, err
	}
	return &server{binary: binary, dir: filepath.Join(dir, "data"), addr: addr, log: log}, nil
}

// start starts the broker and waits until every partition has a leader.
func (s *server) start() (time.Duration, error) {
	began := time.Now()
	s.cmd = exec.Command(s.binary, "serve", "--listen", s.addr, "--data-dir", s.dir)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if s.boots > 0 {
		s.cmd.Env = append(os.Environ(), fmt.Sprintf("OTTLA_SIMULATED_BOOT_ID=boot-%d", s.boots))
	}
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(began) < time.Minute {
		resp, err := http.Get(s.url("/readyz"))
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
		}
		pause(context.Background(), 2*time.Millisecond)
	}
	return 0, fmt.Errorf("not ready a minute after start, see %s", s.log.Name())
}

// kill ends the process as kill -9 does.
func (s *server) kill() error {
	if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = s.cmd.Wait() // reports the signal that we sent
	return nil
}

// stop ends it in order.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

func (s *server) url(path string) string { return "http://" + s.addr + path }

// readLog reads all records of a topic through the API.
func (s *server) readLog(topic string, partitions int) ([]record, error) {
	var out []record
	for p := range partitions {
		next := int64(0)
		for {
			var page struct {
				Records []struct {
					Offset int64           `json:"offset"`
					Value  json.RawMessage `json:"value"`
				} `json:"records"`
				Next int64 `json:"next_offset"`
				High int64 `json:"high_watermark"`
			}
			resp, err := http.Get(s.url(fmt.Sprintf("/topic/%s/partitions/%d/records?offset=%d&max_records=10000&max_bytes=16777216", topic, p, next)))
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("read log: %d %s %w", resp.StatusCode, body, err)
			}
			if err := json.Unmarshal(body, &page); err != nil {
				return nil, err
			}
			for _, r := range page.Records {
				out = append(out, record{place{p, r.Offset}, string(r.Value)})
			}
			if next = page.Next; next >= page.High {
				break
			}
		}
	}
	return out, nil
}

// readFiles reads a topic's records from one broker's files, without the
// broker's help: lines that do not begin with '#'.
func (s *server) readFiles(broker int, topic string, partitions int) ([]record, error) {
	var out []record
	for p := range partitions {
		files, err := filepath.Glob(filepath.Join(s.dir, "default", "broker-"+strconv.Itoa(broker), fmt.Sprintf("%s-%d", topic, p), "*.log"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			sc := bufio.NewScanner(bytes.NewReader(data))
			sc.Buffer(nil, 64<<20)
			for sc.Scan() {
				line := sc.Bytes()
				if len(line) == 0 || line[0] == '#' {
					continue
				}
				f := bytes.Fields(line) // date time topic partition offset key value action; values have no spaces
				if len(f) < 8 {
					return nil, fmt.Errorf("strange line %q", line)
				}
				off, err := strconv.ParseInt(string(f[4]), 10, 64)
				if err != nil {
					return nil, err
				}
				out = append(out, record{place{p, off}, string(f[6])})
			}
			if err := sc.Err(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
