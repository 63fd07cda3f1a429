package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/protocol"
)

// dead is a dead letter of a queue, of partition 0 of topic "t.dead".
func dead(queue, key string, offset int64) *client.Message {
	m := &client.Message{Topic: "t.dead", Offset: offset, Key: client.TextData(key), Value: client.TextData(fmt.Sprint(offset)), Timestamp: time.UnixMilli(1)}
	m.Headers = map[string]string{deadHeader + "group": queue, deadHeader + "topic": "t", deadHeader + "partition": "1"}
	return m
}

// A page ends with the last that is to be put back, and has nothing that died since.
func TestPagesOfDeadLetters(t *testing.T) {
	var all []client.Message
	for i := range int64(6) {
		queue := "q"
		if i%2 == 1 {
			queue = "other"
		}
		all = append(all, *dead(queue, "k", i))
	}
	for _, c := range []struct {
		done, limit int
		end         int64
		want        []int64
	}{
		{0, 0, 6, []int64{0, 1, 2, 3, 4, 5}},
		{0, 0, 3, []int64{0, 1, 2}},
		{0, 0, 0, nil},
		{0, 1, 6, []int64{0}},
		{0, 2, 6, []int64{0, 1, 2}},
		{0, 3, 6, []int64{0, 1, 2, 3, 4}},
		{2, 3, 6, []int64{0}},
		{3, 3, 6, nil},
		{0, 9, 6, []int64{0, 1, 2, 3, 4, 5}},
	} {
		d := &redriver{queue: "q", done: c.done, ends: map[protocol.TopicPartition]int64{{Topic: "t.dead"}: c.end}}
		var got []int64
		for _, m := range d.page(all, c.limit) {
			got = append(got, m.Offset)
		}
		assert.Equal(t, c.want, got, c)
	}
}

// What cannot be put back, and what comes after it with its key, is not acknowledged, and
// what of a key was before it is there once. The others' keys go on or are tried again.
func TestDeadLettersThatAreRefusedStay(t *testing.T) {
	for refused := range int64(20) {
		written := map[string][]string{}
		s := newStandIn(t, func(_ int, a asked) (int, string) {
			var m struct {
				Key   string `json:"key"`
				Value string `json:"value"`
			}
			if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.line[:4] != http.MethodPost {
				return 400, `{"code":"malformed"}`
			}
			return 200, `{"topic":"t","partition":1,"offset":1,"timestamp":1,"committed":true}`
		})
		answer := s.answer
		s.answer = func(n int, a asked) (int, string) {
			status, body := answer(n, a)
			s.mu.Lock()
			defer s.mu.Unlock()
			var m map[string]any
			_ = json.Unmarshal([]byte(a.body), &m)
			value := fmt.Sprint(m["value_text"], m["value"])
			if strings.Contains(value, fmt.Sprintf("#%d#", refused)) {
				return 413, `{"error_code":41302,"code":"record_too_large","message":"too large","retriable":false,"outcome":"none","request_id":"r"}`
			}
			key := fmt.Sprint(m["key_text"], m["key"])
			written[key] = append(written[key], value)
			return status, body
		}
		a, err := newAPI(s.url, nil, "")
		require.NoError(t, err)
		d := &redriver{api: a, queue: "q"}
		var page []*client.Message
		for i := range int64(20) {
			m := dead("q", fmt.Sprint("k", i%5), i)
			m.Value = client.TextData(fmt.Sprintf("#%d#", i))
			page = append(page, m)
		}
		commit, err := d.putAllBack(t.Context(), page)
		require.ErrorContains(t, err, "too large")
		at := commit[protocol.TopicPartition{Topic: "t.dead"}]
		assert.LessOrEqual(t, at, refused, "it would be lost")
		assert.GreaterOrEqual(t, at, int64(0))
		total := 0
		s.mu.Lock() // the server may still be at what was given up
		for key, values := range written {
			total += len(values)
			last := int64(-1)
			for _, v := range values {
				var i int64
				_, err := fmt.Sscanf(v[strings.Index(v, "#"):], "#%d#", &i)
				require.NoError(t, err)
				assert.Greater(t, i, last, "key %s: in order, each once", key)
				assert.False(t, i > refused && i%5 == refused%5, "%d overtook %d of its key", i, refused)
				last = i
			}
		}
		s.mu.Unlock()
		assert.LessOrEqual(t, d.done, total, "what was under way when it failed is not known to be there")
	}
}
