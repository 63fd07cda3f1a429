package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// acked is what a producer was told.
type acked struct {
	value string
	at    produced
}

// load produces unique values from several clients until stop is closed or
// the server is gone, and returns what was acknowledged. Each calls tell how
// many those are so far.
func (s *server) load(topic, prefix string, stop <-chan struct{}, each func(n int)) []acked {
	var mu sync.Mutex
	var all []acked
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%s-%d-%d", prefix, c, i)
				a, err := s.try(http.MethodPost, "/events", object{"topic": topic, "value": value})
				if err != nil {
					return // the server was killed
				}
				if a.status != http.StatusOK {
					continue
				}
				var p produced
				a.as(&p)
				mu.Lock()
				all = append(all, acked{fmt.Sprintf("%q", value), p})
				n := len(all)
				mu.Unlock()
				each(n)
			}
		})
	}
	clients.Wait()
	return all
}

// checkAcked reads everything back: each acknowledged value is where its
// producer was told, and no value is there twice.
func (s *server) checkAcked(topic string, partitions int, all []acked) {
	s.t.Helper()
	stored := map[int][]record{}
	seen := map[string]int{}
	for p := range partitions {
		stored[p] = s.readPartition(topic, p)
		for _, r := range stored[p] {
			seen[string(r.Value)]++
			assert.Equal(s.t, 1, seen[string(r.Value)], "%s is there twice", r.Value)
		}
	}
	for _, a := range all {
		records := stored[a.at.Partition]
		if a.at.Offset < int64(len(records)) {
			assert.Equal(s.t, a.value, string(records[a.at.Offset].Value), "what was acknowledged at %d-%d", a.at.Partition, a.at.Offset)
			continue
		}
		// Either way it is wrong; but a read that lags behind an answer is
		// another fault than a record that is gone.
		late := s.fetch(topic, a.at.Partition, a.at.Offset, "&timeout_ms=5000&max_records=1").Records
		if len(late) == 1 && string(late[0].Value) == a.value {
			assert.Fail(s.t, "stale read", "%s was acknowledged at %d-%d and only readable later", a.value, a.at.Partition, a.at.Offset)
		} else {
			assert.Fail(s.t, "lost record", "%s was acknowledged at %d-%d and is gone", a.value, a.at.Partition, a.at.Offset)
		}
	}
}

func TestKillUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("k", 3)
	var all []acked
	for round := range 3 {
		enough := make(chan struct{})
		var once sync.Once
		done := make(chan []acked, 1)
		go func() {
			done <- s.load("k", fmt.Sprint(round), nil, func(n int) {
				if n >= 200 {
					once.Do(func() { close(enough) })
				}
			})
		}()
		select {
		case <-enough:
		case <-time.After(waitTimeout):
			require.FailNow(t, "200 records take too long")
		}
		s.kill()
		all = append(all, <-done...)
		s.again()
		s.checkAcked("k", 3, all)
	}
}

func TestOrderlyStopKeepsEverything(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("o", 2)
	for i := range 20 {
		s.produce("o", object{"value": i})
	}
	s.poll("topic=o", "group=g", "consumer_id=1", "max_records=5")
	before := [][]record{s.readPartition("o", 0), s.readPartition("o", 1)}
	committed := []int64{s.committed("g", "o", 0), s.committed("g", "o", 1)}
	s.stop()
	s.again()
	assert.Equal(t, before, [][]record{s.readPartition("o", 0), s.readPartition("o", 1)})
	assert.Equal(t, committed, []int64{s.committed("g", "o", 0), s.committed("g", "o", 1)})
}

func TestAllDirectoriesMissingIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("gone", 1)
	s.produce("gone", object{"value": 1})
	s.stop()
	for b := 1; b <= 3; b++ {
		require.NoError(t, os.RemoveAll(s.brokerDir("default", b)))
	}
	out, err := s.runToEnd()
	require.Error(t, err, "an unmounted disk must not look like an empty one: %s", out)
	assert.Contains(t, out, "ottla: ")
}

func TestOneProcessPerDataDirectory(t *testing.T) {
	t.Parallel()
	s := start(t)
	out, err := s.runToEnd()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, out)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, out, "ottla: ")
	s.topic("still", 1)
	s.produce("still", object{"value": 1})
}

// runToEnd runs a second server on the same data directory, which is
// expected to end by itself.
func (s *server) runToEnd() (string, error) {
	s.t.Helper()
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", s.dir)
	cmd.Dir = filepath.Dir(s.dir)
	watch := time.AfterFunc(waitTimeout, func() { _ = cmd.Process.Kill() })
	defer watch.Stop()
	out, err := cmd.CombinedOutput()
	return string(out), err
}
