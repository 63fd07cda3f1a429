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
	for broker := 1; broker <= 3; broker++ { // on every replica, or the disk fills up
		s.eventually(waitTimeout, "the files are gone", func() error {
			files, err := filepath.Glob(filepath.Join(s.brokerDir("default", broker), "quiet-0", "*.log"))
			require.NoError(t, err)
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
