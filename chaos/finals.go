package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// unreadableLimit is how long a read of the final log may fail: a damaged copy has
// to be noticed, and another replica has to become leader.
const unreadableLimit = 30 * time.Second

// readLog reads all records of a topic through the API. With an error it returns
// the records before it.
func (s *server) readLog(topic string) (*finalLog, error) {
	f := &finalLog{topic: topic, start: map[int]int64{}, copies: map[int][]record{}}
	for p := range partitionsOf(topic) {
		status, body := s.get(fmt.Sprintf("/topic/%s/partitions/%d/offsets", topic, p))
		var ends struct {
			Earliest int64 `json:"earliest"`
		}
		if status != http.StatusOK || json.Unmarshal(body, &ends) != nil {
			return f, fmt.Errorf("offsets of %s-%d: %d %s", topic, p, status, body)
		}
		f.start[p] = ends.Earliest
		if err := s.readPartition(f, p); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (s *server) readPartition(f *finalLog, p int) error {
	for next := f.start[p]; ; {
		var page struct {
			Records []consumed `json:"records"`
			Next    int64      `json:"next_offset"`
			High    int64      `json:"high_watermark"`
		}
		status, body := s.get(recordsPath(f.topic, p, next, 10000) + "&max_bytes=16777216")
		for deadline := time.Now().Add(unreadableLimit); status != http.StatusOK && time.Now().Before(deadline); {
			pause(context.Background(), 100*time.Millisecond)
			status, body = s.get(recordsPath(f.topic, p, next, 10000) + "&max_bytes=16777216")
		}
		if status != http.StatusOK {
			return fmt.Errorf("read %s-%d from %d: %d %.500s", f.topic, p, next, status, body)
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		for _, r := range page.Records {
			f.records = append(f.records, record{place{p, r.Offset}, text(r.Value)})
		}
		if next = page.Next; next >= page.High {
			return nil
		}
	}
}

// ends returns the end offsets of all partitions.
func (f *finalLog) ends() map[int]int64 {
	ends := map[int]int64{}
	for p := range partitionsOf(f.topic) {
		ends[p] = f.start[p]
	}
	for _, r := range f.records {
		ends[r.at.partition] = max(ends[r.at.partition], r.at.offset+1)
	}
	return ends
}

// readFiles reads a topic's records from one broker's files without the broker's
// help: they are the lines that do not begin with '#'.
func (s *server) readFiles(broker int, topic string) ([]record, error) {
	var out []record
	for p := range partitionsOf(topic) {
		files, err := filepath.Glob(filepath.Join(s.brokerDir(broker), fmt.Sprintf("%s-%d", topic, p), "*.log"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			if out, err = appendLines(out, p, data); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return out, nil
}

func appendLines(out []record, partition int, data []byte) ([]record, error) {
	for line := range bytes.Lines(data) {
		if line[0] == '#' {
			continue
		}
		f := bytes.Fields(line) // date time topic partition offset key value action; our values have no spaces
		if len(f) < 8 {
			return nil, fmt.Errorf("%q is no record line", line)
		}
		off, err := strconv.ParseInt(string(f[4]), 10, 64)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%q is no record line", line), err)
		}
		out = append(out, record{place{partition, off}, string(f[6])})
	}
	return out, nil
}
