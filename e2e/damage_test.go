package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// filled starts a server with 60 records in a topic of three partitions and
// returns the lines that all three brokers hold.
func filled(t *testing.T) (*server, map[int][]string) {
	t.Helper()
	s := start(t)
	s.topic("d", 3)
	for i := range 60 {
		s.produce("d", object{"value": fmt.Sprintf("value %d", i)})
	}
	return s, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60)
}

// standsAlone shows that a broker is a full copy again: records produced while
// another one is down need it for their majority.
func (s *server) standsAlone(down, have int) {
	s.t.Helper()
	s.waitInSync("d", 3)
	s.setBroker(down, "stop", "stopped")
	for p := range 3 {
		s.produce("d", object{"value": "more", "partition": p})
	}
	s.setBroker(down, "start", "running")
	s.sameLines("default", "d", 3, []int{1, 2, 3}, have+3)
}

// waitInSync waits until every partition of a topic has so many replicas in
// sync.
func (s *server) waitInSync(topic string, replicas int) {
	s.t.Helper()
	s.eventually(waitTimeout, "the replicas are in sync", func() error {
		var info struct {
			Partitions []struct {
				InSync []int `json:"in_sync"`
			} `json:"partitions"`
		}
		s.get("/topic/" + topic).want(http.StatusOK).as(&info)
		for _, p := range info.Partitions {
			if len(p.InSync) != replicas {
				return fmt.Errorf("in_sync: %+v", info.Partitions)
			}
		}
		return nil
	})
}

func TestDirectoryDeletedWhileTheBrokerIsStopped(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.setBroker(3, "stop", "stopped")
	require.NoError(t, os.RemoveAll(s.brokerDir("default", 3)))
	s.produce("d", object{"value": "meanwhile", "partition": 0})
	s.setBroker(3, "start", "running")
	after := s.sameLines("default", "d", 3, []int{1, 2, 3}, 61)
	assert.Equal(t, lines[0], after[0][:len(lines[0])])
	assert.Equal(t, lines[1], after[1])
	assert.Equal(t, lines[2], after[2])
	s.standsAlone(1, 61)
}

func TestDirectoryDeletedWhileTheProcessIsDead(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.kill()
	require.NoError(t, os.RemoveAll(s.brokerDir("default", 2)))
	s.again()
	assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
	s.standsAlone(1, 60)
}

func TestDirectoriesOfTwoBrokersSwapped(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.stop()
	one, two, aside := s.brokerDir("default", 1), s.brokerDir("default", 2), filepath.Join(s.dir, "default", "aside")
	require.NoError(t, os.Rename(one, aside))
	require.NoError(t, os.Rename(two, one))
	require.NoError(t, os.Rename(aside, two))
	s.again()
	assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
	s.standsAlone(3, 60)
}

// onlyLog is the one log file of a broker's partition.
func (s *server) onlyLog(broker, partition int) string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.brokerDir("default", broker), fmt.Sprintf("d-%d", partition), "*.log"))
	require.NoError(s.t, err)
	require.Len(s.t, files, 1)
	return files[0]
}

// A damaged byte in the middle of one copy: never served, never voted with,
// and mended from the others.
func TestDamagedCopyIsMended(t *testing.T) {
	t.Parallel()
	for broker := 1; broker <= 3; broker++ {
		t.Run(fmt.Sprintf("broker %d", broker), func(t *testing.T) {
			t.Parallel()
			s, lines := filled(t)
			s.stop()
			for p := range 3 {
				path := s.onlyLog(broker, p)
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				at := bytes.Index(data, []byte(lines[p][len(lines[p])/2])) + len("2026-11-22 17:16:03.123 d 0 10 - \"val")
				data[at] ^= 1
				require.NoError(t, os.WriteFile(path, data, 0o600))
			}
			s.again()
			for p := range 3 {
				assert.Len(t, s.readPartition("d", p), 20)
			}
			assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
			s.standsAlone(broker%3+1, 60)
		})
	}
}

// Damage at different places of all three copies: what one lacks another
// has.
func TestDamageInEveryCopyIsMended(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.stop()
	for broker := 1; broker <= 3; broker++ {
		path := s.onlyLog(broker, 0)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		at := bytes.Index(data, []byte(lines[0][3*broker])) + len("2026-11-22 17:16:03.123 d 0 ")
		data[at] ^= 1
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	s.again()
	assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
}
