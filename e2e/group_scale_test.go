package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyClients keeps one connection for each of many members open.
func manyClients(n int) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: n, MaxConnsPerHost: n}}
}

func TestHundredMembersOverThreeHundredPartitions(t *testing.T) {
	s := start(t)
	const members, partitions = 100, 300
	s.wide("wide", partitions)
	many := manyClients(members)
	var polls sync.WaitGroup
	stop := make(chan struct{})
	defer func() { close(stop); s.kill(); polls.Wait() }()
	for id := 1; id <= members; id++ {
		polls.Go(func() {
			for {
				resp, err := many.Get(fmt.Sprintf("%s/events?topic=wide&group=g&consumer_id=%d&timeout_ms=20000", s.base, id))
				if err == nil {
					_ = resp.Body.Close()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	s.eventually(2*time.Minute, "all have joined", func() error { return s.joined("g", members) })
	joined := time.Now()
	var group struct {
		State string `json:"state"`
	}
	s.eventually(waitTimeout, "the group is stable", func() error {
		if s.get("/groups/g").want(http.StatusOK).as(&group); group.State != "stable" {
			return fmt.Errorf("%s", group.State)
		}
		return nil
	})
	settled := time.Since(joined)
	t.Logf("%d members over %d partitions settle %s after the last join", members, partitions, settled)
	share := map[int64]int{}
	for _, id := range s.owners("g") {
		share[id]++
	}
	require.Len(t, share, members)
	for id, n := range share {
		assert.Equal(t, partitions/members, n, "consumer %d", id)
	}
}

// joined reports whether a group has at least n members. While so many join, it may take too
// long to say.
func (s *server) joined(group string, n int) error {
	a, err := s.try(http.MethodGet, "/groups/"+group, nil)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%d %s", a.status, a.body)
	}
	if err != nil {
		return err
	}
	var g struct{ Members []member }
	if err := json.Unmarshal(a.body, &g); err != nil {
		return err
	}
	if len(g.Members) < n {
		return fmt.Errorf("%d of %d", len(g.Members), n)
	}
	return nil
}

// cpu is the processor time that the server has used.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	require.NoError(s.t, err)
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		require.NoError(s.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// A measurement rather than a test: it takes half a minute and wants the
// machine for itself.
func TestThousandIdleGroups(t *testing.T) {
	if os.Getenv("OTTLA_E2E_MEASURE") == "" {
		t.Skip("set OTTLA_E2E_MEASURE to measure")
	}
	s := start(t)
	s.topic("idle", 3)
	const groups = 1000
	many := manyClients(groups)
	stop := make(chan struct{})
	var polls sync.WaitGroup
	defer func() { close(stop); s.kill(); polls.Wait() }()
	for id := 1; id <= groups; id++ {
		polls.Go(func() {
			for {
				resp, err := many.Get(fmt.Sprintf("%s/events?topic=idle&group=g%d&consumer_id=%d&timeout_ms=5000", s.base, id, id))
				if err == nil {
					_ = resp.Body.Close()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	<-time.After(8 * time.Second) // until all have joined
	before, began := s.cpu(), time.Now()
	<-time.After(20 * time.Second)
	used := float64(s.cpu()-before) / float64(time.Since(began))
	t.Logf("%d groups of one idle member use %.1f %% of a core", groups, 100*used)
	assert.Less(t, used, 0.10)
}
