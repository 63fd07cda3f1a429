package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Records go when they are old enough although nothing comes after them: also those of
// a small topic, after kill -9, and under a trickle that never fills a segment.
func TestRecordsGoByAgeAlone(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=200ms")
	for _, topic := range []string{"quiet", "killed", "trickle"} {
		s.post("/topic", object{"name": topic, "partitions": 1, "retention_ms": 1500}).want(201)
		s.produceAll(topic, "v", 20)
	}
	s.kill()
	s.again()
	gone := func(topic string, n int) {
		t.Helper()
		s.eventually(waitTimeout, "old records are gone", func() error {
			if topic == "trickle" {
				s.produce(topic, object{"value": "more"})
			}
			var at struct{ Earliest, Latest int }
			s.get("/topic/" + topic + "/partitions/0/offsets").want(200).decode(&at)
			if at.Earliest < n {
				return fmt.Errorf("%s: %+v", topic, at)
			}
			return nil
		})
	}
	gone("quiet", 20)
	gone("killed", 20)
	began := time.Now()
	gone("trickle", 60)
	assert.Less(t, time.Since(began), 30*time.Second)
	s.filesGone("quiet")
}

// Records that were deleted while their segment was still written to go from the disk
// when it is sealed, on every replica.
func TestDeletedRecordsLeaveTheDisk(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=200ms")
	s.post("/topic", object{"name": "t", "partitions": 1, "retention_ms": 3000}).want(201)
	s.produceAll("t", "v", 20)
	s.post("/topic/t/delete-records", `{"partitions":[{"partition":0,"before":-1}]}`).want(200)
	s.filesGone("t")
}

// filesGone waits until no file of partition 0 of a topic has records any more, on every
// replica, or the disk fills up.
func (s *server) filesGone(topic string) {
	s.t.Helper()
	for broker := 1; broker <= 3; broker++ {
		s.eventually(waitTimeout, "the files are gone", func() error {
			files, err := filepath.Glob(filepath.Join(s.brokerDir("default", broker), topic+"-0", "*.log"))
			require.NoError(s.t, err)
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err == nil && strings.Contains(string(text), " PRODUCE") {
					return fmt.Errorf("%s still has records", file)
				}
			}
			return nil
		})
	}
}
