package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"
)

// record is a record as it comes back.
type record struct {
	Topic       string            `json:"topic"`
	Partition   int               `json:"partition"`
	Offset      int64             `json:"offset"`
	Timestamp   int64             `json:"timestamp"`
	Key         json.RawMessage   `json:"key"`
	KeyText     *string           `json:"key_text"`
	KeyBase64   *string           `json:"key_base64"`
	Value       json.RawMessage   `json:"value"`
	ValueText   *string           `json:"value_text"`
	ValueBase64 *string           `json:"value_base64"`
	Headers     map[string]string `json:"headers"`
	DeliverAt   int64             `json:"deliver_at"`
	Delivery    *delivery         `json:"delivery"`
}

// produced answers one produced record.
type produced struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"`
	Committed bool   `json:"committed"`
	Duplicate bool   `json:"duplicate"`
}

// batchResult answers a batch.
type batchResult struct {
	Topic      string `json:"topic"`
	Committed  bool   `json:"committed"`
	Count      int    `json:"count"`
	Partitions []struct {
		Partition  int   `json:"partition"`
		BaseOffset int64 `json:"base_offset"`
		Count      int   `json:"count"`
	} `json:"partitions"`
	Offsets []struct {
		Partition int   `json:"partition"`
		Offset    int64 `json:"offset"`
	} `json:"offsets"`
}

// fetched answers a read without a group.
type fetched struct {
	Records       []record `json:"records"`
	NextOffset    int64    `json:"next_offset"`
	HighWatermark int64    `json:"high_watermark"`
	Earliest      int64    `json:"earliest"`
}

// polled answers GET /events.
type polled struct {
	ConsumerID int64    `json:"consumer_id"`
	Group      string   `json:"group"`
	Generation int64    `json:"generation"`
	Records    []record `json:"records"`
	Cursor     string   `json:"cursor"`
	TimedOut   bool     `json:"timed_out"`
}

// object is a JSON object to send.
type object map[string]any

// topic creates a topic.
func (s *server) topic(name string, partitions int) {
	s.t.Helper()
	s.post("/topic", object{"name": name, "partitions": partitions}).want(http.StatusCreated)
}

// produce sends one record and expects it to be committed.
func (s *server) produce(topic string, fields object) produced {
	s.t.Helper()
	body := object{"topic": topic}
	for k, v := range fields {
		body[k] = v
	}
	var p produced
	s.post("/events", body).want(http.StatusOK).as(&p)
	require.True(s.t, p.Committed)
	require.Equal(s.t, topic, p.Topic)
	return p
}

// fetch reads a partition from an offset with further parameters.
func (s *server) fetch(topic string, partition int, offset int64, more string) fetched {
	s.t.Helper()
	var f fetched
	s.get(fmt.Sprintf("/topic/%s/partitions/%d/records?offset=%d%s", topic, partition, offset, more)).
		want(http.StatusOK).as(&f)
	return f
}

// readPartition reads all that is committed in a partition; offsets must be
// dense.
func (s *server) readPartition(topic string, partition int) []record {
	s.t.Helper()
	f := s.fetch(topic, partition, 0, "&max_records=10000&max_bytes=16777216")
	all := f.Records
	for f.NextOffset < f.HighWatermark {
		f = s.fetch(topic, partition, f.NextOffset, "&max_records=10000&max_bytes=16777216")
		require.NotEmpty(s.t, f.Records)
		all = append(all, f.Records...)
	}
	for i, r := range all {
		require.Equal(s.t, int64(i), r.Offset, "offsets of %s-%d are dense", topic, partition)
		require.Equal(s.t, partition, r.Partition)
		require.Equal(s.t, topic, r.Topic)
	}
	return all
}

// values renders the JSON values of records.
func values(records []record) []string {
	out := make([]string, 0, len(records))
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

// poll is GET /events with query parameters "name=value".
func (s *server) poll(params ...string) polled {
	s.t.Helper()
	var p polled
	s.get(eventsPath(params...)).want(http.StatusOK).as(&p)
	return p
}

func eventsPath(params ...string) string {
	q := url.Values{}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		q.Add(name, value)
	}
	return "/events?" + q.Encode()
}

// committed is a group's committed offset on a partition; -1 for none.
func (s *server) committed(group, topic string, partition int) int64 {
	s.t.Helper()
	var list struct {
		Offsets []struct {
			Topic     string `json:"topic"`
			Partition int    `json:"partition"`
			Committed *int64 `json:"committed"`
		} `json:"offsets"`
	}
	s.get("/offset?group=" + group + "&topic=" + topic).want(http.StatusOK).as(&list)
	for _, o := range list.Offsets {
		if o.Topic == topic && o.Partition == partition && o.Committed != nil {
			return *o.Committed
		}
	}
	return -1
}
